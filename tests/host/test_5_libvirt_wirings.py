"""Each way a domain's interface comes to its tap: it is plugged behind its rules, and nothing of it is left after."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.guest.domain import VMID, Domain, Wiring, interface, mac, metadata
from tests.host.left import comes_back, everything
from tests.host.machine import asked, ctl, port
from tests.host.talk import TAGS
from tests.host.virtual import NET
from tests.netns import run, show

pytestmark = pytest.mark.host

TAG = TAGS[0]
NETN = f"bridge=vmbr0,tag={TAG},firewall=1"


def test_a_guest_is_plugged_as_long_as_it_runs(domain: Callable[..., Domain]) -> None:
    """It has a NIC of each wiring: tests/e2e has guests of a single one."""
    before, nets = everything(), [f"mac='{mac(index)}' {NET}" for index in range(len(Wiring))]
    guest = domain(*(interface(wiring, index) for index, wiring in enumerate(Wiring)), metadata=metadata(*nets))
    guest.start()
    assert_plugged(guest, len(Wiring))
    taps = [guest.device(index) for index in range(len(Wiring))]
    guest.destroy()
    stopped = everything()
    assert not [
        line for kind in ("links", "qdiscs", "vlans", "fdb") for line in stopped[kind] for tap in taps if tap in line
    ]
    guest.start()
    assert_plugged(guest, len(Wiring))
    guest.crash()
    assert comes_back(stopped) == stopped
    guest.remove()
    assert comes_back(before) == before


def test_a_guest_of_a_file_is_plugged_by_its_script(
    domain: Callable[..., Domain], guest_file: Callable[[str], None]
) -> None:
    before = everything()
    guest_file(f"net0: virtio={mac(0)},{NETN}\n")
    guest = domain(interface(Wiring.SCRIPT))
    guest.start()
    assert_plugged(guest)
    guest.crash()
    guest.remove()
    guest_file("")
    assert comes_back(before) == before


def assert_plugged(guest: Domain, nics: int = 1) -> None:
    vlans = {one["ifname"]: one["vlans"] for one in show("bridge", "-j", "vlan")}
    rules = run("nft", "list", "map", "bridge", "pvenetd", "in")
    told = asked("vm", "show", str(VMID))["nics"]
    assert len(told) == nics
    for index, nic in enumerate(told):
        tap = guest.device(index)
        link = port(tap)
        assert link["master"] == "vmbr0"
        assert {"UP", "LOWER_UP"} <= set(link["flags"])
        assert link["ifalias"].startswith(f"pvenetd:vm:{VMID}")
        assert f"tap{VMID}i{index}" in [tap, *link.get("altnames", [])]
        assert [(vlan["vlan"], sorted(vlan["flags"])) for vlan in vlans[tap]] == [(TAG, ["Egress Untagged", "PVID"])]
        assert tap in rules
        assert (nic["tap"], nic["plugged"], nic["filtered"]) == (tap, 1, 1)
    assert ctl("plan") == ""


def test_a_domain_is_wired_to_us_and_its_nic_is_changed_while_it_runs(domain: Callable[..., Domain]) -> None:
    before = everything()
    guest = domain(interface(Wiring.PLAIN))
    ctl("vm", "adopt", guest.name, "--vmid", str(VMID))
    guest.start()
    link = port("tap100i0")
    assert (guest.device(), link["master"]) == ("tap100i0", "vmbr0")
    ctl("vm", "set", str(VMID), f"net0=virtio={mac(0)},{NETN}")
    assert_plugged(guest)
    assert port("tap100i0")["ifindex"] == link["ifindex"]
    guest.destroy()
    guest.start()
    assert_plugged(guest)
    guest.remove()
    assert comes_back(before) == before
