"""VRF: a routing table of its own for the links that belong to it (the kernel's Documentation/networking/vrf.rst).

A stanza with ``vrf-table``; its members say ``vrf NAME``.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from pvenetd.kinds.link import Link
from pvenetd.option import Mtu, Option

_FIRST_AUTO, _AUTO_TABLES = 1001, 4000
"""ifupdown2 takes its tables from 1001 to 5000."""


class Vrf(Link):
    """A master whose members' routes stand in a table of their own; the kernel makes the rules that lead there."""

    kinds: ClassVar[tuple[str, ...]] = ("vrf",)
    prefix: ClassVar[str] = "IFLA_VRF_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"table"}

    kind: str = "vrf"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 65575
    """Largest packet in bytes: what passes is its members' affair, so the kernel's own is the largest there is."""
    table: Annotated[int, Field(ge=1, le=2**32 - 1), Option("vrf-table", nl="IFLA_VRF_TABLE")]
    """Number of the routing table, or ``auto``: one of 1001 to 5000, always the same for the same name."""

    @field_validator("table", mode="before")
    @classmethod
    def _auto(cls, value: Any, info: ValidationInfo) -> Any:
        """Choose by the name: numbers given in turn would change with the stanzas before."""
        name = str(info.data.get("name", ""))
        return _FIRST_AUTO + zlib.crc32(name.encode()) % _AUTO_TABLES if value == "auto" else value

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a VRF."""
        return "vrf-table" in options
