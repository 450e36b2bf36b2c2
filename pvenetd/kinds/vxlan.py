"""VXLAN tunnel end point (RFC 7348): a stanza with ``vxlan-id``.

Sources: RFC 7348 section 5 (24-bit VNI, UDP port 4789); linux/if_link.h IFLA_VXLAN_*.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from pvenetd.kinds.link import Link
from pvenetd.option import FLAG, Mtu, Option, YesNo

_V4 = AfterValidator(lambda text: str(IPv4Address(text)))


class Vxlan(Link):
    """An Ethernet segment carried in UDP."""

    kinds: ClassVar[tuple[str, ...]] = ("vxlan",)
    prefix: ClassVar[str] = "IFLA_VXLAN_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"vni", "dstport"}

    kind: str = "vxlan"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes; the outer one is 50 bytes longer over IPv4."""
    vni: Annotated[int, Field(ge=1, lt=2**24), Option("vxlan-id", nl="IFLA_VXLAN_ID")]
    """VXLAN network identifier."""
    local: Annotated[str | None, _V4, Option("vxlan-local-tunnelip", nl="IFLA_VXLAN_LOCAL")] = None
    """Source address of the outer packets; without one the kernel picks it by route."""
    remote: Annotated[str | None, _V4, Option("vxlan-remoteip", nl="IFLA_VXLAN_GROUP")] = None
    """Where frames for unknown MACs go: the other end point, or a multicast group."""
    dstport: Annotated[int, Field(ge=1, le=65535), Option("vxlan-port", nl="IFLA_VXLAN_PORT")] = 4789
    """UDP port: IANA's 4789, not the kernel's historic 8472."""
    vxlan_learning: Annotated[YesNo, Option("vxlan-learning", nl="IFLA_VXLAN_LEARNING", wire=FLAG)] = True
    """Learn remote MACs from the packets that come in."""

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a VXLAN end point."""
        return "vxlan-id" in options
