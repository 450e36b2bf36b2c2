"""Who was leased what: the daemon's side of `firewall.leases`, as data.

Times are of a clock that nobody sets; what is kept across a boot is kept by the wall's, and no lease lasts longer
for that than it was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from pvenetd.firewall.dhcp import LONGEST, Leased
from pvenetd.firewall.leases import Element, spelled
from pvenetd.firewall.ruleset import Span

MOST = 16
"""Addresses of one family that a NIC can be leased: a flood of answers must not fill the kernel."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A guest's NIC, and where it is."""

    vmid: int
    index: int
    """The N of netN."""
    port: str
    mac: str
    """In lower case."""
    network: str
    """The bridge, and the VLAN: an address is leased for there."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What was leased to a NIC."""

    seat: Seat
    version: int
    span: Span
    server: str
    """Empty where the kernel learnt it while nobody listened."""
    ends: float
    seconds: float
    """How long it was leased for."""

    @property
    def address(self) -> str:
        """Return the address, or the prefix."""
        return spelled(self.version, self.span)

    @property
    def element(self) -> Element:
        """Return it as the kernel has it."""
        return Element(self.seat.port, self.seat.mac, self.version, self.span)


Key = tuple[int, int, int, Span]
"""VMID, the N of netN, IP version, address."""


class Holdings:
    """What is leased now."""

    def __init__(self) -> None:
        self._held: dict[Key, Holding] = {}

    def __iter__(self) -> Iterator[Holding]:
        return iter(tuple(self._held.values()))

    def of(self, vmid: int, index: int | None = None) -> list[Holding]:
        """Return what a guest is leased, or one of its NICs."""
        return [one for one in self if one.seat.vmid == vmid and index in (None, one.seat.index)]

    def take(self, seat: Seat, leased: Leased, server: str, now: float) -> Holding | None:
        """Note what a server has leased to a NIC; None where it has too much already."""
        key = (seat.vmid, seat.index, leased.version, leased.span)
        before = self._held.get(key)
        count = sum(one.version == leased.version for one in self.of(seat.vmid, seat.index))
        if before is None and count >= MOST:
            return None
        seconds = float(leased.seconds)
        held = Holding(seat, leased.version, leased.span, server, now + seconds, seconds)
        self._held[key] = held
        return held

    def has(self, seat: Seat, version: int, span: Span) -> Holding | None:
        """Return what a NIC holds of an address."""
        return self._held.get((seat.vmid, seat.index, version, span))

    def drop(self, gone: Iterable[Holding]) -> None:
        """Forget *gone*."""
        for one in gone:
            self._held.pop((one.seat.vmid, one.seat.index, one.version, one.span), None)

    def ended(self, now: float) -> list[Holding]:
        """Forget what has ended, and return it."""
        gone = [one for one in self if one.ends <= now]
        self.drop(gone)
        return gone

    def move(self, vmid: int, seats: Mapping[int, Seat]) -> tuple[list[Holding], list[Holding]]:
        """Have a guest's NICs be *seats*; return what that ends, and what is at another port now.

        A lease is for a MAC address in a network.
        """
        gone, moved = [], []
        for one in self.of(vmid):
            seat = seats.get(one.seat.index)
            if seat is None or (seat.mac, seat.network) != (one.seat.mac, one.seat.network):
                gone.append(one)
            elif seat != one.seat:
                moved.append(Holding(seat, one.version, one.span, one.server, one.ends, one.seconds))
        self.drop(gone)
        self._held |= {(one.seat.vmid, one.seat.index, one.version, one.span): one for one in moved}
        return gone, moved

    def to_json(self, now: float, wall: float) -> list[dict[str, Any]]:
        """Return it as it is kept: what ends when by the *wall*'s clock."""
        return [
            {
                "vmid": one.seat.vmid,
                "nic": one.seat.index,
                "port": one.seat.port,
                "mac": one.seat.mac,
                "network": one.seat.network,
                "address": one.address,
                "server": one.server,
                "ends": round(wall + one.ends - now),
                "seconds": round(one.seconds),
            }
            for one in self
        ]

    def restore(self, told: Iterable[Mapping[str, Any]], now: float, wall: float) -> None:
        """Know again what `to_json` returned; what has ended since is forgotten."""
        for one in told:
            network = ip_network(one["address"])
            span = Span(int(network.network_address), int(network.broadcast_address))
            seat = Seat(one["vmid"], one["nic"], one["port"], one["mac"], one["network"])
            seconds = float(min(one["seconds"], LONGEST))
            left = min(float(one["ends"]) - wall, seconds)
            if left > 0:
                key = (seat.vmid, seat.index, network.version, span)
                self._held[key] = Holding(seat, network.version, span, one["server"], now + left, seconds)
