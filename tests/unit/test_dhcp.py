"""What DHCP packets say of a guest's addresses, and that no bytes say more, or break anything."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pvenetd.firewall.dhcp import LONGEST, MOST, said
from pvenetd.firewall.leases import UNTOLD, spelled
from pvenetd.firewall.ruleset import ARP, IP, IP6
from tests.leases import (
    ACK,
    DECLINE,
    NAK,
    RELEASE,
    REQUEST,
    ack,
    delegated,
    dhcp,
    dhcpv6,
    in_ipv4,
    in_ipv6,
    kind,
    leased6,
    option,
    option6,
)

MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
TIME = option(51, struct.pack("!I", 3600))
SERVER = option(54, IPv4Address("192.0.2.9").packed)
ASKED = option(50, IPv4Address("192.0.2.5").packed)


def told(ethertype: int, packet: bytes) -> tuple[str, ...] | None:
    """Return what a packet says, in words."""
    found = said(ethertype, packet)
    if found is None:
        return None
    addresses = (f"{spelled(one.version, one.span)} {one.seconds}" for one in found.addresses)
    return (found.kind, found.mac, found.server, *addresses)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (ack(MAC, "192.0.2.5", 3600, "192.0.2.9"), ("leased", MAC, "192.0.2.9", "192.0.2.5 3600")),
        (dhcp(TIME + kind(ACK), MAC, address="192.0.2.5"), ("leased", MAC, "192.0.2.1", "192.0.2.5 3600")),
        (dhcp(b"\0\0" + kind(ACK), MAC, address="192.0.2.5"), ("leased", MAC, "192.0.2.1", f"192.0.2.5 {UNTOLD}")),
        (ack(MAC, "192.0.2.5", 0xFFFFFFFF, "192.0.2.9"), ("leased", MAC, "192.0.2.9", f"192.0.2.5 {LONGEST}")),
        (dhcp(option(52, b"\1"), MAC, address="192.0.2.5", file=kind(ACK) + TIME + b"\xff"),
         ("leased", MAC, "192.0.2.1", "192.0.2.5 3600")),
        (dhcp(option(52, b"\3"), MAC, address="192.0.2.5", file=kind(ACK) + b"\xff", name=TIME + b"\xff"),
         ("leased", MAC, "192.0.2.1", "192.0.2.5 3600")),
        (dhcp(kind(ACK) + option(51, b"\0\0") + option(51, b"\x0e\x10"), MAC, address="192.0.2.5"),
         ("leased", MAC, "192.0.2.1", "192.0.2.5 3600")),
        (dhcp(kind(NAK) + SERVER, MAC), ("refused", MAC, "192.0.2.9")),
        (dhcp(kind(REQUEST) + ASKED, MAC, op=1), ("asked", MAC, "", f"192.0.2.5 {LONGEST}")),
        (dhcp(kind(REQUEST), MAC, op=1, client="192.0.2.5"), ("asked", MAC, "", f"192.0.2.5 {LONGEST}")),
        (dhcp(kind(RELEASE), MAC, op=1, client="192.0.2.5"), ("returned", MAC, "", f"192.0.2.5 {LONGEST}")),
        (dhcp(kind(DECLINE) + ASKED, MAC, op=1), ("returned", MAC, "", f"192.0.2.5 {LONGEST}")),
        (dhcp(kind(ACK) + TIME, MAC), None),
        (dhcp(kind(ACK) + TIME, MAC, address="127.0.0.1"), None),
        (dhcp(kind(ACK) + TIME, MAC, address="224.0.0.1"), None),
        (dhcp(kind(ACK) + TIME, MAC, address="255.255.255.255"), None),
        (dhcp(kind(2) + TIME, MAC, address="192.0.2.5"), None),
        (dhcp(kind(ACK) + TIME, MAC, op=1, address="192.0.2.5"), None),
        (dhcp(kind(RELEASE), MAC, client="192.0.2.5"), None),
        (dhcp(b"", MAC, address="192.0.2.5"), None),
        (dhcp(option(53, b""), MAC, address="192.0.2.5"), None),
        (dhcp(kind(ACK) + TIME, MAC, address="192.0.2.5")[:-2], None),
        (ack(MAC, "192.0.2.5", 3600)[:236], None),
        (b"", None),
    ],
)  # fmt: skip
def test_a_dhcp_message_says(message: bytes, expected: tuple[str, ...] | None) -> None:
    assert told(IP, in_ipv4(message)) == expected


SIX = IPv6Address("2001:db8::5")
REFUSED6 = option6(3, bytes(12) + option6(13, b"\0\2no") + option6(5, SIX.packed + bytes(8)))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (dhcpv6(7, leased6("2001:db8::5", 3600)), ("leased", "", "fe80::1", "2001:db8::5 3600")),
        (dhcpv6(7, option6(1, b"client") + option6(2, b"server") + leased6("2001:db8::5", 0)),
         ("leased", "", "fe80::1", "2001:db8::5 0")),
        (dhcpv6(7, option6(4, bytes(4) + option6(5, SIX.packed + struct.pack("!II", 60, 90)))),
         ("leased", "", "fe80::1", "2001:db8::5 90")),
        (dhcpv6(7, leased6("2001:db8::5", 3600) + delegated("2001:db8:7::/48", 7200)),
         ("leased", "", "fe80::1", "2001:db8::5 3600", "2001:db8:7::/48 7200")),
        (dhcpv6(8, leased6("2001:db8::5", 0)), ("returned", "", "", "2001:db8::5 0")),
        (dhcpv6(9, leased6("2001:db8::5", 0)), ("returned", "", "", "2001:db8::5 0")),
        (dhcpv6(5, leased6("2001:db8::5", 0)), ("asked", "", "", "2001:db8::5 0")),
        (dhcpv6(7, REFUSED6), None),
        (dhcpv6(2, leased6("2001:db8::5", 3600)), None),
        (dhcpv6(7, leased6("fe80::5", 3600)), None),
        (dhcpv6(7, leased6("ff02::1", 3600)), None),
        (dhcpv6(7, leased6("::1", 3600)), None),
        (dhcpv6(7, leased6("::", 3600)), None),
        (dhcpv6(7, delegated("::/0", 3600)), None),
        (dhcpv6(7, delegated("2001::/16", 3600)), None),
        (dhcpv6(7, option6(26, bytes(25))), None),
        (dhcpv6(7, leased6("2001:db8::5", 3600)[:-1]), None),
        (b"", None),
    ],
)  # fmt: skip
def test_a_dhcpv6_message_says(message: bytes, expected: tuple[str, ...] | None) -> None:
    assert told(IP6, in_ipv6(message)) == expected


def test_one_packet_is_believed_so_many_addresses() -> None:
    many = b"".join(leased6(f"2001:db8::{number:x}", 60) for number in range(1, 100))
    found = said(IP6, in_ipv6(dhcpv6(7, many)))
    assert found
    assert len(found.addresses) == MOST


def test_what_is_neither_udp_nor_whole_says_nothing() -> None:
    packet = in_ipv4(ack(MAC, "192.0.2.5", 3600))
    assert told(IP, packet)
    for broken in (packet[:9] + b"\x06" + packet[10:], packet[:60], b"\x65" + packet[1:], b"\x41" + packet[1:]):
        assert told(IP, broken) is None
    assert told(ARP, packet) is None
    assert told(IP6, packet) is None


@given(st.sampled_from((IP, IP6)), st.binary(max_size=600))
@example(IP, b"")
def test_any_bytes_are_read(ethertype: int, packet: bytes) -> None:
    told(ethertype, packet)


@given(st.binary(max_size=400), st.integers(0, 2))
def test_any_options_are_read_and_say_nothing_of_others(options: bytes, op: int) -> None:
    found = said(IP, in_ipv4(dhcp(options, MAC, op=op, address="192.0.2.5", client="192.0.2.6")))
    assert found is None or found.mac == MAC
    six = said(IP6, in_ipv6(options))
    assert six is None or len(six.addresses) <= MOST


@given(st.data())
def test_a_lease_with_bytes_changed_says_nothing_impossible(data: st.DataObject) -> None:
    packet = bytearray(in_ipv6(dhcpv6(7, leased6("2001:db8::5", 3600) + delegated("2001:db8:7::/48", 7200))))
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    found = said(IP6, bytes(packet))
    for one in found.addresses if found else ():
        assert 0 <= one.seconds <= LONGEST
        assert one.span.last - one.span.first < 1 << 96
