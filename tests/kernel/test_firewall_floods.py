"""What is counted in the kernel: connections that one source begins, or one guest."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pvenetd.drivers.nft import Library
from pvenetd.firewall import quota
from pvenetd.firewall.nft_base import Design
from tests.kernel.firewall import DESIGNS, desired, have_bridge_netfilter, load
from tests.kernel.lines import Line
from tests.kernel.packets import Player
from tests.kernel.world import STATIONS, World, frame, inside, ip_packet, mac_bytes, packet_socket, world
from tests.netns import run
from tests.patience import until
from tests.reliability import Outcome

FILES = {
    "cluster.fw": "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n",
    "host.fw": "[OPTIONS]\nprotection_synflood: 1\nprotection_synflood_rate: 1\nprotection_synflood_burst: 5\n",
}


@pytest.mark.reliability(
    "a source that begins connection after connection",
    guarantee="it begins as many as are allowed; others are not held up",
)
@pytest.mark.parametrize("design", DESIGNS)
def test_a_source_begins_so_many_connections_and_no_more(design: Design) -> None:
    """To the host and to a guest that nobody filters; another source is counted on its own."""
    if design == "mark":
        have_bridge_netfilter()
    with world(bridge_nf=design == "mark") as made:
        load(made, desired(FILES, design))
        with Player(made) as player:
            for source, end in (("outside", "vm/109"), ("vm/101", "host")):
                began = time.monotonic()
                # Said to be dropped, so that nobody waits for those that are.
                verdicts = player.verdicts([Line(source, end, "tcp", 80, "DROP") for _ in range(40)])
                assert 5 <= 40 - verdicts.count("DROP") <= 7 + time.monotonic() - began


GUESTS = {
    "cluster.fw": "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n",
    "100.fw": "[OPTIONS]\nenable: 1\n",
    "101.fw": "[OPTIONS]\nenable: 1\n",
    "104.fw": "[OPTIONS]\nenable: 1\nconnection_limit: 0\n",
}
FLOOD, OTHERS, FEW = 25_000, 40, 2
"""First packets of one guest, of another, and connections in each of a guest's lists where that is tried."""


def firsts(zone: str, count: int) -> Iterator[bytes]:
    """Yield the first packets of *count* connections: UDP without a checksum, from one port after the other."""
    source = f"192.0.2.{STATIONS[zone].number}"
    made = frame(STATIONS[zone].mac, STATIONS["outside"].mac, 0x0800, ip_packet("udp", source, "192.0.2.254", 1, 1))
    for number in range(count):
        yield (
            made[:34]
            + struct.pack("!HH", 1024 + number % 60_000, 2000 + number // 60_000)
            + made[38:40]
            + bytes(2)
            + made[42:]
        )


def sent(made: World, zone: str, count: int) -> None:
    with packet_socket(made.names[zone]) as sender:
        sender.setblocking(True)
        for packet in firsts(zone, count):
            sender.send(packet)


def tracked(made: World) -> int:
    with inside(made.names["host"]):
        return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())


@pytest.mark.reliability(
    "a guest floods the bridge with first packets of ever new connections",
    guarantee="it fills no more than its share of the host's table of connections, and no other guest loses a packet",
)
@pytest.mark.parametrize("design", DESIGNS)
def test_one_guest_fills_no_more_than_its_share_of_the_hosts_connections(design: Design, outcome: Outcome) -> None:
    """Neither by a flood nor slowly, and others begin theirs meanwhile; who may begin as many as it likes does."""
    if design == "mark":
        have_bridge_netfilter()
    table, key = ("bridge", quota.BY_PORT) if design == "ct" else ("inet", quota.BY_MAC)
    with world(bridge_nf=design == "mark") as made:
        load(made, desired(GUESTS, design))
        made.sysctl("host", netfilter__nf_conntrack_udp_timeout="3600")
        began = time.monotonic()
        sent(made, "vm/100", FLOOD)
        ended, flood = time.monotonic(), tracked(made)
        assert quota.BURST // 2 < flood <= quota.BURST + quota.RATE * (ended - began + 1)
        seen: set[bytes] = set()
        with packet_socket(made.names["outside"]) as ear:
            sent(made, "vm/101", OTHERS)
            until(lambda: _heard(ear, "vm/101", seen) == OTHERS, "another guest loses nothing")
        pace = FLOOD / (ended - began) / 1000
        outcome(seen=f"of {FLOOD:,} at {pace:.0f} kpps {flood:,} were let through; another guest lost 0 of {OTHERS}")
        sent(made, "vm/104/net1", FLOOD)
        assert tracked(made) >= flood + FLOOD
        with inside(made.names["host"]):
            counted = "".join(f"flush set {table} pvenetd {one}\n" for one in quota.SETS)
            slow = "".join(f"add rule {table} pvenetd flows {one}\n" for one in quota.rules(key, 10**6, 10**6, FEW))
            Library().run(f"{counted}flush chain {table} pvenetd flows\n{slow}")
        before = tracked(made)
        sent(made, "vm/101", 8 * quota.LISTS)
        assert tracked(made) - before <= FEW * quota.LISTS
        with inside(made.names["host"]):
            listed = run("nft", "list", "chain", table, "pvenetd", "flows")
        assert 0 < int(re.findall("counter packets ([0-9]+)", listed)[1]) < 8 * quota.LISTS


def _heard(ear: socket.socket, zone: str, seen: set[bytes]) -> int:
    """Return how many of the first packets of *zone* have come, with those *seen*."""
    with suppress(BlockingIOError):
        while data := ear.recv(2048):
            if data[6:12] == mac_bytes(STATIONS[zone].mac) and data.endswith(b"pvenetd!"):
                seen.add(data)
    return len(seen)
