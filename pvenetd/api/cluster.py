"""``cluster``: this host as a cluster of one, for clients that look for nodes and guests there."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from pvenetd.api.guests import is_container, listed
from pvenetd.api.host import this_node
from pvenetd.api.route import Params, Routes, nodes
from pvenetd.daemon.daemon import Daemon
from pvenetd.option import ZeroOne

routes = Routes()


class Part(TypedDict):
    """A part of a path."""

    name: str


@routes.get("/cluster")
async def index(daemon: Daemon, params: Params) -> list[Part]:
    """Return what there is below."""
    del daemon, params
    return [{"name": name} for name in ("resources", "status", "tasks")]


class Member(TypedDict):
    """A node of the cluster."""

    id: str
    name: str
    type: str
    nodeid: int
    local: ZeroOne
    online: ZeroOne


@routes.get("/cluster/status")
async def status(daemon: Daemon, params: Params) -> list[Member]:
    """Return this host, which is in no cluster."""
    del daemon, params
    name = nodes()[0]
    return [{"id": f"node/{name}", "name": name, "type": "node", "nodeid": 0, "local": 1, "online": 1}]


class Resources(Params):
    """Which resources."""

    type: Literal["vm", "storage", "node", "sdn"] | None = None


class Resource(TypedDict):
    """A node or a guest."""

    id: str
    type: Literal["node", "qemu", "lxc"]
    node: str
    status: str
    vmid: NotRequired[int]
    name: NotRequired[str]
    template: NotRequired[ZeroOne]
    uptime: NotRequired[int]
    maxcpu: NotRequired[int]
    cpu: NotRequired[float]
    mem: NotRequired[int]
    maxmem: NotRequired[int]


@routes.get("/cluster/resources")
async def resources(daemon: Daemon, params: Resources) -> list[Resource]:
    """Return this host and its guests."""
    found: list[Resource] = [cast("Resource", this_node(daemon))] if params.type in (None, "node") else []
    return found + (await _guests(daemon) if params.type in (None, "vm") else [])


async def _guests(daemon: Daemon) -> list[Resource]:
    found: list[Resource] = []
    for guest in await daemon.guests.records():
        contained = is_container(daemon, guest["vmid"])
        kind: Literal["lxc", "qemu"] = "lxc" if contained else "qemu"
        told = listed(guest, "CT" if contained else "VM")
        found.append(
            {
                "id": f"{kind}/{told['vmid']}",
                "type": kind,
                "node": nodes()[0],
                "status": told["status"],
                "vmid": told["vmid"],
                "name": told["name"],
                "template": 0,
            }
        )
    return found


class Zones(Params):
    """Which zones."""

    type: Annotated[str, Field(max_length=32)] | None = None


@routes.get("/cluster/sdn/zones")
async def zones(daemon: Daemon, params: Zones) -> list[Part]:
    """Return nothing: there is no SDN here."""
    del daemon, params
    return []


@routes.get("/cluster/sdn/vnets")
async def vnets(daemon: Daemon, params: Params) -> list[Part]:
    """Return nothing: there is no SDN here, and a bridge has its firewall by its name."""
    del daemon, params
    return []


@routes.get("/cluster/sdn/ipams")
async def ipams(daemon: Daemon, params: Params) -> list[Part]:
    """Return nothing: there is no SDN here."""
    del daemon, params
    return []
