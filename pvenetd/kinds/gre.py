"""GRE (RFC 2784, RFC 2890), packets or frames, over IPv4 or IPv6: ``tunnel-mode`` gre, gretap, ip6gre, ip6gretap."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pvenetd.kinds.tunnel import CSUM, KEY, Keyed, Over4, Over6, Packets
from pvenetd.option import Option, Wire, YesNo

_CSUM: Wire = Wire(to=lambda on: CSUM if on else 0, of=lambda flags: bool(flags & CSUM))


class _Gre(Keyed):
    csum: Annotated[YesNo, Option("tunnel-csum", nl="IFLA_TUNNEL_OFLAGS", wire=_CSUM)] = False
    """Checksums in the packets that go out, asked of those that come in."""

    @property
    def overhead(self) -> int:
        return super().overhead + 4 + 4 * (self.okey != "0") + 4 * self.csum + 14 * self.ethernet

    def composed(self) -> dict[str, Any]:
        """Return the flags that say what a packet's header has."""
        csum = CSUM if self.csum else 0
        flags = {
            "IFLA_TUNNEL_IFLAGS": csum | (KEY if self.ikey != "0" else 0),
            "IFLA_TUNNEL_OFLAGS": csum | (KEY if self.okey != "0" else 0),
        }
        return {**super().composed(), **flags}


class Gre(Packets, _Gre, Over4):
    """Packets in GRE over IPv4."""

    kinds: ClassVar[tuple[str, ...]] = ("gre",)
    module: ClassVar[str] = "ip_gre"
    modes: ClassVar[tuple[str, ...]] = ("gre",)
    kind: str = "gre"


class Gretap(_Gre, Over4):
    """Frames in GRE over IPv4: it can be a bridge's port."""

    kinds: ClassVar[tuple[str, ...]] = ("gretap",)
    module: ClassVar[str] = "ip_gre"
    modes: ClassVar[tuple[str, ...]] = ("gretap",)
    ethernet: ClassVar[bool] = True
    kind: str = "gretap"


class Ip6gre(Packets, _Gre, Over6):
    """Packets in GRE over IPv6."""

    kinds: ClassVar[tuple[str, ...]] = ("ip6gre",)
    module: ClassVar[str] = "ip6_gre"
    modes: ClassVar[tuple[str, ...]] = ("ip6gre",)
    kind: str = "ip6gre"


class Ip6gretap(_Gre, Over6):
    """Frames in GRE over IPv6: it can be a bridge's port."""

    kinds: ClassVar[tuple[str, ...]] = ("ip6gretap",)
    module: ClassVar[str] = "ip6_gre"
    modes: ClassVar[tuple[str, ...]] = ("ip6gretap",)
    ethernet: ClassVar[bool] = True
    kind: str = "ip6gretap"
