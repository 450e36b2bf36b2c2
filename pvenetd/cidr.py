"""An address with the length of its network's prefix, as whole numbers: a dozen checks look at each (RFC 4632, 4291).

The `ipaddress` module's objects say the same; making them takes longer than all the checks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import NamedTuple

_USUAL = re.compile(r"(0|[1-9][0-9]{0,2})" + r"\.(0|[1-9][0-9]{0,2})" * 3 + "/(3[0-2]|[12]?[0-9])")


class Cidr(NamedTuple):
    """``192.0.2.1/24``."""

    version: int
    """4 or 6."""
    ip: int
    length: int
    """Bits of the network's prefix."""

    @property
    def host_bits(self) -> int:
        """Return how many bits tell the hosts of its network apart."""
        return (32 if self.version == 4 else 128) - self.length

    @property
    def network(self) -> int:
        """Return the first address of its network."""
        return self.ip >> self.host_bits << self.host_bits

    @property
    def host(self) -> int:
        """Return its number in its network."""
        return self.ip & ((1 << self.host_bits) - 1)

    @property
    def is_link_local(self) -> bool:
        """Return whether its reach is one link (RFC 3927, RFC 4291 section 2.5.6)."""
        return self.ip >> 16 == 0xA9FE if self.version == 4 else self.ip >> 118 == 0x3FA

    @property
    def is_multicast(self) -> bool:
        """Return whether it is a group's (RFC 5771, RFC 4291 section 2.7)."""
        return self.ip >> 28 == 0xE if self.version == 4 else self.ip >> 120 == 0xFF

    def has(self, other: Cidr) -> bool:
        """Return whether *other*'s address lies in its network."""
        return self.version == other.version and self.ip >> self.host_bits == other.ip >> self.host_bits

    def neighbour(self, distance: int) -> str:
        """Return the address so far from its own, as it is written."""
        return _text(self.version, self.ip + distance)

    def __str__(self) -> str:
        return f"{self.neighbour(0)}/{self.length}"

    @property
    def network_text(self) -> str:
        """Return its network as it is written."""
        return f"{_text(self.version, self.network)}/{self.length}"


def _text(version: int, number: int) -> str:
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


@lru_cache(maxsize=1 << 14)
def cidr(text: str) -> Cidr:
    """Return *text* read.  Raises ValueError where it is no address."""
    if found := _USUAL.fullmatch(text):
        first, second, third, fourth, length = map(int, found.groups())
        if first < 256 and second < 256 and third < 256 and fourth < 256:
            return Cidr(4, first << 24 | second << 16 | third << 8 | fourth, length)
    read = ip_interface(text)
    return Cidr(read.version, int(read.ip), read.network.prefixlen)


@lru_cache(maxsize=1 << 14)
def spelled(text: str) -> str:
    """Return *text* in the one spelling that State compares.  Raises ValueError where it is no address."""
    return text if _USUAL.fullmatch(text) and cidr(text) else str(ip_interface(text))
