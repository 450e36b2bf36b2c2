"""A bridge port's VLANs, and the bridge's own (linux/if_bridge.h: IFLA_BRIDGE_VLAN_INFO, RTM_GETVLAN)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pvenetd.drivers.netlink.wire import RefusedError, Wire, attributes, nla, raw
from pvenetd.option import vlan_ranges, vlan_text

_AF_BRIDGE = 7
_SETLINK, _DELLINK, _GETVLAN = 19, 17, 114
_IFLA_AF_SPEC, _BRIDGE_FLAGS, _BRIDGE_VLAN_INFO, _NESTED = 26, 0, 2, 0x8000
_MASTER, _SELF = 1, 2
_PVID, _UNTAGGED, _RANGE_BEGIN, _RANGE_END = 0x2, 0x4, 0x8, 0x10
_DB_ENTRY, _ENTRY_INFO, _ENTRY_RANGE = 1, 1, 2
_INFO = struct.Struct("=HH")
"""struct bridge_vlan_info: flags, vid."""


def observe(wire: Wire, number: int) -> tuple[str, int]:
    """Return (VLANs, pvid) of port *number*, or of the bridge itself; nothing where it has none."""
    found: list[tuple[int, int]] = []
    pvid = 0
    try:
        answers = list(wire.ask(raw(_GETVLAN, 0, struct.pack("=BBHI", _AF_BRIDGE, 0, 0, number)), dump=True))
    except RefusedError:
        return "", 0
    for answer in answers:
        if struct.unpack_from("=I", answer, 20)[0] != number:
            continue
        for kind, entry in attributes(answer[24:]):
            if kind != _DB_ENTRY:
                continue
            parts = dict(attributes(entry))
            flags, first = _INFO.unpack_from(parts[_ENTRY_INFO])
            last = struct.unpack("=H", parts[_ENTRY_RANGE])[0] if _ENTRY_RANGE in parts else first
            found.append((first, last))
            pvid = first if flags & _PVID else pvid
    return (vlan_text(vlan_ranges(",".join(f"{a}-{b}" for a, b in found))) if found else ""), pvid


def bring(wire: Wire, number: int, vids: str, pvid: int, *, bridge: bool) -> None:
    """Bring the VLANs of port *number* to *vids*, untagged only *pvid*: what is new first, then what goes.

    Raises `RefusedError`.
    """
    have, had_pvid = observe(wire, number)
    wanted = _set(vids)
    target = _SELF if bridge else _MASTER
    fresh = wanted - _set(have) | ({had_pvid} & wanted if had_pvid != pvid else set())
    adds = [_info(first, last, 0) for first, last in _ranges(fresh - {pvid})]
    if pvid and (pvid != had_pvid or pvid in fresh):
        adds.append(_info(pvid, pvid, _PVID | _UNTAGGED))
    drops = [_info(first, last, 0) for first, last in _ranges(_set(have) - wanted)]
    if adds:
        wire.change([_message(_SETLINK, number, target, adds)])
    if drops:
        wire.change([_message(_DELLINK, number, target, drops)])


def _set(text: str) -> set[int]:
    return {vid for first, last in vlan_ranges(text) for vid in range(first, last + 1)} if text else set()


def _ranges(vids: Iterable[int]) -> tuple[tuple[int, int], ...]:
    text = ",".join(map(str, vids))
    return vlan_ranges(text) if text else ()


def _info(first: int, last: int, flags: int) -> bytes:
    if first == last:
        return nla(_BRIDGE_VLAN_INFO, _INFO.pack(flags, first))
    begin, end = _INFO.pack(flags | _RANGE_BEGIN, first), _INFO.pack(flags | _RANGE_END, last)
    return nla(_BRIDGE_VLAN_INFO, begin) + nla(_BRIDGE_VLAN_INFO, end)


def _message(kind: int, number: int, target: int, infos: list[bytes]) -> bytes:
    spec = nla(_BRIDGE_FLAGS, struct.pack("=H", target)) + b"".join(infos)
    body = struct.pack("=BBHiII", _AF_BRIDGE, 0, 0, number, 0, 0) + nla(_IFLA_AF_SPEC | _NESTED, spec)
    return raw(kind, 0, body)
