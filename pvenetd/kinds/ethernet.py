"""Devices that turn up by themselves: NICs, and links that other programs make (IEEE 802.3; ethtool(8))."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pvenetd.kinds.link import Link
from pvenetd.option import Mtu, Option
from pvenetd.resource import Changes


class Ethernet(Link):
    """A link that pvenetd configures and never makes: whatever kind it has is right."""

    silent: ClassVar[frozenset[str]] = Link.silent | {"kind"}

    kind: str = "ethernet"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes; without the option Ethernet's own 1500."""


class Loopback(Link):
    """The loopback interface: its addresses 127.0.0.1/8 and ::1/128 come from the kernel."""

    silent: ClassVar[frozenset[str]] = Link.silent | {"kind", "mtu"}

    kind: str = "loopback"


class Foreign(Link):
    """A link of a kind pvenetd does not model, as the kernel shows it."""

    silent: ClassVar[frozenset[str]] = Link.silent | {"kind"}

    def changes(self, current: Self) -> Changes:
        """Return what differs, for the fields that all links have."""
        return super().changes(current)
