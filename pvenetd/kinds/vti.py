"""VTI: what IPsec has encrypted, routed by a link of its own (ip-link(8)): ``tunnel-mode`` vti, vti6."""

from __future__ import annotations

from typing import ClassVar

from pvenetd.kinds.tunnel import Keyed, Packets


class Vti(Packets, Keyed):
    """IPsec over IPv4; its policies ask for the tunnel's key as their mark."""

    kinds: ClassVar[tuple[str, ...]] = ("vti",)
    module: ClassVar[str] = "ip_vti"
    modes: ClassVar[tuple[str, ...]] = ("vti",)
    kind: str = "vti"


class Vti6(Packets, Keyed):
    """IPsec over IPv6."""

    kinds: ClassVar[tuple[str, ...]] = ("vti6",)
    module: ClassVar[str] = "ip6_vti"
    modes: ClassVar[tuple[str, ...]] = ("vti6",)
    version: ClassVar[int] = 6
    header: ClassVar[int] = 40
    kind: str = "vti6"
