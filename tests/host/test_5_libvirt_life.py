"""What happens to a guest while it runs: NICs come and go, it is paused, saved, boots again, and ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.guest.domain import VMID, Domain, Wiring, interface, metadata
from tests.host.left import comes_back, everything
from tests.host.machine import asked, ctl, port
from tests.host.talk import ADDRESSES, FORBIDDEN, FRIENDS, TAGS, Talk
from tests.host.virtual import NETS
from tests.netns import show
from tests.patience import until

pytestmark = pytest.mark.host

WIRINGS = (Wiring.SCRIPT, Wiring.PLAIN)
"""Of the guest's NICs."""
COMES = len(WIRINGS)
"""The index of the NIC that comes and goes: it is announced before it is there."""


def vlans(name: str) -> list[int]:
    """Return the VLANs of a port."""
    return [it["vlan"] for one in show("bridge", "-j", "vlan") if one["ifname"] == name for it in one["vlans"]]


def nics_come_and_go(ours: Talk) -> None:
    """One more NIC, wired in each way, works behind its rules, and leaves nothing; the others go on."""
    guest, before = ours.guest, everything()
    follower = guest.libvirt.events()
    for wiring in (Wiring.SCRIPT, Wiring.BRIDGE, Wiring.NETWORK, Wiring.PLAIN):
        guest.attach(interface(wiring, COMES))
        follower.expect(f"^{guest.name} added ")
        tap = guest.device(COMES)
        until(lambda tap=tap: vlans(tap) == [TAGS[COMES]], f"{tap} is in its VLAN")
        assert port(tap)["master"] == "vmbr0"
        assert asked("vm", "show", str(VMID))["nics"][COMES]["filtered"] == 1
        address = f"ip link set eth{COMES} up && ip address add {ADDRESSES[COMES]} dev eth{COMES}"
        status, said = ours.shell.run(f"{address} && ping -c 1 {FRIENDS[COMES]}")
        assert status == 0, said
        assert ours.shell.run(f"ping -c 1 -W 1 {FORBIDDEN[COMES]}")[0] == 1
        guest.detach(interface(wiring, COMES))
        follower.expect(f"^{guest.name} removed ")
        assert comes_back(before) == before
    follower.stop()
    ours.goes_on()


def its_tag_changes(ours: Talk) -> None:
    """Another tag is a change of the port, which stays what it is."""
    guest, before = ours.guest, everything()
    tap = guest.device()
    number = port(tap)["ifindex"]
    for tag in (30, TAGS[0]):
        guest.tell(metadata(f"bridge='vmbr0' tag='{tag}' firewall='1'", *NETS[1:]))
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
    guest = ours.guest
    taps = [guest.device(index) for index in range(len(WIRINGS))]
    guest.libvirt.virsh("save", guest.name, "/run/saved")
    assert not any(port(tap) for tap in taps)
    guest.libvirt.virsh("restore", "/run/saved")
    ours.take()
    ours.begin()
    assert [vlans(guest.device(index)) for index in range(len(WIRINGS))] == [[tag] for tag in TAGS[: len(WIRINGS)]]


def it_boots_again(ours: Talk) -> None:
    """A guest that boots again by itself stays plugged."""
    before = everything()
    ours.shell.process.send("reboot -f")
    ours.shell.ready()
    ours.begin()
    assert comes_back(before) == before


def test_a_life(domain: Callable[..., Domain], talk: Callable[[Domain], Talk]) -> None:
    before = everything()
    nics = [interface(wiring, index) for index, wiring in enumerate(WIRINGS)]
    guest = domain(*nics, metadata=metadata(*NETS), addresses=ADDRESSES[: len(WIRINGS)])
    guest.start()
    ours = talk(guest)
    for happens in (nics_come_and_go, its_tag_changes, it_is_paused, it_is_saved_and_restored, it_boots_again):
        happens(ours)
        assert ctl("plan") == ""
    guest.power_off(ours.shell)
    ours.is_filtered()
    guest.remove()
    assert comes_back(before) == before
