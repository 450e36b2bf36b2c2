"""Dummy: a link that goes nowhere, for addresses of its own: ``link-type dummy`` (ip-link(8))."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pvenetd.kinds.link import Link
from pvenetd.option import Mtu, Option


class Dummy(Link):
    """A device that drops what it is given."""

    kinds: ClassVar[tuple[str, ...]] = ("dummy",)

    kind: str = "dummy"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes."""
