"""Addresses and routes ⇄ RTM_NEWADDR, RTM_NEWROUTE (rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg as plain_ifaddrmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pvenetd.drivers.netlink.links import index
from pvenetd.drivers.netlink.wire import CREATE, REPLACE, RefusedError, Wire, message, read
from pvenetd.state import INTERFACES, Address, Route

NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
PROTOCOL = 0x7E
"""IFA_PROTO and RTA_PROTOCOL of what is ours; rt_protos.d names it."""
_FAMILIES = {"inet": 2, "inet6": 10}
_NAMES = {number: name for name, number in _FAMILIES.items()}
_SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254}
_SCOPE_NAMES = {number: name for name, number in _SCOPES.items()}
_MAIN, _UNICAST, _KERNEL, _ONLINK = 254, 1, 2, 4
_V6_METRIC = 1024
"""What the kernel gives an IPv6 route without a metric (linux/ipv6_route.h IP6_RT_PRIO_USER)."""
_LINK_LOCAL = "fe80:"


class ifaddrmsg(plain_ifaddrmsg):  # type: ignore[misc]  # noqa: N801 - pyroute2 names its messages so
    """pyroute2's message with IFA_PROTO (Linux 5.18), which Debian 13's version has not."""

    nla_map = (
        *(
            entry
            for entry in plain_ifaddrmsg.nla_map
            if entry[0] not in ("IFA_PROTO", "IFA_TARGET_NETNSID", "IFA_RT_PRIORITY")
        ),
        ("IFA_RT_PRIORITY", "uint32"),
        ("IFA_TARGET_NETNSID", "uint32"),
        ("IFA_PROTO", "uint8"),
    )


def addresses(wire: Wire, name_of: Callable[[int], str], number: int = 0) -> Iterator[Address]:
    """Yield the addresses of link *number*, or of all.  IPv6 link-local ones are the kernel's own affair."""
    for body in wire.ask(message(ifaddrmsg, GETADDR, 0, {"index": number}, []), dump=True):
        msg = read(ifaddrmsg, body)
        top = dict(msg["attrs"])
        local = top.get("IFA_LOCAL") or top["IFA_ADDRESS"]
        if local.startswith(_LINK_LOCAL):
            continue
        dev, peer, label = name_of(msg["index"]), top["IFA_ADDRESS"], top.get("IFA_LABEL")
        yield Address.model_construct(
            owner=INTERFACES if top.get("IFA_PROTO") == PROTOCOL else "",
            dev=dev,
            address=f"{local}/{msg['prefixlen']}",
            peer=peer if peer != local else "",
            broadcast=top.get("IFA_BROADCAST"),
            label=label if label and label != dev else "",
            scope=_SCOPE_NAMES.get(msg["scope"]),
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
    wire.change([message(ifaddrmsg, NEWADDR, CREATE | REPLACE, _address_fields(wanted), attrs)])


def remove_address(wire: Wire, there: Address) -> None:
    """Delete an address and only that one; gone already, as IPv6's do when a link is set down, is fine.

    Raises `RefusedError`.
    """
    interface = ip_interface(there.address)
    if interface.version == 4:
        _keep_secondaries(there.dev)
    attrs = [("IFA_LOCAL", str(interface.ip)), ("IFA_ADDRESS", there.peer or str(interface.ip))]
    _delete(wire, message(ifaddrmsg, DELADDR, 0, _address_fields(there), attrs), errno.EADDRNOTAVAIL)


def _delete(wire: Wire, request: bytes, gone: int) -> None:
    try:
        wire.change([request])
    except RefusedError as refused:
        if refused.errno != gone:
            raise


def _address_fields(address: Address) -> dict[str, int]:
    interface = ip_interface(address.address)
    return {
        "family": _FAMILIES["inet" if interface.version == 4 else "inet6"],
        "prefixlen": interface.network.prefixlen,
        "index": index(address.dev),
        "scope": _SCOPES.get(address.scope or "global", 0),
    }


def _keep_secondaries(dev: str) -> None:
    """Have the kernel keep the other addresses of a network when the first one goes (ip-sysctl.rst)."""
    path = Path(f"/proc/sys/net/ipv4/conf/{dev}/promote_secondaries")
    try:
        path.write_text("1", encoding="ascii")
    except OSError as error:
        raise RefusedError(error.errno or 0, f"promote_secondaries: {error.strerror}") from None


def routes(wire: Wire, name_of: Callable[[int], str]) -> Iterator[Route]:
    """Yield the main table's routes by one gateway or link, but for the kernel's own."""
    for family in _FAMILIES.values():
        for body in _table(wire, family):
            msg = read(rtmsg, body)
            top = dict(msg["attrs"])
            if msg["type"] != _UNICAST or "RTA_OIF" not in top:
                continue
            if msg["proto"] == _KERNEL and "RTA_GATEWAY" not in top:
                continue  # ifupdown2 marks its default route as the kernel's
            if top.get("RTA_TABLE", msg["table"]) != _MAIN:
                continue
            metric = top.get("RTA_PRIORITY", 0)
            yield Route.model_construct(
                owner=INTERFACES if msg["proto"] == PROTOCOL else "",
                family=_NAMES[family],
                dst=f"{top['RTA_DST']}/{msg['dst_len']}" if "RTA_DST" in top else "default",
                metric=0 if family == _FAMILIES["inet6"] and metric == _V6_METRIC else metric,
                dev=name_of(top["RTA_OIF"]),
                via=top.get("RTA_GATEWAY"),
                onlink=bool(msg["flags"] & _ONLINK),
            )


def _table(wire: Wire, family: int) -> list[bytes]:
    """Return the main table's messages; a namespace in which no link was ever up has no such table yet."""
    try:
        return list(wire.ask(message(rtmsg, GETROUTE, 0, {"family": family, "table": _MAIN}, []), dump=True))
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
    fields = {
        "family": _FAMILIES[route.family],
        "table": _MAIN,
        "type": _UNICAST,
        "proto": PROTOCOL if route.owner else 4,
        "scope": _SCOPES["global"] if route.via or route.family == "inet6" else _SCOPES["link"],
        "flags": _ONLINK if route.onlink else 0,
    }
    attrs: list[Any] = [("RTA_OIF", index(route.dev))]
    if route.dst != "default":
        interface = ip_interface(route.dst)
        fields["dst_len"] = interface.network.prefixlen
        attrs.append(("RTA_DST", str(interface.ip)))
    if route.via:
        attrs.append(("RTA_GATEWAY", route.via))
    if route.metric:
        attrs.append(("RTA_PRIORITY", route.metric))
    return message(rtmsg, kind, flags, fields, attrs)
