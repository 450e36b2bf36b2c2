"""Frames no socket would send: forged, tagged, of other protocols, DHCP, ND.  With fresh and with restored chains."""

from __future__ import annotations

import select
from typing import Literal

import pytest

from pvenetd.firewall.nft_base import Design
from pvenetd.plan import Op
from tests.kernel.firewall import DESIGNS, desired, have_bridge_netfilter, load
from tests.kernel.shots import (
    AD,
    FORGED,
    GUEST,
    OTHER,
    OUTSIDE,
    PRIORITY,
    Q,
    Shot,
    arp,
    dhcp,
    malformed,
    nd,
    passes,
    udp,
)
from tests.kernel.world import World, frame, inside, packet_socket, world
from tests.netns import run
from tests.patience import until
from tests.reliability import Outcome

FILES = {
    "cluster.fw": "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n",
    "100.fw": """\
[OPTIONS]
enable: 1
[RULES]
IN ACCEPT -p udp -dport 22
OUT DROP -p udp -dport 25
OUT REJECT -p udp -dport 26
""",
    "101.fw": "[OPTIONS]\nenable: 1\npolicy_out: DROP\nradv: 1\nmacfilter: 0\n",
}
SHOTS = [
    udp("out: open port", 24, "vm/100", "outside", passes=True),
    udp("out: forged MAC", 24, "vm/100", "outside", passes=False, mac=FORGED),
    udp("out: forged MAC, IPv6", 24, "vm/100", "outside", passes=False, six=True, mac=FORGED),
    udp("out: tagged, open port", 24, "vm/100", "outside", Q, passes=True),
    udp("out: tagged, closed port", 25, "vm/100", "outside", Q, passes=False),
    udp("out: tagged, rejected port", 26, "vm/100", "outside", Q, passes=False),
    udp("out: tagged, closed port, IPv6", 25, "vm/100", "outside", Q, passes=False, six=True),
    udp("out: tagged and forged", 24, "vm/100", "outside", Q, passes=False, mac=FORGED),
    udp("out: 802.1ad, closed port", 25, "vm/100", "outside", AD, passes=False),
    udp("out: two tags", 24, "vm/100", "outside", AD, Q, passes=False),
    udp("out: priority tag, closed port", 25, "vm/100", "outside", PRIORITY, passes=False),
    udp("in: priority tag, closed port", 23, "outside", "vm/100", PRIORITY, passes=False),
    udp("out: two tags, one of no VLAN", 24, "vm/100", "outside", PRIORITY, Q, passes=False),
    *malformed("vm/100", 22, 23),
    *malformed("outside", 24, 24),
    udp("in: open port", 22, "outside", "vm/100", passes=True),
    udp("in: tagged, open port", 22, "outside", "vm/100", Q, passes=True),
    udp("in: tagged, closed port", 23, "outside", "vm/100", Q, passes=False),
    udp("in: tagged, closed port, IPv6", 23, "outside", "vm/100", Q, passes=False, six=True),
    udp("in: two tags", 22, "outside", "vm/100", Q, Q, passes=False),
    udp("out: policy DROP, tagged", 24, "vm/101", "outside", Q, passes=False),
    Shot("out: ARP", "vm/100", "outside", arp(GUEST, GUEST), passes=True),
    Shot("out: ARP for another", "vm/100", "outside", arp(GUEST, FORGED), passes=False),
    Shot("out: ARP from another", "vm/100", "outside", arp(FORGED, FORGED, operation=2), passes=False),
    Shot("out: RARP after a move", "vm/100", "outside", arp(GUEST, GUEST, 0x8035, 3), passes=True),
    Shot("out: router advertisement", "vm/100", "outside", nd(134, GUEST), passes=False),
    Shot("out: neighbour advertisement", "vm/100", "outside", nd(136, GUEST), passes=True),
    Shot("out: MLD report", "vm/100", "outside", nd(143, GUEST), passes=True),
    Shot("out: router advertisement with radv", "vm/101", "outside", nd(134, OTHER), passes=True),
    Shot("out: forged without macfilter, ND", "vm/101", "outside", nd(135, FORGED), passes=True),
    Shot("out: DHCP request", "vm/101", "outside", dhcp(OTHER, 68, 67), passes=True),
    Shot("out: DHCP answer under DROP", "vm/101", "outside", dhcp(OTHER, 67, 68), passes=False),
    Shot("in: DHCP answer", "outside", "vm/100", dhcp(OUTSIDE, 67, 68), passes=True),
    Shot("in: DHCP request", "outside", "vm/100", dhcp(OUTSIDE, 68, 67), passes=False),
    Shot("in: ARP", "outside", "vm/100", arp(OUTSIDE, OUTSIDE), passes=True),
    Shot("in: router advertisement", "outside", "vm/100", nd(134, OUTSIDE), passes=True),
    Shot("in: multicast ping", "outside", "vm/100", nd(128, OUTSIDE), passes=False),
    Shot("in: another protocol", "outside", "vm/100", frame(OUTSIDE, GUEST, 0x88B5, b"ins" * 20), passes=False),
    Shot("out: another protocol", "vm/100", "outside", frame(GUEST, OUTSIDE, 0x88B5, b"out" * 20), passes=True),
    Shot(
        "out: another protocol under DROP",
        "vm/101",
        "outside",
        frame(OTHER, OUTSIDE, 0x88B5, b"off" * 20),
        passes=False,
    ),
]


@pytest.mark.reliability(
    "frames no stack sends: forged, tagged twice or with no VLAN, headers too short or long, odd fragments and chains",
    guarantee="none reaches what the rules close",
)
@pytest.mark.parametrize("text", ["compiled", "restored"])
@pytest.mark.parametrize("design", DESIGNS)
def test_frames_pass_or_not(design: Design, text: Literal["compiled", "restored"], outcome: Outcome) -> None:
    if design == "mark":
        have_bridge_netfilter()
    with world(bridge_nf=design == "mark") as made:
        driver = load(made, desired(FILES, design))
        if text == "restored":
            with inside(made.names["host"]):
                for piece in driver.observe().values():
                    driver.apply(Op("~", piece))
        ears = {zone: packet_socket(made.names[zone]) for zone in ("outside", "vm/100", "vm/101")}
        try:
            passed = {shot.name: passes(shot, ears) for shot in SHOTS}
        finally:
            for ear in ears.values():
                ear.close()
    assert passed == {shot.name: shot.passes for shot in SHOTS}
    stopped = sum(not one for one in passed.values())
    outcome(tried=len(SHOTS), seen=f"{stopped} were stopped, {len(SHOTS) - stopped} that may pass did")


def chain(made: World) -> str:
    """Return what vm/100 may send, with counters."""
    with inside(made.names["host"]):
        return run("nft", "list", "chain", "bridge", "pvenetd", "vm-100-out")


@pytest.mark.parametrize("design", DESIGNS)
def test_nothing_passes_before_the_chains(design: Design) -> None:
    """A guest that sends from the first moment: every frame that its port ever took met its chains."""
    if design == "mark":
        have_bridge_netfilter()
    closed = udp("flood", 25, "vm/100", "outside", passes=False)
    with world(bridge_nf=design == "mark") as made:
        made.ip("host", "link set tap100i0 nomaster")
        load(made, desired(FILES, design))
        with packet_socket(made.names["vm/100"]) as guest, packet_socket(made.names["outside"]) as outside:
            for master in ("", "link set tap100i0 master vmbr0"):
                made.ip("host", *filter(None, [master]))
                for _ in range(100):
                    guest.send(closed.data)
            until(lambda: "udp dport 25 counter packets 100 bytes" in chain(made), "all of the second hundred met it")
            leaked = []
            while select.select([outside], [], [], 0.1)[0]:
                leaked += [data for data in [outside.recv(2048)] if closed.data[-28:] in data]
            assert not leaked
