"""Links for traffic that goes nowhere else: ``link-type`` dummy (addresses of its own) or ifb (ip-link(8))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pvenetd.kinds.link import Link
from pvenetd.option import Mtu, Option


class Dummy(Link):
    """A device that drops what it is given."""

    kinds: ClassVar[tuple[str, ...]] = ("dummy",)

    kind: str = "dummy"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes."""

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is one."""
        return options.get("link-type") == cls.kinds[0]


class Ifb(Dummy):
    """A device that what comes in by others is redirected to, to be shaped (tc-mirred(8))."""

    kinds: ClassVar[tuple[str, ...]] = ("ifb",)

    kind: str = "ifb"
