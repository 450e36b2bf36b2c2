"""Entries that somebody has made in a forwarding table ⇄ RTM_NEWNEIGH (bridge(8) "fdb", linux/neighbour.h)."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from pvenetd.drivers.netlink.links import index
from pvenetd.drivers.netlink.wire import CREATE, REPLACE, RefusedError, Wire, attributes, nla, raw
from pvenetd.kinds.link import Link
from pvenetd.option import vlan_ids, vlan_ranges, vlan_text
from pvenetd.pinned import Pinned
from pvenetd.state import Fdb

_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_BODY = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index, state, flags, type."""
_FIRST = 28
"""Bytes before the attributes: nlmsghdr, ndmsg."""
_AF_BRIDGE = 7
_DST, _MAC, _VLAN, _MASTER = 1, 2, 5, 9
_LASTING, _STICKY, _SELF, _TO_MASTER, _LEARNED_OUTSIDE = 0xC0, 0x40, 0x2, 0x4, 0x10
"""NUD_PERMANENT and NUD_NOARP; NTF_STICKY, NTF_SELF, NTF_MASTER, NTF_EXT_LEARNED."""
_STATIC = 0x40
"""NUD_NOARP."""
_AT_ONCE = 1000
"""Messages in one send: all 4094 VLANs' are more than a socket takes."""
_ALL = bytes(6)


def entries(wire: Wire, link: Link, name_of: Callable[[int], str]) -> list[Fdb]:
    """Return what somebody has entered for *link*, in its bridge's table or, of a VXLAN, in its own.

    Not what the kernel enters by itself: the link's own MAC, what it has learned, remotes of a VXLAN, and
    beside an entry without a VLAN the same one for each of the port's VLANs.  Nor what `pinned` returns.
    Raises `RefusedError`.
    """
    found = [entry for entry in _entries(wire, link, name_of) if not _is_pinned(entry, link)]
    everywhere = {(entry.mac, entry.bridge) for entry in found if entry.bridge and not entry.vlan}
    return [entry for entry in found if not entry.vlan or (entry.mac, entry.bridge) not in everywhere]


def _entries(wire: Wire, link: Link, name_of: Callable[[int], str]) -> Iterator[Fdb]:
    number = index(link.name)
    for body in wire.ask(raw(_GETNEIGH, 0, _BODY.pack(_AF_BRIDGE, number, 0, 0, 0)), dump=True):
        _, there, state, flags, _ = _BODY.unpack_from(body, 16)
        found = dict(attributes(body[_FIRST:]))
        mac, dst = found.get(_MAC, _ALL), found.get(_DST, b"")
        if there != number or not state & _LASTING or flags & _LEARNED_OUTSIDE or mac in (_ALL, _bytes(link.mac)):
            continue
        vlan = int.from_bytes(found.get(_VLAN, b""), "little")
        bridge = name_of(int.from_bytes(found[_MASTER], "little")) if _MASTER in found else ""
        if bridge or dst:
            yield Fdb.model_construct(
                dev=link.name,
                mac=mac.hex(":"),
                vlan=vlan,
                bridge=bridge,
                dst=str(ip_address(dst)) if dst else "",
                state=state & _LASTING,
                flags=flags & _STICKY,
            )


def apply(wire: Wire, verb: str, entry: Fdb) -> None:
    """Make an entry, or remove it.  Raises `RefusedError`."""
    flags = entry.flags | (_TO_MASTER if entry.bridge else _SELF)
    attrs = nla(_MAC, _bytes(entry.mac)) + (nla(_VLAN, struct.pack("=H", entry.vlan)) if entry.vlan else b"")
    attrs += nla(_DST, ip_address(entry.dst).packed) if entry.dst else b""
    body = _BODY.pack(_AF_BRIDGE, index(entry.dev), entry.state, flags, 0) + attrs
    try:
        wire.change([raw(_DELNEIGH if verb == "-" else _NEWNEIGH, 0 if verb == "-" else CREATE | REPLACE, body)])
    except RefusedError as refused:
        if verb != "-" or refused.errno != errno.ENOENT:
            raise


def _is_pinned(entry: Fdb, link: Link) -> bool:
    return link.owner.startswith("vm:") and bool(entry.bridge and entry.flags & _STICKY)


def pinned(wire: Wire, link: Link, name_of: Callable[[int], str]) -> Pinned | None:
    """Return what is entered for the guest's port *link* by its mark, None where nothing is.  Raises `RefusedError`."""
    found = [entry for entry in _entries(wire, link, name_of) if _is_pinned(entry, link)]
    if not found:
        return None
    vlans = {entry.vlan for entry in found}
    return Pinned.shown(
        dev=link.name,
        mac=",".join(sorted({entry.mac for entry in found})),
        bridge=found[0].bridge,
        vids="" if 0 in vlans else vlan_text(vlan_ranges(",".join(map(str, vlans)))),
        owner=link.owner,
    )


def pin(wire: Wire, link: Link, wanted: Pinned | None, name_of: Callable[[int], str]) -> None:
    """Bring what is entered for the guest's port *link* to *wanted*, None for nothing.  Raises `RefusedError`.

    What goes, goes first: with an entry without a VLAN the kernel deletes those of each VLAN, too.
    """
    there = {(entry.mac, entry.vlan) for entry in _entries(wire, link, name_of) if _is_pinned(entry, link)}
    vlans = sorted(vlan_ids(wanted.vids)) or [0] if wanted else []
    entered = {(wanted.mac, vlan) for vlan in vlans} if wanted else set()
    known = there - {(mac, vlan) for mac, vlan in there if vlan and (mac, 0) in there}  # of one without, the kernel's
    gone = known - entered
    new = entered - known
    messages = [_entry(_DELNEIGH, 0, link.name, mac, vlan) for mac, vlan in sorted(gone)]
    messages += [_entry(_NEWNEIGH, CREATE | REPLACE, link.name, mac, vlan) for mac, vlan in sorted(new)]
    for first in range(0, len(messages), _AT_ONCE):
        wire.change(messages[first : first + _AT_ONCE])


def unpin(wire: Wire, link: Link, vids: str, name_of: Callable[[int], str]) -> None:
    """Delete what is entered for the guest's port *link* in other VLANs than *vids*, which it is to have.

    The kernel keeps a static entry whose VLAN the port loses, and then refuses to delete it.  Raises `RefusedError`.
    """
    kept = {0} | vlan_ids(vids)
    gone = [entry for entry in _entries(wire, link, name_of) if _is_pinned(entry, link) and entry.vlan not in kept]
    wire.change([_entry(_DELNEIGH, 0, link.name, entry.mac, entry.vlan) for entry in gone[:_AT_ONCE]])
    if len(gone) > _AT_ONCE:
        unpin(wire, link, vids, name_of)


def _entry(kind: int, flags: int, dev: str, mac: str, vlan: int) -> bytes:
    attrs = nla(_MAC, _bytes(mac)) + (nla(_VLAN, struct.pack("=H", vlan)) if vlan else b"")
    return raw(kind, flags, _BODY.pack(_AF_BRIDGE, index(dev), _STATIC, _STICKY | _TO_MASTER, 0) + attrs)


def _bytes(mac: str | None) -> bytes:
    return bytes.fromhex((mac or "").replace(":", ""))
