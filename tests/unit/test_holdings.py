"""What NICs are leased, as data: what ends it, what moves it, and what is known of it after a boot."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest

from pvenetd.firewall.dhcp import LONGEST, Leased
from pvenetd.firewall.holdings import MOST, Holdings, Seat
from pvenetd.firewall.leases import Element
from pvenetd.firewall.match import Facts, Packet, matches
from pvenetd.firewall.ruleset import ARP, IP, Addresses, Rule, Span

SEAT = Seat(100, 0, "tap100i0", "02:00:00:00:00:01", "vmbr0.0")
SERVER = "192.0.2.9"


def span(text: str) -> Span:
    number = int(IPv4Address(text))
    return Span(number, number)


def leased(text: str, seconds: int = 3600) -> Leased:
    return Leased(4, span(text), seconds)


@pytest.fixture
def held() -> Holdings:
    found = Holdings()
    assert found.take(SEAT, leased("192.0.2.5"), SERVER, 1000.0)
    assert found.take(SEAT, Leased(6, Span(0x20010DB8 << 96, (0x20010DB9 << 96) - 1), 7200), "fe80::1", 1000.0)
    return found


def addresses(held: Holdings) -> list[str]:
    return [one.address for one in held]


def test_a_renewal_is_the_same_lease_for_longer(held: Holdings) -> None:
    renewed = held.take(SEAT, leased("192.0.2.5"), SERVER, 2000.0)
    assert renewed
    assert (renewed.ends, len([*held])) == (5600.0, 2)
    assert renewed.element == Element("tap100i0", SEAT.mac, 4, span("192.0.2.5"))


def test_what_ends_first_goes_first(held: Holdings) -> None:
    assert held.ended(4599.0) == []
    assert [one.address for one in held.ended(4600.0)] == ["192.0.2.5"]
    assert addresses(held) == ["2001:db8::/32"]


def test_so_many_of_a_family_and_renewals_still_count(held: Holdings) -> None:
    for number in range(6, 5 + MOST):
        assert held.take(SEAT, leased(f"192.0.2.{number}"), SERVER, 1000.0)
    assert held.take(SEAT, leased("192.0.2.200"), SERVER, 1000.0) is None
    assert held.take(SEAT, leased("192.0.2.5"), SERVER, 1000.0)


@pytest.mark.parametrize(
    ("seats", "gone", "moved"),
    [
        ({0: SEAT}, 0, 0),
        ({0: Seat(100, 0, "vnet7", SEAT.mac, SEAT.network)}, 0, 2),
        ({0: Seat(100, 0, SEAT.port, "02:00:00:00:00:02", SEAT.network)}, 2, 0),
        ({0: Seat(100, 0, SEAT.port, SEAT.mac, "vmbr0.20")}, 2, 0),
        ({1: SEAT}, 2, 0),
        ({}, 2, 0),
    ],
)
def test_a_lease_follows_its_nic_and_no_other(held: Holdings, seats: dict[int, Seat], gone: int, moved: int) -> None:
    ended, elsewhere = held.move(100, seats)
    assert (len(ended), len(elsewhere), len([*held])) == (gone, moved, 2 - gone)
    assert all(one.seat == seats[0] for one in held)


@pytest.mark.parametrize(
    ("wall", "left"),
    [(5000, 3600.0), (6000, 2600.0), (8600, None), (1, 3600.0), (0, 3600.0)],
    ids=["at once", "later", "too late", "a clock without a battery", "the epoch"],
)
def test_after_a_boot_a_lease_lasts_as_long_as_it_was_given_at_most(
    held: Holdings, wall: float, left: float | None
) -> None:
    told = json.loads(json.dumps(held.to_json(1000.0, 5000.0)))
    again = Holdings()
    again.restore(told, 50.0, wall)
    found = [one.ends - 50.0 for one in again if one.version == 4]
    assert found == ([] if left is None else [left])


def test_a_file_that_somebody_has_written_lets_nothing_last_for_ever(held: Holdings) -> None:
    told = held.to_json(1000.0, 5000.0)
    again = Holdings()
    again.restore([{**one, "seconds": 1e12, "ends": 1e12} for one in told], 0.0, 5000.0)
    assert {one.ends for one in again} == {float(LONGEST)}


STOP = Rule("drop", ethertypes=(IP,), not_source=Addresses(4, (Span(0, 0),)), unless_learnt=True, origin="ipfilter")
ARP_STOP = Rule("drop", ethertypes=(ARP,), not_arp_source=Addresses(4, (Span(0, 0),)), unless_learnt=True)
LEARNT = {"tap100i0": [(4, span("192.0.2.5"))]}


@pytest.mark.parametrize(
    ("rule", "packet", "facts", "expected"),
    [
        (STOP, Packet(source=span("192.0.2.5")), Facts("tap100i0", learnt=LEARNT), False),
        (STOP, Packet(source=span("192.0.2.5")), Facts("tap101i0", learnt=LEARNT), True),
        (STOP, Packet(source=span("192.0.2.6")), Facts("tap100i0", learnt=LEARNT), True),
        (STOP, Packet(source=span("192.0.2.5"), mac="02:00:00:00:00:09"), Facts("tap100i0", learnt=LEARNT), True),
        (STOP, Packet(source=span("0.0.0.0")), Facts("tap100i0", learnt=LEARNT), False),
        (STOP, Packet(source=span("192.0.2.5")), Facts("tap100i0", learnt=None), None),
        (ARP_STOP, Packet(ARP, arp_source=span("192.0.2.5").first), Facts("tap100i0", learnt=LEARNT), False),
        (ARP_STOP, Packet(ARP, arp_source=span("192.0.2.6").first), Facts("tap100i0", learnt=LEARNT), True),
    ],
)
def test_a_simulated_packet_is_held_against_what_was_leased(
    rule: Rule, packet: Packet, facts: Facts, expected: bool | None
) -> None:
    assert matches(rule, packet, facts) is expected
