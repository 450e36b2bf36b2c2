"""Macvlan and macvtap: a link with a MAC of its own on another link (ip-link(8) "MACVLAN and MACVTAP Type Support").

A stanza with ``macvlan-raw-device``; ``link-type macvtap`` has a character device for a guest besides.
Source: the kernel's drivers/net/macvlan.c; linux/if_link.h IFLA_MACVLAN_*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from pvenetd.kinds.link import Link
from pvenetd.option import IFINDEX, Option, Wire
from pvenetd.resource import Resource

MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8, "source": 16}
_NAMES = {number: name for name, number in MODES.items()}


def _mode(text: str) -> str:
    if text not in MODES:
        raise ValueError(f"should be one of {', '.join(MODES)}")
    return text


_MODE = Wire(to=MODES.__getitem__, of=lambda number: _NAMES.get(number, str(number)))


class Macvlan(Link):
    """A link of its own on the wire of another."""

    kinds: ClassVar[tuple[str, ...]] = ("macvlan",)
    prefix: ClassVar[str] = "IFLA_MACVLAN_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"raw_device"}
    first: ClassVar[frozenset[str]] = frozenset({"mode"})
    telling: ClassVar[str] = "changed"
    lower_fields: ClassVar[tuple[str, ...]] = ("raw_device",)
    carriers: ClassVar[str] = "NICs, bonds, bridges and VLANs carry macvlans"
    like_lower: ClassVar[bool] = True

    kind: str = "macvlan"
    raw_device: Annotated[str, Option("macvlan-raw-device", nl="IFLA_LINK", wire=IFINDEX)]
    """The link whose wire it uses."""
    mode: Annotated[str, AfterValidator(_mode), Option("macvlan-mode", nl="IFLA_MACVLAN_MODE", wire=_MODE)] = "vepa"
    """Whom it reaches on the same raw device: private nobody, vepa by the switch outside, bridge directly;
    passthru has the raw device for itself, source takes frames only from listed MACs."""

    def remade(self, current: Resource) -> bool:
        """Return whether it has to be made anew: nothing becomes passthru later, or stops being it."""
        modes = {self.mode, getattr(current, "mode", None)}
        return super().remade(current) or (None not in modes and len(modes) > 1 and "passthru" in modes)

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a macvlan."""
        return "macvlan-raw-device" in options or options.get("link-type") == "macvlan"


class Macvtap(Macvlan):
    """A macvlan with a character device, ``/dev/tapN``."""

    kinds: ClassVar[tuple[str, ...]] = ("macvtap",)

    kind: str = "macvtap"

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a macvtap."""
        return options.get("link-type") == "macvtap"
