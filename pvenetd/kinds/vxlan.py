"""VXLAN tunnel end point (RFC 7348): a stanza with ``vxlan-id``.

Sources: RFC 7348 section 5 (24-bit VNI, UDP port 4789); linux/if_link.h IFLA_VXLAN_*; the kernel's
drivers/net/vxlan/vxlan_core.c for what can be changed in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from pvenetd.kinds.link import Link
from pvenetd.option import FLAG, IP, IpOrNone, Mtu, Option, YesNo
from pvenetd.resource import Resource


def _words(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


def sorted_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return *addresses* in their one order, each once."""
    found = {ip_address(text) for text in addresses}
    return tuple(str(address) for address in sorted(found, key=lambda address: (address.version, int(address))))


Remotes = Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(sorted_addresses)]
"""Addresses in their one order."""


class Vxlan(Link):
    """An Ethernet segment carried in UDP."""

    kinds: ClassVar[tuple[str, ...]] = ("vxlan",)
    prefix: ClassVar[str] = "IFLA_VXLAN_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"vni", "dstport"}
    first: ClassVar[frozenset[str]] = frozenset({"local"})
    telling: ClassVar[str] = "changed"

    kind: str = "vxlan"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes; the outer one is 50 bytes longer over IPv4, 70 over IPv6."""
    vni: Annotated[int, Field(ge=1, lt=2**24), Option("vxlan-id", nl="IFLA_VXLAN_ID")]
    """VXLAN network identifier."""
    local: Annotated[
        IpOrNone, Option("vxlan-local-tunnelip", nl="IFLA_VXLAN_LOCAL", nl6="IFLA_VXLAN_LOCAL6", wire=IP)
    ] = ""
    """Source address of the outer packets; without one the kernel picks it by route."""
    remotes: Annotated[Remotes, Option("vxlan-remoteip", several=True)] = ()
    """The other end points, each of which is sent what is for all or for unknown MACs (entries of the FDB)."""
    dstport: Annotated[int, Field(ge=1, le=65535), Option("vxlan-port", nl="IFLA_VXLAN_PORT")] = 4789
    """UDP port: IANA's 4789, not the kernel's historic 8472."""
    vxlan_learning: Annotated[YesNo, Option("vxlan-learning", nl="IFLA_VXLAN_LEARNING", wire=FLAG)] = True
    """Learn remote MACs from the packets that come in."""

    @field_validator("remotes")
    @classmethod
    def _not_itself(cls, remotes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Drop the host's own address: one list may serve for all hosts."""
        return tuple(text for text in remotes if text != info.data.get("local"))

    @property
    def over_ipv6(self) -> bool:
        return any(":" in text for text in (self.local or "", *(self.remotes or ())))

    def remade(self, current: Resource) -> bool:
        """Return whether it has to be made anew: the family of the outer packets is fixed, too."""
        if super().remade(current):
            return True
        return None not in (self.local, self.remotes) and self.over_ipv6 != getattr(current, "over_ipv6", None)

    @classmethod
    def claims(cls, name: str, options: Mapping[str, Any]) -> bool:
        """Return whether a stanza with *options* is a VXLAN end point."""
        return "vxlan-id" in options
