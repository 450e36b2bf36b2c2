"""The host as a whole: version, nodes, status, topology, events."""

from __future__ import annotations

from typing import Annotated, NotRequired, cast

from pydantic import Field, with_config
from typing_extensions import TypedDict

from pvenetd import __version__
from pvenetd.api.route import OfNode, Params, Routes, nodes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.overview import HealthRecord, LinkRecord, StatusRecord
from pvenetd.daemon.ports import Behind

routes = Routes()


class Version(TypedDict):
    """A version, with Proxmox VE's keys."""

    version: str
    release: str
    repoid: str


@routes.get("/version")
async def version(daemon: Daemon, params: Params) -> Version:
    """Return the version of pvenetd, with Proxmox VE's keys."""
    del daemon, params
    return {"version": __version__, "release": __version__, "repoid": "pvenetd"}


@routes.get("/nodes/{node}/version")
async def node_version(daemon: Daemon, params: OfNode) -> Version:
    """Return the same for this host, as Proxmox VE has it for each of a cluster."""
    return await version(daemon, params)


class Node(TypedDict):
    """A host."""

    node: str
    id: str
    type: str
    status: str
    uptime: int
    cpu: float
    maxcpu: int
    mem: int
    maxmem: int


@routes.get("/nodes")
async def node_list(daemon: Daemon, params: Params) -> list[Node]:
    """Return this host as the only node."""
    del params
    return [this_node(daemon)]


def this_node(daemon: Daemon) -> Node:
    """Return this host as a node."""
    name, vitals = nodes()[0], daemon.pulse.vitals()
    return {
        "node": name,
        "id": f"node/{name}",
        "type": "node",
        "status": "online",
        "uptime": vitals["uptime"],
        "cpu": vitals["cpu"],
        "maxcpu": vitals["cpuinfo"]["cpus"],
        "mem": vitals["memory"]["used"],
        "maxmem": vitals["memory"]["total"],
    }


@routes.get("/nodes/{node}/pvenetd/status", shared=True)
async def status(daemon: Daemon, params: OfNode) -> StatusRecord:
    """Return how everything is, for one screen."""
    del params
    return await daemon.status()


class Place(LinkRecord):
    """A link, and the guest behind it."""

    guest: NotRequired[Behind]


@routes.get("/nodes/{node}/pvenetd/health", shared=True)
async def health(daemon: Daemon, params: OfNode) -> HealthRecord:
    """Return whether all is well, and what is not."""
    del params
    return (await daemon.status())["health"]


@routes.get("/nodes/{node}/pvenetd/topology", shared=True)
async def topology(daemon: Daemon, params: OfNode) -> list[Place]:
    """Return every link with what it is a port of or stands on, and a tap's guest."""
    del params
    guests = await daemon.ports.behind(await daemon.engine.observe())
    found = cast("list[Place]", await daemon.topology())
    for link in found:
        if link["name"] in guests:
            link["guest"] = guests[link["name"]]
    return found


@with_config({"extra": "allow"})
class Event(TypedDict):
    """Something that has happened, and the facts of it."""

    id: int
    """Greater with each; they begin anew with the daemon."""
    time: str
    event: str
    """What: ``op``, ``failed``, ``waiting``, ``confirmed``, ``rolled back``, ``edited``, ``guest``, …"""


class Since(OfNode):
    """Which events."""

    since: Annotated[int, Field(ge=0)] = 0
    """Only those after this id."""
    wait: Annotated[float, Field(ge=0, le=60)] = 0
    """Seconds to wait for one, where there is none."""


@routes.get("/nodes/{node}/pvenetd/events")
async def events(daemon: Daemon, params: Since) -> list[Event]:
    """Return what the daemon did and why, oldest first, as far as it remembers.

    With ``Accept: text/event-stream`` it is streamed as Server-Sent Events, resumable by ``Last-Event-ID``; who reads
    too slowly gets an event ``missed`` with the count.
    """
    return cast("list[Event]", await daemon.events.after(params.since, params.wait))


class Failed(TypedDict):
    """What has failed."""

    failed: dict[str, str]
    """The reason, by owner: ``firewall``, ``vm:100``, …"""


@routes.post("/nodes/{node}/pvenetd/reconcile")
async def reconcile(daemon: Daemon, params: OfNode) -> Failed:
    """Bring firewall and guests to what the files say: links were changed by somebody else (ifupdown's if-up.d)."""
    del params
    return {"failed": await daemon.load()}
