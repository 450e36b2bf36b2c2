"""Devices that turn up by themselves: NICs, and links that other programs make (IEEE 802.3; ethtool(8))."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pvenetd.kinds.link import Link
from pvenetd.option import Mtu, Note, Option
from pvenetd.resource import Changes, Resource

_ETHERNET_SIZED = ("ethernet", "veth", "macvlan", "tap")
"""Kinds whose MTU is 1500 by nature; a WireGuard or PPP link has its own."""


class Ethernet(Link):
    """A link that pvenetd configures and never makes: whatever kind it has is right."""

    silent: ClassVar[frozenset[str]] = Link.silent | {"kind"}

    kind: str = "ethernet"
    alias: Annotated[Note | None, Option("alias", ("description",))] = None
    """Words for people, shown by ip(8); without it, or without it again, as it is."""
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes; without the option Ethernet's own 1500."""

    def changes(self, current: Resource) -> Changes:
        """Return what differs; a tunnel that somebody else made keeps an MTU that nobody configured."""
        found = super().changes(current)
        if "mtu" not in self.model_fields_set and getattr(current, "kind", "") not in _ETHERNET_SIZED:
            found.pop("mtu", None)
        return found


class Loopback(Link):
    """The loopback interface: its addresses 127.0.0.1/8 and ::1/128 come from the kernel."""

    silent: ClassVar[frozenset[str]] = Link.silent | {"kind", "mtu"}

    kind: str = "loopback"
    alias: Annotated[Note | None, Option("alias", ("description",))] = None
    """Words for people, shown by ip(8); without it, or without it again, as it is."""


class Foreign(Link):
    """A link of a kind pvenetd does not model, as the kernel shows it."""

    silent: ClassVar[frozenset[str]] = Link.silent | {"kind"}

    alias: Note | None = None
    """As it is."""
