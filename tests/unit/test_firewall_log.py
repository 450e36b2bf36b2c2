"""Logged packets, from bytes to the line that Proxmox's log has."""

from __future__ import annotations

import asyncio
import socket
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.daemon.feed import Feed
from pvenetd.daemon.packet_log import PATH, PacketLog
from pvenetd.drivers.files import Files
from pvenetd.firewall.log import Logged, line
from pvenetd.firewall.packet import words
from tests.harness import run_async
from tests.kernel.world import ip_packet

NOW = datetime(2026, 11, 20, 12, 30, 1, tzinfo=UTC)
SYN = ip_packet("tcp", "192.0.2.254", "192.0.2.100", 40000, 22)
SECONDS = 1e-9


def logged(prefix: str, packet: bytes = SYN, ethertype: int = 0x0800, **facts: str) -> Logged:
    return Logged(prefix, NOW.timestamp(), ethertype, packet, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "starts"),
    [
        ({"prefix": ":100:6:in: policy DROP: policy_in", "port_out": "tap100i0"}, "100 6 tap100i0-IN "),
        ({"prefix": ":100:4:out: DROP: 100.fw:7", "port_in": "tap100i1", "device_in": "vmbr0"}, "100 4 tap100i1-OUT "),
        ({"prefix": ":100:4:out: DROP: 100.fw:7"}, "100 4 vm100-OUT "),
        ({"prefix": ":0:3:in: REJECT: host.fw:2", "device_in": "eth0"}, "0 3 PVEFW-HOST-IN "),
        ({"prefix": ":0:3:forward: policy DROP: policy_forward"}, "0 3 PVEFW-FORWARD "),
    ],
)
def test_a_line_names_the_guest_the_level_and_the_chain_as_proxmox_calls_it(facts: dict[str, str], starts: str) -> None:
    found = line(logged(**facts), NOW)
    assert str(found).startswith(f"{starts}20/Nov/2026:12:30:01 +0000 ")


def test_a_line_ends_with_the_packet_and_its_rule() -> None:
    found = line(logged(":100:6:in: policy DROP: 100.fw:4", device_in="vmbr0", port_out="tap100i0"), NOW)
    assert found
    assert " policy DROP: IN=vmbr0 PHYSOUT=tap100i0 SRC=192.0.2.254 DST=192.0.2.100 LEN=" in str(found)
    assert " PROTO=TCP SPT=40000 DPT=22 " in str(found)
    assert str(found).endswith(" SYN RULE=100.fw:4")
    record = found.record()
    assert (record["rule"], record["packet"]["dpt"], record["packet"]["syn"]) == ("100.fw:4", "22", 1)


def test_what_others_log_to_the_group_is_not_told() -> None:
    assert line(logged("DROP by somebody: "), NOW) is None


@pytest.mark.parametrize(
    ("ethertype", "packet", "told"),
    [
        (0x0800, ip_packet("udp", "192.0.2.1", "192.0.2.2", 53, 5353), {"PROTO": "UDP", "SPT": "53", "DPT": "5353"}),
        (0x86DD, ip_packet("udp6", "2001:db8::1", "2001:db8::2", 53, 5353), {"PROTO": "UDP", "SRC": "2001:db8::1"}),
        (0x86DD, ip_packet("icmp6", "2001:db8::1", "2001:db8::2", 128, 128), {"PROTO": "ICMPv6", "TYPE": "128"}),
        (
            0x86DD,
            struct.pack("!IHBB16s16sBBHI", 6 << 28, 16, 44, 64, bytes(16), bytes(16), 17, 0, 8 << 3, 1) + bytes(8),
            {"PROTO": "UDP", "FRAG:": "8"},
        ),
        (
            0x0806,
            struct.pack(
                "!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, bytes(6), socket.inet_aton("192.0.2.1"), bytes(6), bytes(4)
            ),
            {"PROTO": "ARP", "IPSRC": "192.0.2.1", "OPCODE": "1"},
        ),
        (0x88CC, b"lldp", {"MACPROTO": "88cc"}),
        (0x0800, SYN[:22], {"PROTO": "TCP", "INCOMPLETE": "[22 bytes]"}),
    ],
)
def test_headers_are_told_as_far_as_they_are_there(ethertype: int, packet: bytes, told: dict[str, str]) -> None:
    assert told.items() <= dict(words(ethertype, packet)).items()


@given(st.sampled_from([0x0800, 0x86DD, 0x0806, 0x1234]), st.binary(max_size=128))
def test_any_bytes_are_told_of(ethertype: int, packet: bytes) -> None:
    found = line(Logged(":100:6:in: DROP: 100.fw:1", 0, ethertype, packet), NOW)
    assert found
    assert "\n" not in str(found)


def test_lines_are_kept_in_memory_and_appended_to_the_file_even_when_that_was_moved_away(tmp_path: Path) -> None:
    kept = PacketLog(Files(tmp_path))
    kept.take([logged(":100:6:in: DROP: 100.fw:4"), logged("somebody's")])
    (tmp_path / PATH).rename(tmp_path / f"{PATH}.1")
    kept.take([logged(":101:6:in: DROP: 101.fw:4")], lost=True)
    assert [one["vmid"] for one in kept.lines] == [100, 101]
    texts = [(tmp_path / name).read_text().splitlines() for name in (f"{PATH}.1", PATH)]
    assert [len(text) for text in texts] == [1, 2]
    assert "faster than they could be read" in texts[1][1]


def test_who_waits_is_told_of_the_next_at_once_and_of_nothing_in_the_end() -> None:
    async def scenario() -> None:
        feed = Feed(3)
        assert await feed.after(0, SECONDS) == []
        waiting = asyncio.ensure_future(feed.after(0, 60))
        feed.add({"vmid": 1})
        assert [one["id"] for one in await waiting] == [1]
        for _ in range(5):
            feed.add({"vmid": 2})
        assert [one["id"] for one in feed.since(1)] == [4, 5, 6]
        assert feed.since(5, lambda one: one["vmid"] == 1) == []

    run_async(scenario())
