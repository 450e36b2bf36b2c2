"""The host as a whole: version, nodes, status, topology, events."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pvenetd import __version__
from pvenetd.api.route import OfNode, Params, Routes, nodes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.feed import Record

routes = Routes()


@routes.get("/version")
async def version(daemon: Daemon, params: Params) -> dict[str, str]:
    """Return the version of pvenetd, with Proxmox VE's keys."""
    del daemon, params
    return {"version": __version__, "release": __version__, "repoid": "pvenetd"}


@routes.get("/nodes")
async def node_list(daemon: Daemon, params: Params) -> list[dict[str, str]]:
    """Return this host as the only node."""
    del daemon, params
    name = nodes()[0]
    return [{"node": name, "id": f"node/{name}", "type": "node", "status": "online"}]


@routes.get("/nodes/{node}/pvenetd/status")
async def status(daemon: Daemon, params: OfNode) -> dict[str, Any]:
    """Return how everything is, for one screen."""
    del params
    return await daemon.status()


@routes.get("/nodes/{node}/pvenetd/topology")
async def topology(daemon: Daemon, params: OfNode) -> list[dict[str, Any]]:
    """Return every link with what it is a port of or stands on, and a tap's guest."""
    del params
    guests = {nic["tap"]: (guest, nic) for guest in await daemon.guests.records() for nic in guest["nics"]}
    return [
        {**link, "guest": _guest(*guests[link["name"]])} if link["name"] in guests else link
        for link in await daemon.topology()
    ]


def _guest(guest: dict[str, Any], nic: dict[str, Any]) -> dict[str, Any]:
    return {"vmid": guest["vmid"], "name": guest["name"], "nic": nic["nic"], "filtered": nic["filtered"]}


class Since(OfNode):
    """Which events."""

    since: Annotated[int, Field(ge=0)] = 0
    """Only those after this id."""
    wait: Annotated[float, Field(ge=0, le=60)] = 0
    """Seconds to wait for one, where there is none."""


@routes.get("/nodes/{node}/pvenetd/events")
async def events(daemon: Daemon, params: Since) -> list[Record]:
    """Return what the daemon did and why, oldest first, as far as it remembers."""
    return await daemon.events.after(params.since, params.wait)


@routes.post("/nodes/{node}/pvenetd/reconcile")
async def reconcile(daemon: Daemon, params: OfNode) -> dict[str, Any]:
    """Bring firewall and guests to what the files say: links were changed by somebody else (ifupdown's if-up.d)."""
    del params
    return {"failed": await daemon.load()}
