"""IP in IP (RFC 2003, RFC 4213, RFC 2473): ``tunnel-mode`` ipip, sit, ip6ip6, ipip6, any; method ``v4tunnel``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from pvenetd.kinds.tunnel import Over4, Over6, Packets
from pvenetd.option import Option, Wire


class Ipip(Packets, Over4):
    """IPv4 in IPv4."""

    kinds: ClassVar[tuple[str, ...]] = ("ipip",)
    modes: ClassVar[tuple[str, ...]] = ("ipip",)
    kind: str = "ipip"


class Sit(Packets, Over4):
    """IPv6 in IPv4."""

    kinds: ClassVar[tuple[str, ...]] = ("sit",)
    modes: ClassVar[tuple[str, ...]] = ("sit",)
    kind: str = "sit"


PROTOCOLS = {"ip6ip6": 41, "ipip6": 4, "any": 0}
"""What is carried: IPv6, IPv4, both (the protocol's number in IPv6's next header)."""
_NUMBERS = {number: name for name, number in PROTOCOLS.items()}
_MODE: Wire = Wire(to=lambda mode: PROTOCOLS[mode], of=lambda number: _NUMBERS.get(number, str(number)))


class Ip6tnl(Packets, Over6):
    """IPv6, IPv4 or both in IPv6."""

    kinds: ClassVar[tuple[str, ...]] = ("ip6tnl",)
    module: ClassVar[str] = "ip6_tunnel"
    modes: ClassVar[tuple[str, ...]] = ("ip6ip6", "ipip6", "ip4ip6", "any")
    silent: ClassVar[frozenset[str]] = Packets.silent - {"mode"}
    kind: str = "ip6tnl"
    mode: Annotated[
        str,
        BeforeValidator(lambda text: {"ip4ip6": "ipip6"}.get(text.lower(), text.lower())),
        Option("tunnel-mode", ("mode",), nl="IFLA_TUNNEL_PROTO", wire=_MODE),
    ] = "any"
    """What it carries: ip6ip6 IPv6, ipip6 (ip4ip6) IPv4, any both."""
