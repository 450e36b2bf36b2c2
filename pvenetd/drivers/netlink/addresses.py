"""Addresses and routes ⇄ RTM_NEWADDR, RTM_NEWROUTE (rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h)."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_interface
from itertools import product
from pathlib import Path
from typing import Any

from pvenetd.drivers.netlink.links import index
from pvenetd.drivers.netlink.shape import Attributes, spelled
from pvenetd.drivers.netlink.wire import CREATE, REPLACE, RefusedError, Wire, has, raw
from pvenetd.state import INTERFACES, MAIN_TABLE, Address, Lifetime, Route

NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
PROTOCOL = 0x7E
"""IFA_PROTO and RTA_PROTOCOL of what is ours; rt_protos.d names it."""
_FAMILIES = {"inet": 2, "inet6": 10}
_NAMES = {number: name for name, number in _FAMILIES.items()}
_SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}
_SCOPE_NAMES = {number: name for name, number in _SCOPES.items()}
_UNICAST, _KERNEL, _STATIC, _ONLINK = 1, 2, 4, 4
_V6_METRIC = 1024
"""What the kernel gives an IPv6 route without a metric (linux/ipv6_route.h IP6_RT_PRIO_USER)."""
_LINK_LOCAL, _LINK_LOCAL_LENGTH = "fe80:", 64
_NODAD, _DEPRECATED, _PERMANENT, _NOPREFIXROUTE = 0x02, 0x20, 0x80, 0x200
_FOREVER = 0xFFFFFFFF
"""INFINITY_LIFE_TIME (net/addrconf.h)."""
_AGES = 0xF0000000
"""Seconds: 127 years are forever."""
_V6_NETWORK_METRIC = 256
"""Of the route to an IPv6 address's network (linux/ipv6_route.h IP6_RT_PRIO_ADDRCONF)."""


_ADDRESS = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index."""
_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, destination's and source's prefix length, TOS, table, protocol, scope, type, flags."""
_GATEWAY = 5
"""RTA_GATEWAY."""
_HEADER = 16
"""Bytes of struct nlmsghdr."""


def addresses(wire: Wire, name_of: Callable[[int], str], number: int = 0) -> Iterator[Address]:
    """Yield the addresses of link *number*, or of all.  IPv6 link-local ones are the kernel's own affair."""
    for body in wire.ask(raw(GETADDR, 0, _ADDRESS.pack(0, 0, 0, 0, number)), dump=True):
        _, length, flags, scope, link = _ADDRESS.unpack_from(body, _HEADER)
        top = Attributes(body[_HEADER + _ADDRESS.size :], "address")
        peer = top.get("IFA_ADDRESS")
        local = top.get("IFA_LOCAL") or peer
        if local.startswith(_LINK_LOCAL):
            continue
        dev, label = name_of(link), top.get("IFA_LABEL")
        flags = top.get("IFA_FLAGS", flags)
        preferred, valid = top.get("IFA_CACHEINFO", (_FOREVER, _FOREVER))
        deprecated = flags & _DEPRECATED and flags & _PERMANENT  # of IPv4 it is told by this flag alone
        metric = top.get("IFA_RT_PRIORITY", 0)
        yield Address.shown(
            owner=INTERFACES if top.get("IFA_PROTO") == PROTOCOL else "",
            dev=dev,
            address=f"{local}/{length}",
            peer=peer if peer != local else "",
            broadcast=top.get("IFA_BROADCAST"),
            label=label if label and label != dev else "",
            scope=_SCOPE_NAMES.get(scope),
            metric=0 if ":" in local and metric == _V6_NETWORK_METRIC else metric,
            valid_lifetime=_lifetime(valid),
            preferred_lifetime=0 if deprecated else _lifetime(preferred),
            nodad=bool(flags & _NODAD),
            noprefixroute=bool(flags & _NOPREFIXROUTE),
        )


def _lifetime(seconds: int) -> Lifetime:
    return "forever" if seconds > _AGES else seconds


def _lifetimes(address: Address) -> tuple[int, int]:
    """Return how long it is preferred and valid; of IPv4 the kernel counts none down where it is valid forever."""
    preferred, valid = (
        _FOREVER if lifetime == "forever" else lifetime
        for lifetime in (address.preferred_lifetime, address.valid_lifetime)
    )
    if valid == _FOREVER and 0 < preferred < _FOREVER and ":" not in address.address:
        valid -= 1
    return preferred, valid


def bring_address(wire: Wire, wanted: Address, *, metric_changed: bool) -> None:
    """Add an address, or bring one that is there to *wanted*.  Raises `RefusedError`."""
    interface = ip_interface(wanted.address)
    attrs: list[Any] = [("IFA_LOCAL", str(interface.ip)), ("IFA_ADDRESS", wanted.peer or str(interface.ip))]
    if wanted.owner:
        attrs.append(("IFA_PROTO", PROTOCOL))
    if wanted.broadcast:
        attrs.append(("IFA_BROADCAST", wanted.broadcast))
    if interface.version == 4:
        attrs.append(("IFA_LABEL", wanted.label or wanted.dev))
    attrs.append(("IFA_FLAGS", (_NODAD if wanted.nodad else 0) | (_NOPREFIXROUTE if wanted.noprefixroute else 0)))
    attrs.append(("IFA_CACHEINFO", _lifetimes(wanted)))
    if metric := wanted.metric or (_V6_NETWORK_METRIC if metric_changed and interface.version == 6 else 0):
        attrs.append(("IFA_RT_PRIORITY", metric))
    wire.change([_address(wanted, NEWADDR, CREATE | REPLACE, attrs)])


def remove_address(wire: Wire, there: Address) -> None:
    """Delete an address and only that one; gone already, as IPv6's do when a link is set down, is fine.

    Raises `RefusedError`.
    """
    interface = ip_interface(there.address)
    if interface.version == 4:
        _keep_secondaries(there.dev)
    attrs = [("IFA_LOCAL", str(interface.ip)), ("IFA_ADDRESS", there.peer or str(interface.ip))]
    _delete(wire, _address(there, DELADDR, 0, attrs), errno.EADDRNOTAVAIL)


def remove_link_local(wire: Wire, dev: str) -> None:
    """Delete the IPv6 link-local addresses that the kernel has made for *dev*.  Raises `RefusedError`."""
    for body in [*wire.ask(raw(GETADDR, 0, _ADDRESS.pack(_FAMILIES["inet6"], 0, 0, 0, index(dev))), dump=True)]:
        _, length, _, _, link = fields = _ADDRESS.unpack_from(body, _HEADER)
        address = Attributes(body[_HEADER + _ADDRESS.size :], "address").get("IFA_ADDRESS")
        if link == index(dev) and address.startswith(_LINK_LOCAL) and length == _LINK_LOCAL_LENGTH:
            wire.change([raw(DELADDR, 0, _ADDRESS.pack(*fields) + spelled("address", [("IFA_LOCAL", address)]))])


def _delete(wire: Wire, request: bytes, gone: int) -> None:
    try:
        wire.change([request])
    except RefusedError as refused:
        if refused.errno != gone:
            raise


def _address(address: Address, kind: int, flags: int, attrs: list[tuple[str, Any]]) -> bytes:
    interface = ip_interface(address.address)
    family = _FAMILIES["inet" if interface.version == 4 else "inet6"]
    scope = _SCOPES.get(address.scope or "global", 0)
    fields = _ADDRESS.pack(family, interface.network.prefixlen, 0, scope, index(address.dev))
    return raw(kind, flags, fields + spelled("address", attrs))


def _keep_secondaries(dev: str) -> None:
    """Have the kernel keep the other addresses of a network when the first one goes (ip-sysctl.rst)."""
    path = Path(f"/proc/sys/net/ipv4/conf/{dev}/promote_secondaries")
    try:
        path.write_text("1", encoding="ascii")
    except OSError as error:
        raise RefusedError(error.errno or 0, f"promote_secondaries: {error.strerror}") from None


def routes(wire: Wire, name_of: Callable[[int], str], tables: Iterable[int] = (MAIN_TABLE,)) -> Iterator[Route]:
    """Yield the *tables*' routes by one gateway or link, but for the kernel's own."""
    for (name, family), table in product(_FAMILIES.items(), tables):
        for body in _table(wire, family, table):
            _, length, _, _, small_table, protocol, _, kind, flags = _ROUTE.unpack_from(body, _HEADER)
            if kind != _UNICAST:
                continue
            if protocol == _KERNEL and not has(body, _HEADER + _ROUTE.size, _GATEWAY):
                continue  # ifupdown2 marks its default route as the kernel's
            top = Attributes(body[_HEADER + _ROUTE.size :], "route")
            if "RTA_OIF" not in top or top.get("RTA_TABLE", small_table) != table:
                continue
            metric = top.get("RTA_PRIORITY", 0)
            yield Route.shown(
                owner=INTERFACES if protocol == PROTOCOL else "",
                family=name,
                dst=f"{top.get('RTA_DST')}/{length}" if "RTA_DST" in top else "default",
                metric=0 if family == _FAMILIES["inet6"] and metric == _V6_METRIC else metric,
                table=table,
                dev=name_of(top.get("RTA_OIF")),
                via=top.get("RTA_GATEWAY"),
                onlink=bool(flags & _ONLINK),
            )


def _table(wire: Wire, family: int, table: int) -> list[bytes]:
    """Return a table's messages; one that no route was ever in, as in a fresh namespace, is not there yet."""
    asked = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + spelled("route", [("RTA_TABLE", table)])
    try:
        return list(wire.ask(raw(GETROUTE, 0, asked), dump=True))
    except RefusedError as refused:
        if refused.errno != errno.ENOENT:
            raise
        return []


def bring_route(wire: Wire, wanted: Route) -> None:
    """Add a route, or put it in the place of the one with its destination and metric.  Raises `RefusedError`."""
    wire.change([_route(wanted, NEWROUTE, CREATE | REPLACE)])


def remove_route(wire: Wire, there: Route) -> None:
    """Delete a route; that the kernel did so already, with its address, is fine.  Raises `RefusedError`."""
    _delete(wire, _route(there, DELROUTE, 0), errno.ESRCH)


def _route(route: Route, kind: int, flags: int) -> bytes:
    attrs: list[tuple[str, Any]] = [("RTA_OIF", index(route.dev)), ("RTA_TABLE", route.table)]
    length = 0
    if route.dst != "default":
        interface = ip_interface(route.dst)
        length = interface.network.prefixlen
        attrs.append(("RTA_DST", str(interface.ip)))
    if route.via:
        attrs.append(("RTA_GATEWAY", route.via))
    if route.metric:
        attrs.append(("RTA_PRIORITY", route.metric))
    protocol = PROTOCOL if route.owner else _STATIC
    scope = _SCOPES["global"] if route.via or route.family == "inet6" else _SCOPES["link"]
    on_link = _ONLINK if route.onlink else 0
    family = _FAMILIES[route.family]
    fields = _ROUTE.pack(family, length, 0, 0, 0, protocol, scope, _UNICAST, on_link)
    return raw(kind, flags, fields + spelled("route", attrs))
