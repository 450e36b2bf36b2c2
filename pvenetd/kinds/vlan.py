"""VLAN interface: ``eno1.5``, ``vlan5`` or any name with ``vlan-id``, and ``vlan-raw-device`` (IEEE 802.1Q).

Sources: vlan-interfaces(5), ip-link(8) "VLAN Type Support", linux/if_link.h IFLA_VLAN_*.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from pvenetd.kinds.link import Link
from pvenetd.option import IFINDEX, Option, VlanId, Wire, YesNo, bit

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


def _map(tag: int) -> BeforeValidator:
    """Return a reader of maps spelled with colons or ``=``, and blanks or commas; *tag* is the place of the tag's."""

    def read(value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs: dict[int, int] = {}
        for word in value.replace(",", " ").split():
            found = re.fullmatch(r"(\d+)[:=](\d+)", word)
            if not found or int(found[2 - tag]) >= 2**32:
                raise ValueError(f"{word!r} is no pair like 0:1")
            if int(found[1 + tag]) > _HIGHEST:
                raise ValueError(f"{word!r}: a tag's priority is at most {_HIGHEST}")
            pairs[int(found[1])] = int(found[2])
        return _map_text(pairs.items())

    return BeforeValidator(read)


_HIGHEST = 7
"""The priority of a tag has three bits (IEEE 802.1Q)."""


def _pairs(text: str) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, _, b in (word.partition(":") for word in text.split(",") if word)]


def _map_text(pairs: Iterable[tuple[int, int]]) -> str:
    return ",".join(f"{a}:{b}" for a, b in sorted(pairs) if b)


def _told(was: object, wanted: str) -> str:
    """Return *wanted* and, as 0, what has to be forgotten: the kernel adds to the map it has."""
    gone = {a for a, _ in _pairs(str(was or ""))} - {a for a, _ in _pairs(wanted)}
    return ",".join(filter(None, (wanted, *(f"{a}:0" for a in sorted(gone)))))


_MAP = Wire(to=_pairs, of=_map_text, over=_told)
FromTag = Annotated[str, _map(0)]
ToTag = Annotated[str, _map(1)]


_DOTTED, _NUMBERED = re.compile(r"([^:]+)\.([0-9]+)"), re.compile(r"vlan([0-9]+)")


class Vlan(Link):
    """One VLAN of another link."""

    kinds: ClassVar[tuple[str, ...]] = ("vlan",)
    module: ClassVar[str] = "8021q"
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

    reorder_header: Annotated[YesNo, Option("vlan-reorder-hdr", nl="IFLA_VLAN_FLAGS", wire=bit(0))] = True
    """Packets are seen on it without their tag."""
    gvrp: Annotated[YesNo, Option("vlan-gvrp", nl="IFLA_VLAN_FLAGS", wire=bit(1))] = False
    """Register the VLAN with the switch by GVRP (802.1Q)."""
    mvrp: Annotated[YesNo, Option("vlan-mvrp", nl="IFLA_VLAN_FLAGS", wire=bit(3))] = False
    """Register it by MVRP (802.1ak)."""
    loose_binding: Annotated[YesNo, Option("vlan-loose-binding", nl="IFLA_VLAN_FLAGS", wire=bit(2))] = False
    """It stays up when the link below goes down."""
    bridge_binding: Annotated[YesNo, Option("vlan-bridge-binding", nl="IFLA_VLAN_FLAGS", wire=bit(4))] = False
    """Its carrier is that of the bridge's ports in the VLAN, where the link below is a bridge."""
    ingress_qos: Annotated[
        FromTag, Option("vlan-ingress-qos-map", nl="IFLA_VLAN_INGRESS_QOS", wire=_MAP, several=True)
    ] = ""
    """Priority of packets that come in, by the tag's: ``3:6`` and so on (tag:packet); 0 where it says nothing."""
    egress_qos: Annotated[ToTag, Option("vlan-egress-qos-map", nl="IFLA_VLAN_EGRESS_QOS", wire=_MAP, several=True)] = ""
    """Priority in the tag of packets that go out, by the packet's: ``6:3`` (packet:tag); 0 where it says nothing."""

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza of this *name*, or with these *options*, is a VLAN's."""
        return bool(options.keys() & {"vlan-raw-device", "vlan-id"}) or _DOTTED.fullmatch(name) is not None

    @classmethod
    def implied(cls, name: str) -> dict[str, str]:
        """Return what *name* alone says: raw device and id of ``eno1.5``, the id of ``vlan5``."""
        if dotted := _DOTTED.fullmatch(name):
            return {"raw_device": dotted[1], "vlan_id": dotted[2]}
        if numbered := _NUMBERED.fullmatch(name):
            return {"vlan_id": numbered[1]}
        return {}
