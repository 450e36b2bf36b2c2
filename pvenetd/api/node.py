"""``nodes/{node}``: how the host is, its name servers, its hosts file, what guests have counted, its clock."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import cast

from typing_extensions import TypedDict

from pvenetd import __version__
from pvenetd.api.route import OfNode, Routes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.vitals import Vitals

routes = Routes()

_HOSTS, _RESOLV = "etc/hosts", "etc/resolv.conf"
_SEARCHED = (["search"], ["domain"])
_SERVERS = 3
"""Name servers that the resolver asks at most (resolv.conf(5))."""


class NodeStatus(Vitals):
    """How a host is."""

    pveversion: str


@routes.get("/nodes/{node}/status")
async def node_status(daemon: Daemon, params: OfNode) -> NodeStatus:
    """Return how busy the host is, what it has, its kernel and pvenetd's version."""
    del params
    return {**daemon.pulse.vitals(), "pveversion": f"pvenetd/{__version__}"}


class Dns(TypedDict, total=False):
    """Where names are looked up."""

    search: str
    dns1: str
    dns2: str
    dns3: str


@routes.get("/nodes/{node}/dns")
async def dns(daemon: Daemon, params: OfNode) -> Dns:
    """Return the name servers and the search domain of resolv.conf(5)."""
    del params
    lines = [line.split() for line in _text(daemon, _RESOLV).splitlines()]
    servers = [line[1] for line in lines if line[0:1] == ["nameserver"] and line[1:]]
    found = {line[0].replace("domain", "search"): line[1] for line in lines if line[0:1] in _SEARCHED and line[1:]}
    found |= {f"dns{number}": server for number, server in enumerate(servers[:_SERVERS], 1)}
    return cast("Dns", found)


class Hosts(TypedDict):
    """The hosts file."""

    data: str
    digest: str


@routes.get("/nodes/{node}/hosts")
async def hosts(daemon: Daemon, params: OfNode) -> Hosts:
    """Return the host's own table of names and addresses, as text."""
    del params
    text = _text(daemon, _HOSTS)
    return {"data": text, "digest": _digest(text)}


NetStat = TypedDict("NetStat", {"vmid": str, "dev": str, "in": str, "out": str})
"""Bytes of a guest's NIC, as text; in and out as the guest sees them."""


@routes.get("/nodes/{node}/netstat")
async def netstat(daemon: Daemon, params: OfNode) -> list[NetStat]:
    """Return what guests' NICs have received and sent, in bytes."""
    del params
    return [
        {
            "vmid": str(guest["vmid"]),
            "dev": nic["nic"],
            "in": str(nic.get("rx_bytes", 0)),
            "out": str(nic.get("tx_bytes", 0)),
        }
        for guest in await daemon.guests.records()
        for nic in guest["nics"]
        if nic["plugged"]
    ]


class Clock(TypedDict):
    """What time it is."""

    time: int
    """Seconds since 1970."""
    localtime: int
    """The same, as if the host's clock were UTC's."""
    timezone: str


@routes.get("/nodes/{node}/time")
async def clock(daemon: Daemon, params: OfNode) -> Clock:
    """Return the host's time and its zone."""
    del params
    now = int(time.time())
    zone = _text(daemon, "etc/timezone").strip() or _zone(daemon.store.files.root / "etc/localtime")
    return {"time": now, "localtime": now + time.localtime(now).tm_gmtoff, "timezone": zone}


def _zone(link: Path) -> str:
    try:
        return str(link.readlink()).partition("zoneinfo/")[2] or "UTC"
    except OSError:
        return "UTC"


def _text(daemon: Daemon, name: str) -> str:
    """Return what a file holds; nothing where it is not there, or leads out of the root."""
    try:
        return (daemon.store.files.read(name) or b"").decode(errors="replace")
    except OSError:
        return ""


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
