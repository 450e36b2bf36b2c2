"""Attributes by name, read and spelled: what is asked for is decoded, the rest is passed over.

pyroute2 has the tables (name → number and form), this the code: its own parser takes ten times as long for a
link, whose message has some 60 attributes of which a `Link` wants a part.  What the kernel has had since, or
what pyroute2 has another form for, stands in `_MORE`.

Sources: linux/if_link.h, linux/if_bridge.h, linux/if_vlan.h, linux/if_addr.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pvenetd.drivers.netlink.tunnels import TABLES
from pvenetd.drivers.netlink.wire import attributes, nla


@dataclass(frozen=True, slots=True)
class Form:
    """How an attribute's bytes are read and written."""

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


def _number(form: str) -> Form:
    parser = struct.Struct(form)
    return Form(lambda data: int(parser.unpack_from(data)[0]), parser.pack)


def _ip_read(data: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


def _ip_written(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


_IP = Form(_ip_read, _ip_written)


def _pairs_read(data: bytes) -> tuple[tuple[int, int], ...]:
    return tuple(struct.unpack_from("=II", entry) for _, entry in attributes(data))


def _pairs_written(pairs: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(nla(_QOS_MAPPING, struct.pack("=II", *pair)) for pair in pairs)


def _addresses_read(data: bytes) -> tuple[str, ...]:
    return tuple(str(ip_address(entry)) for _, entry in attributes(data))


def _addresses_written(addresses: Iterable[str]) -> bytes:
    return b"".join(nla(number, ip_address(text).packed) for number, text in enumerate(addresses))


def _names_read(data: bytes) -> tuple[str, ...]:
    names = (name for number, name in attributes(data) if number == _ALT_IFNAME)
    return tuple(name.rstrip(b"\0").decode("utf-8", "surrogateescape") for name in names)


def _names_written(names: Iterable[str]) -> bytes:
    return b"".join(nla(_ALT_IFNAME, name.encode("utf-8", "surrogateescape") + b"\0") for name in names)


_ALT_IFNAME = 53
"""IFLA_ALT_IFNAME, within IFLA_PROP_LIST."""
_QOS_MAPPING = 1
"""IFLA_VLAN_QOS_MAPPING."""

_FORMS: Mapping[str, Form] = {
    "uint8": _number("=B"),
    "uint16": _number("=H"),
    "uint32": _number("=I"),
    "uint64": _number("=Q"),
    "int32": _number("=i"),
    "be16": _number(">H"),
    "be32": _number(">I"),
    "flag": Form(lambda data: True, lambda value: b""),  # noqa: ARG005 - to be there is all it says
    "asciiz": Form(
        lambda data: data.rstrip(b"\0").decode("utf-8", "surrogateescape"),
        lambda text: text.encode("utf-8", "surrogateescape") + b"\0",
    ),
    "l2addr": Form(lambda data: data.hex(":"), lambda text: bytes.fromhex(text.replace(":", ""))),
    **dict.fromkeys(("ip4addr", "ip6addr", "ipaddr", "target"), _IP),
    "bits": Form(lambda data: int(struct.unpack_from("=I", data)[0]), lambda bits: struct.pack("=II", *bits)),
    "lifetimes": Form(lambda data: struct.unpack_from("=II", data), lambda pair: struct.pack("=IIII", *pair, 0, 0)),
    "ports": Form(lambda data: struct.unpack(">HH", data), lambda ports: struct.pack(">HH", *ports)),
    "pairs": Form(_pairs_read, _pairs_written),
    "addresses": Form(_addresses_read, _addresses_written),
    "names": Form(_names_read, _names_written),
}
"""``bits``: a number, written as (value, mask); ``lifetimes``: (preferred, valid) in seconds; ``pairs``: a nest of
(from, to); ``addresses``, ``names``: a nest of them."""

_MORE: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "address": {
        "IFA_CACHEINFO": (6, "lifetimes"),
        "IFA_RT_PRIORITY": (9, "uint32"),
        "IFA_TARGET_NETNSID": (10, "uint32"),
        "IFA_PROTO": (11, "uint8"),
    },
    "link": {"IFLA_PROP_LIST": (52, "names")},
    "bridge": {
        "IFLA_BR_VLAN_STATS_PER_PORT": (45, "uint8"),
        "IFLA_BR_MULTI_BOOLOPT": (46, "bits"),
        "IFLA_BR_FDB_MAX_LEARNED": (49, "uint32"),
    },
    "port": {
        "IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT": (37, "uint32"),
        "IFLA_BRPORT_LOCKED": (39, "uint8"),
        "IFLA_BRPORT_MAB": (40, "uint8"),
        "IFLA_BRPORT_MCAST_MAX_GROUPS": (42, "uint32"),
        "IFLA_BRPORT_NEIGH_VLAN_SUPPRESS": (43, "uint8"),
    },
    "bond": {
        "IFLA_BOND_ARP_IP_TARGET": (8, "addresses"),
        "IFLA_BOND_AD_ACTOR_SYSTEM": (26, "l2addr"),
        "IFLA_BOND_PEER_NOTIF_DELAY": (28, "uint32"),
        "IFLA_BOND_AD_LACP_ACTIVE": (29, "uint8"),
        "IFLA_BOND_MISSED_MAX": (30, "uint8"),
        "IFLA_BOND_NS_IP6_TARGET": (31, "addresses"),
        "IFLA_BOND_COUPLED_CONTROL": (32, "uint8"),
    },
    "vlan": {
        "IFLA_VLAN_FLAGS": (2, "bits"),
        "IFLA_VLAN_EGRESS_QOS": (3, "pairs"),
        "IFLA_VLAN_INGRESS_QOS": (4, "pairs"),
    },
}


_MORE_TABLES = {**TABLES, **_MORE}


@cache
def table(nest: str) -> Mapping[str, tuple[int, Form]]:
    """Return number and form of each attribute of *nest*: a key of `shapes` or an IFLA_INFO_KIND."""
    shapes = {
        "address": ifaddrmsg,
        "route": rtmsg,
        "link": ifinfmsg,
        "info": ifinfmsg.ifinfo,
        "port": ifinfmsg.ifinfo.bridge_slave_data,
    }
    shape = shapes.get(nest) or ifinfmsg.ifinfo.data_map.get(nest)
    rows = shape.nla_map if shape else ()
    known = [row if len(row) > 2 else (number, *row) for number, row in enumerate(rows)]
    forms = {name: (number, form) for number, name, form, *_ in known} | dict(_MORE_TABLES.get(nest, {}))
    return {name: (number, _FORMS[form]) for name, (number, form) in forms.items() if form in _FORMS}


class Attributes:
    """The attributes of one message or nest, by name; of an empty *nest* none are known."""

    def __init__(self, data: bytes, nest: str) -> None:
        self.raw: Mapping[int, bytes] = dict(attributes(data)) if nest else {}
        """By number, as they came."""
        self._table = table(nest)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of *name*, *default* where it is not there."""
        if (row := self._table.get(name)) is None or row[0] not in self.raw:
            return default
        return row[1].read(self.raw[row[0]])

    def __contains__(self, name: str) -> bool:
        return (row := self._table.get(name)) is not None and row[0] in self.raw

    def nest(self, number: int, nest: str) -> Attributes:
        """Return the attributes within attribute *number*."""
        return Attributes(self.raw.get(number, b""), nest)


def spelled(nest: str, values: Iterable[tuple[str, Any]]) -> bytes:
    """Return the bytes of the attributes *values* of *nest*, (name, value) each."""
    known = table(nest)
    return b"".join(nla(known[name][0], known[name][1].write(value)) for name, value in values)
