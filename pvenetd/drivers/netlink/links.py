"""Links ⇄ RTM_NEWLINK: what the kernel shows as a `Link`, and a `Link` as the messages that make it so.

Sources: rtnetlink(7), linux/if_link.h, linux/if_tun.h.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pvenetd.drivers.netlink import fdb, ipv6, lacking, mark, taps, vlans
from pvenetd.drivers.netlink.shape import Attributes, spelled, table
from pvenetd.drivers.netlink.wire import CREATE, EXCL, RefusedError, Wire, nla, raw
from pvenetd.kinds import BY_INFO_KIND
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet, Foreign, Loopback
from pvenetd.kinds.link import Link, attributes
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.names import parse_tap
from pvenetd.option import IFINDEX, IP, Option
from pvenetd.option import Wire as Coding
from pvenetd.resource import Changes

NEWLINK, DELLINK, GETLINK = 16, 17, 18
_NEWLINKPROP, _DELLINKPROP = 108, 109
"""RTM_NEWLINKPROP, RTM_DELLINKPROP: a link's other names come and go one by one."""
_PROP_LIST, _ALT_IFNAME = 52 | 0x8000, 53
"""IFLA_PROP_LIST, with NLA_F_NESTED, which the kernel asks for here."""
_HEADER = struct.Struct("=HiI")
"""struct ifinfomsg from its third byte: type of hardware, index, flags."""
_FIRST = 32
"""Bytes before the attributes: nlmsghdr, ifinfomsg."""
_LINKINFO, _INFO_DATA, _INFO_SLAVE_DATA = 18, 2, 5
_MESSAGE = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type of hardware, index, flags, which of the flags are meant."""
_EXT_MASK, _SKIP_STATS = 29, struct.pack("=I", 1 << 3)
"""IFLA_EXT_MASK with RTEXT_FILTER_SKIP_STATS: nobody here counts packets, and counting is half of an answer."""
_VETH_PEER = 1
"""VETH_INFO_PEER."""
_UP, _LOOPBACK = 0x1, 0x8
_ETHER, _TAP_TYPE = 1, 2

Names = Callable[[int], str]


def index(name: str) -> int:
    """Return the ifindex of *name*; raises `RefusedError` (ENODEV)."""
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise RefusedError(error.errno or 19, f"{name}: {error.strerror}") from None


def observe(body: bytes, name_of: Names) -> Link:
    """Return the link that an RTM_NEWLINK message shows, its header included.

    *name_of* knows the other links by index.  A bridge port's VLANs are not in this message.
    """
    hardware, _, flags = _HEADER.unpack_from(body, 18)
    top = Attributes(body[_FIRST:], "link")
    info = top.nest(_LINKINFO, "info")
    info_kind = info.get("IFLA_INFO_KIND", "")
    data = info.nest(_INFO_DATA, info_kind)
    is_port = info.get("IFLA_INFO_SLAVE_KIND") == "bridge"
    port = info.nest(_INFO_SLAVE_DATA, "port" if is_port else "")
    kind = _kind(info_kind, data, hardware, flags)
    said = mark.read(top.get("IFLA_IFALIAS", ""))
    values: dict[str, Any] = {
        "kind": kind.model_fields["kind"].default or info_kind,
        "name": top.get("IFLA_IFNAME"),
        "owner": said.owner,
        "made_here": said.made_here,
        "alias": said.alias,
        "up": bool(flags & _UP),
        "group": top.get("IFLA_GROUP"),
        "altnames": top.get("IFLA_PROP_LIST", ()),
        "master": "",
    }
    nests = (top.raw, data.raw, port.raw)
    for field, nest, number, read, wire in _rows(kind, info_kind):
        payload = nests[nest].get(number)
        if payload is not None:
            value = read(payload)
            values[field] = _name(value, name_of) if wire is IFINDEX else wire.of(value)
        elif wire.absent is not None:
            values[field] = wire.of(wire.absent)
    if top.get("IFLA_LINK_NETNSID") is not None:  # its IFLA_LINK is an index of another network namespace
        values |= {field: None for field, option, _ in attributes(kind) if option.nl == "IFLA_LINK"}
    if kind is Vxlan:
        values["marked"] = said.remotes
    if kind is Tap:
        values["made_here"] = said.made_here and bool(data.get("IFLA_TUN_PERSIST"))
        values["multi_queue"] = bool(data.get("IFLA_TUN_MULTI_QUEUE"))
        values["altname"] = next(filter(parse_tap, values["altnames"]), "")
    if values["master"] and _ovs(values["master"]):
        values["master"] = ""
    return kind.shown(**values)


@cache
def _rows(kind: type[Link], info_kind: str) -> tuple[tuple[str, int, int, Callable[[bytes], Any], Coding], ...]:
    """Return, for each field, the nest (link, kind's, port's), the attribute's number and how it is read.

    Of two attributes for one field, IPv4's and IPv6's, the link has one.
    """
    tables = (table("link"), table(info_kind), table("port"))
    found: list[tuple[str, int, int, Callable[[bytes], Any], Coding]] = []
    for field, option, wire in attributes(kind):
        nest = 2 if option.nl.startswith("IFLA_BRPORT_") else 1 if option.nl.startswith(kind.prefix) else 0
        known = [row for name in (option.nl6, option.nl) if (row := tables[nest].get(name))]
        found += [(field, nest, number, form.read, wire) for number, form in known]
    return tuple(found)


def request(number: int = 0) -> bytes:
    """Return the message that asks for link *number*, or, as a dump, for all."""
    return raw(GETLINK, 0, _MESSAGE.pack(0, 0, number, 0, 0) + nla(_EXT_MASK, _SKIP_STATS))


def is_gone(body: bytes) -> bool:
    """Return whether a message tells that its link is no more."""
    kind: int = struct.unpack_from("=H", body, 4)[0]
    return kind == DELLINK


def is_up(body: bytes) -> bool:
    """Return whether a message shows its link up, and there."""
    return bool(_HEADER.unpack_from(body, 18)[2] & _UP) and not is_gone(body)


def index_and_name(body: bytes) -> tuple[int, str]:
    """Return which link an RTM_NEWLINK message is about."""
    length = struct.unpack_from("=H", body, _FIRST)[0]  # the kernel puts IFLA_IFNAME first
    return _HEADER.unpack_from(body, 18)[1], body[_FIRST + 4 : _FIRST + length - 1].decode("utf-8", "surrogateescape")


def _kind(info_kind: str, data: Attributes, hardware: int, flags: int) -> type[Link]:
    if info_kind == "tun" and data.get("IFLA_TUN_TYPE") != _TAP_TYPE:
        return Foreign
    if not info_kind:
        return Loopback if flags & _LOOPBACK else Ethernet if hardware == _ETHER else Foreign
    return BY_INFO_KIND.get(info_kind, Foreign)


def _name(number: int, name_of: Names) -> str:
    return name_of(number) if number else ""


def _ovs(master: str) -> bool:
    """Return whether *master* is Open vSwitch's own: its ports are no ports of a bridge."""
    return master == "ovs-system"


def make(wire: Wire, wanted: Link, mac: str = "") -> None:
    """Make a link with what cannot be set later, its *mac*, and its owner's mark: no crash leaves it without.

    A MAC that is given with it is the link's: neither its ports change it, nor udev (MACAddressPolicy=persistent).

    The rest is for `bring`, where it differs from what the kernel made: said again, even a default may be
    refused (IFLA_BR_VLAN_FILTERING 0 by a kernel without VLAN filtering).  Raises `RefusedError`.
    """
    if isinstance(wanted, Tap):
        taps.make(wanted, lambda: wire.change([_mark(wanted)]))
        return
    if isinstance(wanted, Veth):
        _create(wire, wanted, _pair(wanted))
        return
    values = {name: value for name, value in wanted if name in wanted.fixed | wanted.first}
    attrs: list[Any] = [("IFLA_IFNAME", wanted.name)]
    attrs += _attrs(wanted, values, "")
    if isinstance(wanted, Bridge) and not mac and not {*wanted.ports} - {"none"}:
        mac = _own_mac()
    attrs += [("IFLA_ADDRESS", mac)] if mac else []
    mine = _everything(wanted) if wanted.telling == "all" else _attrs(wanted, values, wanted.prefix)
    body = spelled("link", attrs) + _info(wanted, mine)
    _create(wire, wanted, _newlink(0, body, CREATE | EXCL))


def _create(wire: Wire, wanted: Link, message: bytes) -> None:
    try:
        wire.change([message, _mark(wanted)])
    except RefusedError as refused:
        raise lacking.kind(refused, wanted) from None


def _pair(wanted: Veth) -> bytes:
    """Return the message that makes both ends of a pair (linux/veth.h VETH_INFO_PEER)."""
    peer = _MESSAGE.pack(0, 0, 0, 0, 0) + spelled("link", [("IFLA_IFNAME", wanted.peer)])
    info = spelled("info", [("IFLA_INFO_KIND", "veth")]) + nla(_INFO_DATA, nla(_VETH_PEER, peer))
    return _newlink(0, spelled("link", [("IFLA_IFNAME", wanted.name)]) + nla(_LINKINFO, info), CREATE | EXCL)


def _own_mac() -> str:
    """Return a MAC for a bridge without ports: one that is given stays.

    Else it would be its lowest guest's, and all others would lose their gateway when that guest goes.
    """
    return "02:" + secrets.token_bytes(5).hex(":")


def _default(wanted: Link, name: str) -> Any:
    return type(wanted).model_fields[name].default


def _mark(wanted: Link) -> bytes:
    attrs = [("IFLA_IFNAME", wanted.name), ("IFLA_IFALIAS", mark.spelled(wanted))]
    return _newlink(0, spelled("link", attrs))


def bring(wire: Wire, wanted: Link, values: Mapping[str, Any], *, flap: bool, remotes: Collection[str] = ()) -> None:
    """Change a link to *wanted*, in which no field is None that the kernel knows; *values* are those to set.

    *remotes* are those that it has, of a VXLAN.

    The link is set up last, when everything else has been taken: a port must not carry a frame
    before its VLANs are right.  With *flap* it is down meanwhile.  Raises `RefusedError`.
    """
    number = index(wanted.name)
    if values.get("disable_ipv6") is not None:
        ipv6.disable(wanted.name, on=bool(values["disable_ipv6"]))
    wire.change([_flags(number, up=False)] if flap else [])
    if "altname" in values:
        wire.change(_renaming(number, *values["altname"]))
    wire.change([*_link(wanted, number, values), *_port(wanted, number, values)])
    if "mtu" in values and wanted.disable_ipv6:  # from 1280 bytes on the kernel has it anew, as new links do
        ipv6.disable(wanted.name, on=True)
    if values.get("vids") is not None or values.get("pvid") is not None:
        vlans.bring(wire, number, wanted.vids or "", wanted.pvid or 0, bridge=wanted.kind == "bridge")
    if isinstance(wanted, Vxlan) and values.get("remotes") is not None:
        both = wanted.model_copy(update={"remotes": (*wanted.remotes, *remotes)})  # a crash leaves no entry unmarked
        wire.change([_mark(both)])
        fdb.bring(wire, number, wanted.remotes, None if mark.crowded(wanted) else remotes, wanted.svcnode)
        wire.change([_mark(wanted)] if {*remotes} - {*wanted.remotes} else [])
    if flap or "up" in values or "master" in values:  # a bond sets down what it lets go
        wire.change([_flags(number, up=wanted.up)])


def told(wanted: Link, changes: Changes) -> dict[str, Any]:
    """Return what the kernel is told of *changes*, by field."""
    over = {field: wire.over for field, _, wire in attributes(type(wanted)) if wire.over}
    over["altname"] = lambda was, value: (was, value)
    return {
        name: over[name](was, value) if name in over else value
        for name, (was, value) in changes.items()
        if name not in wanted.follows
    }


def _renaming(number: int, was: str, wanted: str) -> list[bytes]:
    """Return the messages that have a link answer to *wanted* instead of *was*, empty for no name."""
    return [
        raw(kind, 0, _MESSAGE.pack(0, 0, number, 0, 0) + nla(_PROP_LIST, nla(_ALT_IFNAME, name.encode() + b"\0")))
        for kind, name in ((_DELLINKPROP, was), (_NEWLINKPROP, wanted))
        if name
    ]


def of_a_port(wanted: Link) -> dict[str, Any]:
    """Return what *wanted* has beyond a fresh port's defaults: with a new master the kernel forgets the old one's."""
    return {
        name: value
        for name, value in wanted
        if name in wanted.port_only and value is not None and value != _default(wanted, name)
    }


def remove(wire: Wire, there: Sequence[Link]) -> None:
    """Delete links, all or none, or let go of one that is not ours to delete.  Raises `RefusedError`."""
    if len(there) > 1:
        _remove_group(wire, there)
    elif there[0].deletable:
        wire.change([_dellink(index(there[0].name))])
    else:
        _release(wire, there[0])


def _remove_group(wire: Wire, there: Sequence[Link]) -> None:
    """Delete links as one group (IFLA_GROUP), which takes the kernel hardly longer than one of them.

    All messages go in one send, which nothing interrupts: if the group is refused, its links are at once in the
    groups again that they were in.  A number by chance, so that no other link is in this one.
    """
    group = 1 << 30 | secrets.randbits(30)
    numbers = [index(link.name) for link in there]
    into = [_grouped(number, group) for number in numbers]
    back = [_grouped(number, link.group or 0) for number, link in zip(numbers, there, strict=True)]
    answers = wire.attempt([*into, _dellink(0, spelled("link", [("IFLA_GROUP", group)])), *back])
    if error := next(filter(None, answers[: len(into) + 1]), None):
        raise error


def _grouped(number: int, group: int) -> bytes:
    return _newlink(number, spelled("link", [("IFLA_GROUP", group)]))


def _dellink(number: int, attrs: bytes = b"") -> bytes:
    return raw(DELLINK, 0, _MESSAGE.pack(0, 0, number, 0, 0) + attrs)


def _release(wire: Wire, there: Link) -> None:
    try:
        number = index(there.name)
    except RefusedError:
        return
    attrs: list[Any] = [("IFLA_IFALIAS", there.alias or "")]
    if there.master:
        attrs.append(("IFLA_MASTER", 0))
    release = _newlink(number, spelled("link", attrs))
    if isinstance(there, Tap):
        wire.change([_flags(number, up=False), release, *_renaming(number, there.altname or "", "")])
    else:
        wire.change([release])


def _link(wanted: Link, number: int, values: Mapping[str, Any]) -> list[bytes]:
    """Return the messages for a link that is there: its own attributes, then its kind's, told as the kind says.

    Each by itself and in the fields' order: the kernel reads a message in an order of its own, and refuses
    forward_delay 0 as long as STP is on, though the same message switches it off.
    """
    attrs = [(option, value) for option, value in _attrs(wanted, values, "") if option != "IFLA_LINK"]
    if "owner" in values or "alias" in values:
        attrs.append(("IFLA_IFALIAS", mark.spelled(wanted)))
    if values.get("group") is not None:
        attrs.append(("IFLA_GROUP", values["group"]))
    mine = _attrs(wanted, values, wanted.prefix)
    if wanted.telling == "each" or not mine:
        messages = [_newlink(number, spelled("link", attrs))] if attrs else []
        return messages + [_newlink(number, _info(wanted, [attr])) for attr in mine]
    if wanted.mtu and not any(name == "IFLA_MTU" for name, _ in attrs):
        attrs.append(("IFLA_MTU", wanted.mtu))  # the kernel has computed it anew, from the route to the other end
    mine = _everything(wanted) if wanted.telling == "all" else mine
    return [_newlink(number, _info(wanted, mine)), _newlink(number, spelled("link", attrs))]


def _everything(wanted: Link) -> list[tuple[str, Any]]:
    """Return all attributes of its kind: what is not said goes back to the kernel's default."""
    values = {name: value for name, value in wanted if value != ""}  # a gretap refuses 0.0.0.0 for no other end
    return list({**dict(_attrs(wanted, values, wanted.prefix)), **wanted.composed()}.items())


def _info(wanted: Link, attrs: list[tuple[str, Any]]) -> bytes:
    """Return IFLA_LINKINFO with the kind of *wanted* and its *attrs*."""
    kind = wanted.kinds[0]
    data = nla(_INFO_DATA, spelled(kind, attrs)) if attrs else b""
    return nla(_LINKINFO, spelled("info", [("IFLA_INFO_KIND", kind)]) + data)


def _port(wanted: Link, number: int, values: Mapping[str, Any]) -> list[bytes]:
    """Return the message for what a bridge keeps of its port (ip-link(8) "bridge_slave")."""
    if not wanted.master:
        return []
    attrs = _attrs(wanted, {name: value for name, value in values.items() if name in wanted.port_only}, "IFLA_BRPORT_")
    if not attrs:
        return []
    data = spelled("info", [("IFLA_INFO_SLAVE_KIND", "bridge")]) + nla(_INFO_SLAVE_DATA, spelled("port", attrs))
    return [_newlink(number, nla(_LINKINFO, data))]


def _attrs(wanted: Link, values: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    """Return the attributes of *values* in one nest: of the kind, of the port, or (no prefix) of the link itself."""
    nests = (wanted.prefix, "IFLA_BRPORT_")
    found = [
        _attr(wanted, option, wire, value)
        for field, option, wire in attributes(type(wanted))
        if (value := values.get(field)) is not None
        and (option.nl.startswith(prefix) if prefix else not option.nl.startswith(nests))
    ]
    return [(name, value) for name, value in found if value is not None]


def _attr(wanted: Link, option: Option, wire: Coding, value: Any) -> tuple[str, Any]:
    if wire is IFINDEX:
        return option.nl, _number(value)
    if wire is IP:
        nothing = IPv6Address(0) if wanted.over_ipv6 else IPv4Address(0)
        return option.nl6 if option.nl6 and wanted.over_ipv6 else option.nl, value or str(nothing)
    return option.nl, wire.to(value)


def _number(name: str) -> int:
    return index(name) if name else 0


def _flags(number: int, *, up: bool) -> bytes:
    return raw(NEWLINK, 0, _MESSAGE.pack(0, 0, number, _UP if up else 0, _UP))


def _newlink(number: int, attrs: bytes, flags: int = 0) -> bytes:
    return raw(NEWLINK, flags, _MESSAGE.pack(0, 0, number, 0, 0) + attrs)
