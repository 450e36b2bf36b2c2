"""What the tunnels of ``tunnel-mode`` have in common: two ends, and a packet in a packet (ip-tunnel(8)).

Stanzas are ifupdown2's (``tunnel-mode gre``), and interfaces(5)'s methods ``tunnel`` and ``v4tunnel``.
The attributes are called IFLA_TUNNEL_* here: the kernel has each as IFLA_GRE_*, IFLA_IPTUN_* or IFLA_VTI_*.

Source: linux/if_tunnel.h; the kernel's net/ipv4/ip_tunnel.c: what a message does not say goes back to its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pvenetd.kinds.link import Link
from pvenetd.option import FLAG, IFINDEX, IP, IpOrNone, Mac, Option, Tos, Ttl, Wire, YesNo
from pvenetd.resource import Key, Resource

_USUAL_MTU = 1500
KEY, CSUM = 0x2000, 0x8000
"""GRE_KEY, GRE_CSUM (linux/if_tunnel.h)."""


class Tunnel(Link):
    """A link whose packets travel in IPv4 packets to its other end."""

    prefix: ClassVar[str] = "IFLA_TUNNEL_"
    silent: ClassVar[frozenset[str]] = Link.silent | {"mode"}
    telling: ClassVar[str] = "all"
    lower_fields: ClassVar[tuple[str, ...]] = ("physdev",)
    modes: ClassVar[tuple[str, ...]] = ()
    """What ``tunnel-mode`` calls it."""
    version: ClassVar[int] = 4
    """Of the packets that carry it."""
    header: ClassVar[int] = 20
    """Bytes that are put before each packet, without what options add."""
    ethernet: ClassVar[bool] = False
    """Whether it carries frames, and can be a bridge's port, or packets alone."""

    mode: Annotated[str, Option("tunnel-mode", ("mode",))] = ""
    """What it is: gre, gretap, ipip, sit, vti, ip6gre, ip6gretap, ip6ip6, ipip6, any, vti6."""
    physdev: Annotated[str, Option("tunnel-dev", ("tunnel-physdev",), nl="IFLA_TUNNEL_LINK", wire=IFINDEX)] = ""
    """The link that its packets leave by; without one the route decides."""
    local: Annotated[IpOrNone, Option("tunnel-local", ("local",), nl="IFLA_TUNNEL_LOCAL", wire=IP)] = ""
    """Source address of the outer packets."""
    remote: Annotated[IpOrNone, Option("tunnel-endpoint", ("endpoint",), nl="IFLA_TUNNEL_REMOTE", wire=IP)] = ""
    """The other end."""

    @field_validator("local", "remote", mode="before")
    @classmethod
    def _of_its_family(cls, text: Any) -> Any:
        if text in ("any", "0.0.0.0", "::"):  # noqa: S104 - no address to bind to
            return ""
        if text and ip_address(text).version != cls.version:
            raise ValueError(f"should be an IPv{cls.version} address")
        return text

    @property
    def over_ipv6(self) -> bool:
        return self.version == 6

    @property
    def overhead(self) -> int:
        return self.header

    def usual_mtu(self, below: int | None) -> int | None:
        """Return what is left of the packets that carry it, as the kernel does."""
        return (below or _USUAL_MTU) - self.overhead

    @property
    def dies_with(self) -> frozenset[Key]:
        return frozenset()

    def after(self, gone: frozenset[Key]) -> Self:
        """Return this tunnel as the kernel leaves it: without the link it went by."""
        left = super().after(gone)
        return left.model_copy(update={"physdev": ""}) if ("link", self.physdev) in gone else left

    def remade(self, current: Resource) -> bool:
        """Return whether it has to be made anew: one with many other ends does not become one with one."""
        ends = (self.remote, getattr(current, "remote", None))
        other = None not in ends and bool(ends[0]) != bool(ends[1])
        return super().remade(current) or (other and self.version == 4 and not self.ethernet)

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a tunnel of this kind."""
        return options.get("tunnel-mode", "").lower() in cls.modes


class Packets(Tunnel):
    """A tunnel of packets: it has no MAC."""

    mac: Mac | None = None


class Over4(Tunnel):
    """What IPv4 adds."""

    ttl: Annotated[Ttl, Option("tunnel-ttl", ("ttl",), nl="IFLA_TUNNEL_TTL")] = 0
    """Time to live of the outer packets; 0 or inherit takes the inner packet's."""
    tos: Annotated[Tos, Option("tunnel-tos", ("tos",), nl="IFLA_TUNNEL_TOS")] = 0
    """Type of service of the outer packets; inherit (1) takes the inner packet's."""
    pmtudisc: Annotated[YesNo, Option("tunnel-pmtudisc", nl="IFLA_TUNNEL_PMTUDISC", wire=FLAG)] = True
    """Do not let the outer packets be fragmented: senders learn what fits (path MTU discovery)."""


class Over6(Tunnel):
    """What IPv6 adds."""

    version: ClassVar[int] = 6
    header: ClassVar[int] = 40

    ttl: Annotated[Ttl, Option("tunnel-ttl", ("ttl",), nl="IFLA_TUNNEL_TTL")] = 64
    """Hop limit of the outer packets, 64 as ip(8) has it; 0 or inherit takes the inner packet's."""
    tos: Annotated[
        Tos,
        Option(
            "tunnel-tos",
            ("tos",),
            nl="IFLA_TUNNEL_FLOWINFO",
            wire=Wire(to=lambda tos: tos << 20, of=lambda flow: flow >> 20 & 0xFF),
        ),
    ] = 0
    """Traffic class of the outer packets."""
    encap_limit: Annotated[int, Field(ge=0, le=255), Option("tunnel-encaplimit", nl="IFLA_TUNNEL_ENCAP_LIMIT")] = 4
    """How many tunnels its packets may be put into on their way, as an option of 8 bytes (RFC 2473); 0 for none."""

    @property
    def overhead(self) -> int:
        return super().overhead + (8 if self.encap_limit else 0)

    def composed(self) -> dict[str, Any]:
        """Return the flags: IP6_TNL_F_IGN_ENCAP_LIMIT (linux/ip6_tunnel.h)."""
        return {**super().composed(), "IFLA_TUNNEL_FLAGS": 0 if self.encap_limit else 1}


def _key(text: str) -> str:
    number = int(ip_address(text)) if text.count(".") == 3 else int(text) if text.isdecimal() else -1
    if not 0 <= number < 2**32:
        raise ValueError("should be 0 to 4294967295, or four numbers with dots")
    return str(number)


Key32 = Annotated[str, AfterValidator(_key)]
_KEY: Wire = Wire(to=int, of=str)


class Keyed(Tunnel):
    """A tunnel among several between the same two ends, told apart by keys."""

    silent: ClassVar[frozenset[str]] = Tunnel.silent | {"both_keys"}

    both_keys: Annotated[Key32, Option("tunnel-key")] = "0"
    """Key of the packets in both directions: a number, or four with dots; 0 for none."""
    ikey: Annotated[Key32, Option("tunnel-ikey", nl="IFLA_TUNNEL_IKEY", wire=_KEY)] = "0"
    """Key of the packets that come in, where it is another one."""
    okey: Annotated[Key32, Option("tunnel-okey", nl="IFLA_TUNNEL_OKEY", wire=_KEY)] = "0"
    """Key of the packets that go out, where it is another one."""

    @model_validator(mode="before")
    @classmethod
    def _one_key_for_both(cls, values: Any) -> Any:
        key = values.get("both_keys") if isinstance(values, dict) else None
        try:
            return {"ikey": _key(key), "okey": _key(key), **values} if key else values
        except ValueError:
            return values
