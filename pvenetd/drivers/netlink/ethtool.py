"""A card's settings over the generic netlink family ``ethtool`` (linux/ethtool_netlink.h, linux/genetlink.h)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pvenetd.drivers.netlink.wire import RefusedError, Wire, attributes, nla, raw
from pvenetd.kinds.ethtool import FEC, Ethtool
from pvenetd.option import PLAIN, annotated
from pvenetd.resource import Key, Resource

_GENERIC = 16
"""NETLINK_GENERIC."""
_CONTROL, _GETFAMILY, _FAMILY_ID, _FAMILY_NAME = 0x10, 3, 1, 2
_BODY = 20
"""Bytes before the attributes: nlmsghdr, genlmsghdr."""
_HEADER, _DEV_NAME, _NESTED = 1, 2, 0x8000
_NOMASK, _BITS, _BIT, _BIT_NAME, _BIT_VALUE = 1, 3, 1, 2, 3
_UNKNOWN_SPEED, _UNKNOWN_DUPLEX = 0xFFFFFFFF, 0xFF

_MESSAGES = {
    "LINKMODES": (4, 5),
    "FEATURES": (11, 12),
    "WOL": (9, 10),
    "RINGS": (15, 16),
    "COALESCE": (19, 20),
    "PAUSE": (21, 22),
    "FEC": (29, 30),
}
"""What a setting's attribute is part of → the messages that get and set it."""
_ATTRIBUTES = {
    "ETHTOOL_A_LINKMODES_AUTONEG": (2, "=B"),
    "ETHTOOL_A_LINKMODES_SPEED": (5, "=I"),
    "ETHTOOL_A_LINKMODES_DUPLEX": (6, "=B"),
    "ETHTOOL_A_LINKMODES_LANES": (9, "=I"),
    "ETHTOOL_A_FEATURES_WANTED": (3, "bits"),
    "ETHTOOL_A_WOL_MODES": (2, "bits"),
    "ETHTOOL_A_RINGS_RX": (6, "=I"),
    "ETHTOOL_A_RINGS_RX_MINI": (7, "=I"),
    "ETHTOOL_A_RINGS_RX_JUMBO": (8, "=I"),
    "ETHTOOL_A_RINGS_TX": (9, "=I"),
    "ETHTOOL_A_COALESCE_RX_USECS": (2, "=I"),
    "ETHTOOL_A_COALESCE_RX_MAX_FRAMES": (3, "=I"),
    "ETHTOOL_A_COALESCE_TX_USECS": (6, "=I"),
    "ETHTOOL_A_COALESCE_TX_MAX_FRAMES": (7, "=I"),
    "ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX": (11, "=B"),
    "ETHTOOL_A_COALESCE_USE_ADAPTIVE_TX": (12, "=B"),
    "ETHTOOL_A_PAUSE_AUTONEG": (2, "=B"),
    "ETHTOOL_A_PAUSE_RX": (3, "=B"),
    "ETHTOOL_A_PAUSE_TX": (4, "=B"),
    "ETHTOOL_A_FEC_MODES": (2, "bits"),
}
_FEATURES_ACTIVE = 4
_FEC_AUTO = 3
_RING_MOST = 4
"""A ring's limit stands this many attributes before its size (ETHTOOL_A_RINGS_RX_MAX)."""


class Cards:
    """All cards' settings, read where they are asked for; the socket is opened when one is."""

    def __init__(self) -> None:
        self._wire: Wire | None = None
        self._family = 0

    def close(self) -> None:
        """Give the socket back."""
        if self._wire:
            self._wire.close()

    def observe(self, keys: Iterable[Key]) -> dict[Key, Resource]:
        """Return the settings of the cards among *keys* that are there.  Raises `RefusedError`."""
        found: dict[Key, Resource] = {}
        for key in keys:
            if key[0] == "ethtool" and _is_there(key[1]):
                found[key] = self._card(key[1])
        return found

    def apply(self, verb: str, wanted: Ethtool) -> None:
        """Set what differs now; deleted, it stays as it is.  Raises `RefusedError`."""
        if verb == "-":
            return
        changes = wanted.changes(self._card(wanted.dev))
        for group, (_, setter) in _MESSAGES.items():
            values = {name: now for name, (_, now) in changes.items() if _group(name) == group}
            if values:
                self._open().change([self._message(setter, wanted.dev, _spelled(group, values))])

    def _card(self, dev: str) -> Ethtool:
        values: dict[str, Any] = {}
        limits: list[tuple[str, int]] = []
        for group, (getter, _) in _MESSAGES.items():
            parts = self._ask(getter, dev)
            for name, nl in _fields(group):
                number, form = _ATTRIBUTES[nl]
                number = _FEATURES_ACTIVE if group == "FEATURES" else number
                if number in parts:
                    values[name] = _read(name, parts[number], form, auto=bool(parts.get(_FEC_AUTO, b"\0")[0]))
                if group == "RINGS" and number - _RING_MOST in parts:
                    limits.append((name, _unpacked(parts[number - _RING_MOST], "=I")))
        return Ethtool.model_construct(dev=dev, limits=tuple(limits), **values)

    def _ask(self, getter: int, dev: str) -> dict[int, bytes]:
        """Return the attributes of the answer, none where the card does not have such settings."""
        try:
            bodies = list(self._open().ask(self._message(getter, dev, b"")))
        except RefusedError:
            return {}
        return dict(attributes(bodies[0][_BODY:])) if bodies else {}

    def _message(self, command: int, dev: str, attrs: bytes) -> bytes:
        self._open()
        header = nla(_HEADER | _NESTED, nla(_DEV_NAME, dev.encode() + b"\0"))
        return raw(self._family, 0, struct.pack("=BBH", command, 1, 0) + header + attrs)

    def _open(self) -> Wire:
        if self._wire is None:
            self._wire = Wire(protocol=_GENERIC)
            name = nla(_FAMILY_NAME, b"ethtool\0")
            (body,) = self._wire.ask(raw(_CONTROL, 0, struct.pack("=BBH", _GETFAMILY, 1, 0) + name))
            self._family = struct.unpack_from("=H", dict(attributes(body[_BODY:]))[_FAMILY_ID])[0]
        return self._wire


def _is_there(dev: str) -> bool:
    try:
        return socket.if_nametoindex(dev) > 0
    except OSError:
        return False


@cache
def _fields(group: str) -> tuple[tuple[str, str], ...]:
    """Return (field, attribute) of each setting in *group*."""
    return tuple((name, option.nl) for name, option in annotated(Ethtool) if option.nl.split("_")[2] == group)


@cache
def _group(field: str) -> str:
    return next(group for group in _MESSAGES if field in dict(_fields(group)))


@cache
def _wires() -> Mapping[str, Any]:
    return {name: option.wire or PLAIN for name, option in annotated(Ethtool)}


def _unpacked(data: bytes, form: str) -> int:
    return int(struct.unpack_from(form, data)[0])


def _read(field: str, data: bytes, form: str, *, auto: bool) -> object:
    if field == "fec":
        modes = _names(data)
        return "auto" if auto else next((name for name, mode in FEC.items() if mode in modes), None)
    value = _names(data) if form == "bits" else _unpacked(data, form)
    unknown = (field == "speed" and value == _UNKNOWN_SPEED) or (field == "duplex" and value == _UNKNOWN_DUPLEX)
    return None if unknown else _wires()[field].of(value)


def _names(data: bytes) -> frozenset[str]:
    """Return the names of the bits that are set: with no mask, those listed; else those with a value."""
    parts = dict(attributes(data))
    bits = [dict(attributes(bit)) for _, bit in attributes(parts.get(_BITS, b""))]
    listed = [bit for bit in bits if _NOMASK in parts or _BIT_VALUE in bit]
    return frozenset(bit[_BIT_NAME].rstrip(b"\0").decode() for bit in listed)


def _spelled(group: str, values: Mapping[str, Any]) -> bytes:
    if group == "FEC":
        mode = values["fec"]
        named = {} if mode == "auto" else {FEC[mode]: True}
        return _bits(2, named, whole=True) + nla(_FEC_AUTO, struct.pack("=B", mode == "auto"))
    out = b""
    bits: dict[str, bool] = {}
    known = dict(_fields(group))
    for field, value in values.items():
        number, form = _ATTRIBUTES[known[field]]
        told = _wires()[field].to(value)
        if form == "bits":
            bits |= told
        else:
            out += nla(number, struct.pack(form, told))
    return out + (_bits(_ATTRIBUTES[known[next(iter(values))]][0], bits) if bits else b"")


def _bits(number: int, values: Mapping[str, bool], *, whole: bool = False) -> bytes:
    """Return a bit set: *values* by name, of all there are, or, *whole*, only those."""
    entries = b"".join(
        nla(_BIT | _NESTED, nla(_BIT_NAME, name.encode() + b"\0") + (nla(_BIT_VALUE, b"") if on and not whole else b""))
        for name, on in values.items()
    )
    return nla(number | _NESTED, (nla(_NOMASK, b"") if whole else b"") + nla(_BITS | _NESTED, entries))
