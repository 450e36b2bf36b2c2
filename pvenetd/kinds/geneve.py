"""Geneve tunnel (RFC 8926): a stanza with ``geneve-id``; options as VXLAN's have them.

Source: linux/if_link.h IFLA_GENEVE_*; the kernel's drivers/net/geneve.c for what can be changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from pvenetd.kinds.link import Link
from pvenetd.option import DF, FLAG, IP, Df, Ip, Mtu, Option, Tos, Ttl, YesNo
from pvenetd.resource import Resource


class Geneve(Link):
    """An Ethernet segment carried in UDP, to one other end."""

    kinds: ClassVar[tuple[str, ...]] = ("geneve",)
    prefix: ClassVar[str] = "IFLA_GENEVE_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"vni", "dstport", "udp_csum"}
    first: ClassVar[frozenset[str]] = frozenset({"remote"})
    telling: ClassVar[str] = "changed"

    kind: str = "geneve"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes; the outer one is 50 bytes longer over IPv4, 70 over IPv6."""
    vni: Annotated[int, Field(ge=0, lt=2**24), Option("geneve-id", nl="IFLA_GENEVE_ID")]
    """Virtual network identifier."""
    remote: Annotated[Ip, Option("geneve-remote", nl="IFLA_GENEVE_REMOTE", nl6="IFLA_GENEVE_REMOTE6", wire=IP)]
    """The other end."""
    dstport: Annotated[int, Field(ge=1, le=65535), Option("geneve-port", nl="IFLA_GENEVE_PORT")] = 6081
    """UDP port."""
    ttl: Annotated[Ttl, Option("geneve-ttl", nl="IFLA_GENEVE_TTL")] = 0
    """Time to live of the outer packets; 0 or auto leaves it to the kernel."""
    tos: Annotated[Tos, Option("geneve-tos", nl="IFLA_GENEVE_TOS")] = 0
    """Type of service of the outer packets; inherit (1) takes the inner packet's."""
    df: Annotated[Df, Option("geneve-df", nl="IFLA_GENEVE_DF", wire=DF)] = "unset"
    """Don't fragment, in the outer IPv4 header: unset, set, or inherit from the inner packet."""
    udp_csum: Annotated[YesNo, Option("geneve-udp-csum", nl="IFLA_GENEVE_UDP_CSUM", wire=FLAG)] = False
    """Checksums in the outer UDP header over IPv4."""

    @property
    def over_ipv6(self) -> bool:
        return ":" in (self.remote or "")

    @property
    def overhead(self) -> int:
        return 70 if self.over_ipv6 else 50

    def remade(self, current: Resource) -> bool:
        """Return whether it has to be made anew: the family of the outer packets is fixed, too."""
        if super().remade(current):
            return True
        return self.remote is not None and self.over_ipv6 != getattr(current, "over_ipv6", None)

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a Geneve tunnel."""
        return "geneve-id" in options or "geneve-remote" in options
