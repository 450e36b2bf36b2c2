"""What happens to a guest while it runs: NICs come and go, it is paused, saved, boots again, and ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.guest.domain import VMID, Domain, Wiring, interface, mac, metadata
from tests.host.left import comes_back, everything
from tests.host.machine import asked, ctl, port
from tests.host.talk import ADDRESS, FORBIDDEN, FRIEND, Talk
from tests.host.virtual import NET
from tests.netns import show
from tests.patience import until

pytestmark = pytest.mark.host

NETS = (NET, f"mac='{mac(1)}' {NET}")
"""The second NIC is announced before it is there, so that it finds its rules."""


def vlans(name: str) -> list[int]:
    """Return the VLANs of a port."""
    return [it["vlan"] for one in show("bridge", "-j", "vlan") if one["ifname"] == name for it in one["vlans"]]


def nics_come_and_go(ours: Talk) -> None:
    """A second NIC, wired in each way, works behind its rules, and leaves nothing; the first goes on."""
    guest, before = ours.guest, everything()
    for wiring in (Wiring.SCRIPT, Wiring.BRIDGE, Wiring.NETWORK, Wiring.PLAIN):
        follower = guest.libvirt.events()
        guest.attach(interface(wiring, 1))
        follower.expect(f"^{guest.name} added ")
        tap = guest.device(1)
        until(lambda tap=tap: vlans(tap) == [20], f"{tap} is in VLAN 20")
        assert port(tap)["master"] == "vmbr0"
        assert asked("vm", "show", str(VMID))["nics"][1]["filtered"] == 1
        address = "ip link set eth1 up && ip address add 192.0.2.8/24 dev eth1"
        status, said = ours.shell.run(f"{address} && ping -c 3 -I eth1 {FRIEND}")
        assert status == 0, said
        assert ours.shell.run(f"ping -c 3 -W 1 -I eth1 {FORBIDDEN}")[0] == 1
        guest.detach(interface(wiring, 1))
        follower.expect(f"^{guest.name} removed ")
        follower.stop()
        assert comes_back(before) == before
    ours.goes_on()


def its_tag_changes(ours: Talk) -> None:
    """Another tag is a change of the port, which stays what it is."""
    guest, before = ours.guest, everything()
    tap = guest.device()
    number = port(tap)["ifindex"]
    for tag in (21, 20):
        guest.tell(metadata(f"bridge='vmbr0' tag='{tag}' firewall='1'", NETS[1]))
        until(lambda tag=tag: vlans(tap) == [tag], f"{tap} is in VLAN {tag}")
    assert port(tap)["ifindex"] == number
    assert comes_back(before) == before
    ours.begin()


def it_is_paused(ours: Talk) -> None:
    """A paused guest stays plugged."""
    before = everything()
    for word in ("suspend", "resume"):
        ours.guest.libvirt.virsh(word, ours.guest.name)
        assert everything() == before
    ours.is_filtered()


def it_is_saved_and_restored(ours: Talk) -> None:
    """A saved guest is not plugged, a restored one is."""
    guest, before = ours.guest, everything()
    tap = guest.device()
    guest.libvirt.virsh("save", guest.name, "/run/saved")
    assert not port(tap)
    guest.libvirt.virsh("restore", "/run/saved")
    ours.take()
    ours.begin()
    if guest.device() == tap:
        assert comes_back(before) == before


def it_boots_again(ours: Talk) -> None:
    """A guest that boots again stays plugged, whether by itself or reset."""
    before = everything()
    for again in (
        lambda: ours.shell.process.send("reboot -f"),
        lambda: ours.guest.libvirt.virsh("reset", ours.guest.name),
    ):
        again()
        ours.shell.ready()
        ours.begin()
        assert comes_back(before) == before


@pytest.mark.parametrize("wiring", [Wiring.SCRIPT, Wiring.PLAIN])
def test_a_life(domain: Callable[..., Domain], talk: Callable[[Domain], Talk], wiring: Wiring) -> None:
    before = everything()
    guest = domain(interface(wiring), metadata=metadata(*NETS), address=ADDRESS)
    guest.start()
    ours = talk(guest)
    for happens in (nics_come_and_go, its_tag_changes, it_is_paused, it_is_saved_and_restored, it_boots_again):
        happens(ours)
        assert ctl("plan") == ""
    guest.power_off(ours.shell)
    ours.is_filtered()
    guest.remove()
    assert comes_back(before) == before
