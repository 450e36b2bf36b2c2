"""The firewall's log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, cast

from pydantic import Field
from typing_extensions import TypedDict

from pvenetd.api.route import Beside, OfNode, Params, Routes, Vmid
from pvenetd.api.tasks import LogLine
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.feed import Record
from pvenetd.daemon.packet_log import LoggedPacket

routes = Routes()


class Since(OfNode):
    """Which lines."""

    since: Annotated[int, Field(ge=0)] = 0
    """Only those after this id."""
    wait: Annotated[float, Field(ge=0, le=60)] = 0
    """Seconds to wait for one, where there is none."""
    vmid: Vmid | None = None
    """One guest's alone."""


@routes.get("/nodes/{node}/pvenetd/firewall/log")
async def packets(daemon: Daemon, params: Since) -> list[LoggedPacket]:
    """Return packets that rules have logged, oldest first, decoded, each with the rule's FILE:LINE.

    With ``Accept: text/event-stream`` they are streamed as Server-Sent Events, resumable by ``Last-Event-ID``.
    """
    found = await daemon.packets.lines.after(params.since, params.wait, wanted(params))
    return cast("list[LoggedPacket]", found)


def wanted(params: Since) -> Callable[[Record], bool]:
    """Return which lines are asked for."""
    return lambda line: params.vmid is None or line["vmid"] == params.vmid


class Page(Params):
    """Which lines."""

    start: Annotated[int, Field(ge=0)] = 0
    """The first of them, counted from 0."""
    limit: Annotated[int, Field(ge=0)] = 50
    """How many at most."""
    since: Annotated[int, Field(ge=0)] | None = None
    """Seconds since 1970: none from before."""
    until: Annotated[int, Field(ge=0)] | None = None
    """Seconds since 1970: none from after."""


class LogTotal(TypedDict):
    """Beside lines of the log."""

    total: int
    """How many there are."""


def page(daemon: Daemon, params: Page, vmid: int | None) -> Beside[list[LogLine], LogTotal]:
    """Return lines of the log in Proxmox VE's format; of a guest alone where it is said."""
    found = [line for line in daemon.packets.lines if vmid in (None, line["vmid"])]
    if params.since is not None or params.until is not None:
        least, most = params.since or 0, float("inf") if params.until is None else params.until
        found = [line for line in found if least <= datetime.fromisoformat(line["time"]).timestamp() <= most]
    chosen = found[params.start : params.start + params.limit]
    lines = [LogLine(n=number, t=line["text"]) for number, line in enumerate(chosen, params.start + 1)]
    return Beside(lines, {"total": len(found)})
