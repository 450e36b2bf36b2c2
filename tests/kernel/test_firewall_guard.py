"""Ports that nobody has announced: nothing passes, in neither direction, whatever the frame is."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from pvenetd.drivers.nft import tells_bridge
from pvenetd.firewall.nft_base import Design
from tests.kernel.firewall import DESIGNS, Guarded, desired, have_bridge_netfilter, load
from tests.kernel.shots import AD, ALL, FORGED, OTHER, OUTSIDE, Q, Shot, arp, dhcp, nd, passes, udp
from tests.kernel.world import World, frame, inside, ip_packet, packet_socket, world

OPEN = "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n"
FILES = {"cluster.fw": OPEN, "100.fw": OPEN, "101.fw": "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p udp -dport 22\n"}


def reset() -> bytes:
    """Return a TCP reset that belongs to no connection."""
    data = bytearray(
        frame(OUTSIDE, OTHER, 0x0800, ip_packet("tcp", "192.0.2.254", "192.0.2.101", 9, 10) + b"reset" * 6)
    )
    data[14 + 20 + 13] = 0x04
    return bytes(data)


SHOTS = [
    udp("out", 24, "vm/101", "outside", passes=False),
    udp("out: IPv6", 24, "vm/101", "outside", passes=False, six=True),
    udp("out: tagged", 24, "vm/101", "outside", Q, passes=False),
    udp("out: tagged, IPv6", 24, "vm/101", "outside", Q, passes=False, six=True),
    udp("out: two tags", 24, "vm/101", "outside", AD, Q, passes=False),
    udp("out: forged", 24, "vm/101", "outside", passes=False, mac=FORGED),
    udp("out: to a guest", 24, "vm/101", "vm/100", passes=False),
    Shot("out: ARP", "vm/101", "outside", arp(OTHER, OTHER), passes=False),
    Shot("out: ND", "vm/101", "outside", nd(135, OTHER), passes=False),
    Shot("out: DHCP", "vm/101", "outside", dhcp(OTHER, 68, 67), passes=False),
    Shot("out: another protocol", "vm/101", "outside", frame(OTHER, ALL, 0x88B5, b"out" * 20), passes=False),
    Shot("out: 802.3", "vm/101", "outside", frame(OTHER, ALL, 0x0040, b"llc" * 20), passes=False),
    udp("in", 22, "outside", "vm/101", passes=False),
    udp("in: IPv6", 22, "outside", "vm/101", passes=False, six=True),
    udp("in: tagged", 22, "outside", "vm/101", Q, passes=False),
    udp("in: from a guest", 22, "vm/100", "vm/101", passes=False),
    Shot("in: ARP", "outside", "vm/101", arp(OUTSIDE, OUTSIDE), passes=False),
    Shot("in: another protocol", "outside", "vm/101", frame(OUTSIDE, ALL, 0x88B5, b"ins" * 20), passes=False),
    Shot("in: reset of nobody's connection", "outside", "vm/101", reset(), passes=False),
    udp("another guest, out", 24, "vm/100", "outside", passes=True),
    udp("another guest, in", 24, "outside", "vm/100", Q, passes=True),
]
ZONES = ("outside", "vm/100", "vm/101", "vm/109", "vm/102")


@pytest.fixture
def host(design: Design) -> Iterator[World]:
    if design == "mark":
        have_bridge_netfilter()
    with world(bridge_nf=design == "mark") as made:
        yield made


def played(host: World, shots: Sequence[Shot]) -> dict[str, bool]:
    with ExitStack() as stack:
        ears: dict[str, socket.socket] = {zone: stack.enter_context(packet_socket(host.names[zone])) for zone in ZONES}
        return {shot.name: passes(shot, ears) for shot in shots}


def guarded(
    host: World, *announced: int, bridges: tuple[str, ...] = ("vmbr0",), known: tuple[str, ...] = ()
) -> Guarded:
    with inside(host.names["host"]):
        return Guarded(bridges, known, announced, tells_bridge=tells_bridge())


@pytest.mark.reliability(
    "frames of every kind at a port that nobody has announced",
    guarantee="nothing passes, in either direction",
)
@pytest.mark.parametrize("design", DESIGNS)
def test_nothing_passes_before_a_port_is_announced_and_then_what_its_rules_allow(design: Design, host: World) -> None:
    load(host, desired(FILES, design, guarded(host, 100)))
    assert played(host, SHOTS) == {shot.name: shot.passes for shot in SHOTS}

    load(host, desired(FILES, design, guarded(host, 100, 101)))
    allowed = [
        udp("open port", 22, "outside", "vm/101", passes=True),
        udp("closed port", 23, "outside", "vm/101", passes=False),
        udp("out", 24, "vm/101", "outside", passes=True),
    ]
    assert played(host, allowed) == {shot.name: shot.passes for shot in allowed}


@pytest.mark.parametrize("design", DESIGNS)
def test_where_the_firewall_is_off_nobody_is_stopped(design: Design, host: World) -> None:
    load(host, desired(FILES, design, guarded(host, 100)))
    load(host, desired(FILES | {"cluster.fw": ""}, design, guarded(host, 100)))
    assert played(host, [udp("out", 24, "vm/101", "outside", passes=True)]) == {"out": True}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("name", ["tap0", "tap1", "veth1a2b3c4", "vnet7"])
def test_who_is_known_to_be_no_guest_passes(design: Design, host: World, name: str) -> None:
    host.ip("host", "link set tap101i0 down", f"link set tap101i0 name {name}", f"link set {name} up")
    for both, known in ((False, ()), (True, (name,))):
        load(host, desired(FILES, design, guarded(host, 100, known=known)))
        shots = [udp("out", 24, "vm/101", "outside", passes=both), udp("in", 24, "outside", "vm/101", passes=both)]
        assert played(host, shots) == {"out": both, "in": both}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(("bridge", "stopped"), [("vmbr1", False), ("vmbr0v20", True), ("docker0", False)])
def test_only_the_configured_bridges_are_guarded_and_those_of_their_vlans(
    design: Design, host: World, bridge: str, stopped: bool
) -> None:
    """… where the kernel can tell a frame's bridge; else all are."""
    if bridge != "vmbr1":
        host.ip("host", "link set vmbr1 down", f"link set vmbr1 name {bridge}", f"link set {bridge} up")
    host.ip("host", "link set tap109i0 master " + bridge)
    who = guarded(host, 100)
    load(host, desired(FILES, design, who))
    arrives = Shot("ARP", "vm/109", "vm/102", arp(FORGED, FORGED), passes=not stopped and who.tells_bridge)
    assert played(host, [arrives]) == {"ARP": arrives.passes}


@pytest.mark.reliability(
    "a port that somebody moves into a guarded bridge",
    guarantee="nothing passes, in either direction",
)
@pytest.mark.parametrize("design", DESIGNS)
def test_a_port_that_somebody_moves_into_a_guarded_bridge_is_stopped_there(design: Design, host: World) -> None:
    load(host, desired(FILES, design, guarded(host, 100)))
    host.ip("host", "link set tap102i0 nomaster", "link set tap102i0 master vmbr0")
    assert played(host, [Shot("ARP", "vm/102", "outside", arp(FORGED, FORGED), passes=False)]) == {"ARP": False}
