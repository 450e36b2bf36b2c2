"""VLAN interface: ``eno1.5``, ``vlan5`` or any name with ``vlan-id``, and ``vlan-raw-device`` (IEEE 802.1Q).

Sources: vlan-interfaces(5), ip-link(8) "VLAN Type Support", linux/if_link.h IFLA_VLAN_*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from pvenetd.kinds.link import Link
from pvenetd.option import IFINDEX, Option, VlanId, Wire

PROTOCOLS = {"802.1q": 0x8100, "802.1ad": 0x88A8}
"""Ethertypes of the tag (IEEE 802)."""


def _protocol(value: object) -> object:
    text = str(value).lower()
    if text not in PROTOCOLS:
        raise ValueError(f"should be one of {', '.join(PROTOCOLS)}")
    return text


_NUMBERS = {number: name for name, number in PROTOCOLS.items()}
PROTOCOL = Wire(to=PROTOCOLS.__getitem__, of=lambda number: _NUMBERS.get(number, str(number)))


Protocol = Annotated[str, BeforeValidator(_protocol)]


class Vlan(Link):
    """One VLAN of another link."""

    kinds: ClassVar[tuple[str, ...]] = ("vlan",)
    prefix: ClassVar[str] = "IFLA_VLAN_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"raw_device", "vlan_id", "protocol"}
    lower_fields: ClassVar[tuple[str, ...]] = ("raw_device",)
    carriers: ClassVar[str] = "NICs, bonds, bridges and VLANs carry VLANs"
    like_lower: ClassVar[bool] = True

    kind: str = "vlan"
    raw_device: Annotated[str, Option("vlan-raw-device", nl="IFLA_LINK", wire=IFINDEX)]
    """The link that carries the tagged frames."""
    vlan_id: Annotated[VlanId, Option("vlan-id", nl="IFLA_VLAN_ID")]
    """VLAN identifier, 1 to 4094."""
    protocol: Annotated[Protocol, Option("vlan-protocol", nl="IFLA_VLAN_PROTOCOL", wire=PROTOCOL)] = "802.1q"
    """Which tag: 802.1q (0x8100) or 802.1ad (0x88a8, the provider's)."""

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza of this *name*, or with these *options*, is a VLAN's."""
        return bool(options.keys() & {"vlan-raw-device", "vlan-id"}) or bool(re.fullmatch(r"[^:]+\.[0-9]+", name))

    @classmethod
    def implied(cls, name: str) -> dict[str, str]:
        """Return what *name* alone says: raw device and id of ``eno1.5``, the id of ``vlan5``."""
        if dotted := re.fullmatch(r"([^:]+)\.([0-9]+)", name):
            return {"raw_device": dotted[1], "vlan_id": dotted[2]}
        if numbered := re.fullmatch(r"vlan([0-9]+)", name):
            return {"vlan_id": numbered[1]}
        return {}
