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
from pvenetd.option import DF, FLAG, IFINDEX, IP, PRESENT, Df, IpOrNone, Mtu, Option, Tos, Ttl, Wire, YesNo
from pvenetd.resource import Resource


def _words(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


def sorted_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return *addresses* in their one order, each once."""
    found = {ip_address(text) for text in addresses}
    return tuple(str(address) for address in sorted(found, key=lambda address: (address.version, int(address))))


Remotes = Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(sorted_addresses)]
"""Addresses in their one order."""


def _ports(text: str) -> str:
    words = text.replace("-", " ").split()
    if (
        len(words) != 2
        or not all(word.isdigit() and int(word) < 65536 for word in words)
        or int(words[0]) > int(words[1])
    ):
        raise ValueError("should be two UDP ports, the smaller first")
    return f"{int(words[0])} {int(words[1])}"


_PORTS: Wire = Wire(to=lambda text: tuple(map(int, text.split())), of=lambda ports: f"{ports[0]} {ports[1]}")


class Vxlan(Link):
    """An Ethernet segment carried in UDP."""

    kinds: ClassVar[tuple[str, ...]] = ("vxlan",)
    prefix: ClassVar[str] = "IFLA_VXLAN_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"vni", "dstport", "srcport", "udp_csum", "gbp"}
    first: ClassVar[frozenset[str]] = frozenset({"local", "svcnode", "physdev"})
    lower_fields: ClassVar[tuple[str, ...]] = ("physdev",)
    telling: ClassVar[str] = "changed"
    silent: ClassVar[frozenset[str]] = Link.silent | {"marked"}

    kind: str = "vxlan"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = None
    """Largest packet in bytes; the outer one is 50 bytes longer over IPv4, 70 over IPv6.  Without the option 1500,
    or what fits into the packets of vxlan-physdev."""
    vni: Annotated[int, Field(ge=1, lt=2**24), Option("vxlan-id", nl="IFLA_VXLAN_ID")]
    """VXLAN network identifier."""
    local: Annotated[
        IpOrNone,
        Option("vxlan-local-tunnelip", ("vxlan-local-ip",), nl="IFLA_VXLAN_LOCAL", nl6="IFLA_VXLAN_LOCAL6", wire=IP),
    ] = ""
    """Source address of the outer packets; without one the kernel picks it by route."""
    remotes: Annotated[Remotes, Option("vxlan-remoteip", ("vxlan-peer-ips",), several=True)] = ()
    """The other end points, each of which is sent what is for all or for unknown MACs (entries of the FDB)."""
    physdev: Annotated[str, Option("vxlan-physdev", nl="IFLA_VXLAN_LINK", wire=IFINDEX, down=True)] = ""
    """The link the outer packets leave by; a multicast group needs one."""
    svcnode: Annotated[
        IpOrNone,
        Option(
            "vxlan-svcnodeip",
            ("vxlan-mcastgrp", "vxlan-svcnodeip6", "vxlan-mcastgrp6", "vxlan-peer-group"),
            nl="IFLA_VXLAN_GROUP",
            nl6="IFLA_VXLAN_GROUP6",
            wire=IP,
            down=True,
        ),
    ] = ""
    """The multicast group, or the one node, that is sent what is for all or for unknown MACs."""
    marked: str = ""
    """Current: what its mark says of which remotes are ours."""
    dstport: Annotated[int, Field(ge=1, le=65535), Option("vxlan-port", ("vxlan-dstport",), nl="IFLA_VXLAN_PORT")] = (
        4789
    )
    """UDP port: IANA's 4789, not the kernel's historic 8472."""
    vxlan_learning: Annotated[YesNo, Option("vxlan-learning", nl="IFLA_VXLAN_LEARNING", wire=FLAG)] = True
    """Learn remote MACs from the packets that come in."""

    ageing: Annotated[int, Field(ge=0, le=2**31 - 1), Option("vxlan-ageing", nl="IFLA_VXLAN_AGEING")] = 300
    """Seconds a learned MAC is kept."""
    ttl: Annotated[Ttl, Option("vxlan-ttl", nl="IFLA_VXLAN_TTL")] = 0
    """Time to live of the outer packets; 0 or auto leaves it to the kernel: 1 for a group."""
    tos: Annotated[Tos, Option("vxlan-tos", nl="IFLA_VXLAN_TOS")] = 0
    """Type of service of the outer packets; inherit (1) takes the inner packet's."""
    df: Annotated[Df, Option("vxlan-df", nl="IFLA_VXLAN_DF", wire=DF)] = "unset"
    """Don't fragment, in the outer IPv4 header: unset, set, or inherit from the inner packet."""
    udp_csum: Annotated[YesNo, Option("vxlan-udp-csum", nl="IFLA_VXLAN_UDP_CSUM", wire=FLAG)] = True
    """Checksums in the outer UDP header over IPv4."""
    srcport: Annotated[
        str, AfterValidator(_ports), Option("vxlan-srcport", nl="IFLA_VXLAN_PORT_RANGE", wire=_PORTS)
    ] = "0 0"
    """First and last UDP port to send from, chosen by the inner flow; 0 0 leaves it to the kernel."""
    gbp: Annotated[YesNo, Option("vxlan-gbp", nl="IFLA_VXLAN_GBP", wire=PRESENT)] = False
    """Carry the packet mark along (group policy extension)."""

    @field_validator("remotes")
    @classmethod
    def _not_itself(cls, remotes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Drop the host's own address: one list may serve for all hosts."""
        return tuple(text for text in remotes if text != info.data.get("local"))

    @property
    def over_ipv6(self) -> bool:
        return any(":" in text for text in (self.local or "", self.svcnode or "", *(self.remotes or ())))

    @property
    def overhead(self) -> int:
        return 70 if self.over_ipv6 else 50

    def usual_mtu(self, below: int | None) -> int | None:
        """Return Ethernet's own, or what the kernel allows on a link that was named."""
        return below - self.overhead if below else 1500

    def remade(self, current: Resource) -> bool:
        """Return whether it has to be made anew: the family of the outer packets is fixed, and a physdev stays."""
        if super().remade(current) or (self.physdev == "" and bool(getattr(current, "physdev", None))):
            return True
        return None not in (self.local, self.svcnode, self.remotes) and self.over_ipv6 != getattr(
            current, "over_ipv6", None
        )

    @classmethod
    def claims(cls, name: str, options: Mapping[str, Any]) -> bool:
        """Return whether a stanza with *options* is a VXLAN end point."""
        return "vxlan-id" in options
