"""Addresses and routes ⇄ RTM_NEWADDR, RTM_NEWROUTE (rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h)."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pvenetd.drivers.netlink.links import index
from pvenetd.drivers.netlink.shape import Attributes, spelled
from pvenetd.drivers.netlink.wire import CREATE, REPLACE, RefusedError, Wire, raw
from pvenetd.state import INTERFACES, Address, Route

NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
PROTOCOL = 0x7E
"""IFA_PROTO and RTA_PROTOCOL of what is ours; rt_protos.d names it."""
_FAMILIES = {"inet": 2, "inet6": 10}
_NAMES = {number: name for name, number in _FAMILIES.items()}
_SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254}
_SCOPE_NAMES = {number: name for name, number in _SCOPES.items()}
_MAIN, _UNICAST, _KERNEL, _STATIC, _ONLINK = 254, 1, 2, 4, 4
_V6_METRIC = 1024
"""What the kernel gives an IPv6 route without a metric (linux/ipv6_route.h IP6_RT_PRIO_USER)."""
_LINK_LOCAL = "fe80:"


_ADDRESS = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index."""
_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, destination's and source's prefix length, TOS, table, protocol, scope, type, flags."""
_HEADER = 16
"""Bytes of struct nlmsghdr."""


def addresses(wire: Wire, name_of: Callable[[int], str], number: int = 0) -> Iterator[Address]:
    """Yield the addresses of link *number*, or of all.  IPv6 link-local ones are the kernel's own affair."""
    for body in wire.ask(raw(GETADDR, 0, _ADDRESS.pack(0, 0, 0, 0, number)), dump=True):
        _, length, _, scope, link = _ADDRESS.unpack_from(body, _HEADER)
        top = Attributes(body[_HEADER + _ADDRESS.size :], "address")
        peer = top.get("IFA_ADDRESS")
        local = top.get("IFA_LOCAL") or peer
        if local.startswith(_LINK_LOCAL):
            continue
        dev, label = name_of(link), top.get("IFA_LABEL")
        yield Address.shown(
            owner=INTERFACES if top.get("IFA_PROTO") == PROTOCOL else "",
            dev=dev,
            address=f"{local}/{length}",
            peer=peer if peer != local else "",
            broadcast=top.get("IFA_BROADCAST"),
            label=label if label and label != dev else "",
            scope=_SCOPE_NAMES.get(scope),
        )


def bring_address(wire: Wire, wanted: Address) -> None:
    """Add an address, or bring one that is there to *wanted*.  Raises `RefusedError`."""
    interface = ip_interface(wanted.address)
    attrs: list[Any] = [("IFA_LOCAL", str(interface.ip)), ("IFA_ADDRESS", wanted.peer or str(interface.ip))]
    if wanted.owner:
        attrs.append(("IFA_PROTO", PROTOCOL))
    if wanted.broadcast:
        attrs.append(("IFA_BROADCAST", wanted.broadcast))
    if interface.version == 4:
        attrs.append(("IFA_LABEL", wanted.label or wanted.dev))
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


def routes(wire: Wire, name_of: Callable[[int], str]) -> Iterator[Route]:
    """Yield the main table's routes by one gateway or link, but for the kernel's own."""
    for name, family in _FAMILIES.items():
        for body in _table(wire, family):
            _, length, _, _, table, protocol, _, kind, flags = _ROUTE.unpack_from(body, _HEADER)
            if kind != _UNICAST:
                continue
            top = Attributes(body[_HEADER + _ROUTE.size :], "route")
            if protocol == _KERNEL and "RTA_GATEWAY" not in top:
                continue  # ifupdown2 marks its default route as the kernel's
            if "RTA_OIF" not in top or top.get("RTA_TABLE", table) != _MAIN:
                continue
            metric = top.get("RTA_PRIORITY", 0)
            yield Route.shown(
                owner=INTERFACES if protocol == PROTOCOL else "",
                family=name,
                dst=f"{top.get('RTA_DST')}/{length}" if "RTA_DST" in top else "default",
                metric=0 if family == _FAMILIES["inet6"] and metric == _V6_METRIC else metric,
                dev=name_of(top.get("RTA_OIF")),
                via=top.get("RTA_GATEWAY"),
                onlink=bool(flags & _ONLINK),
            )


def _table(wire: Wire, family: int) -> list[bytes]:
    """Return the main table's messages; a namespace in which no link was ever up has no such table yet."""
    try:
        return list(wire.ask(raw(GETROUTE, 0, _ROUTE.pack(family, 0, 0, 0, _MAIN, 0, 0, 0, 0)), dump=True))
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
    attrs: list[tuple[str, Any]] = [("RTA_OIF", index(route.dev))]
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
    fields = _ROUTE.pack(family, length, 0, 0, _MAIN, protocol, scope, _UNICAST, on_link)
    return raw(kind, flags, fields + spelled("route", attrs))
