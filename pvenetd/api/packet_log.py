"""The firewall's log."""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import Field

from pvenetd.api.route import OfNode, Routes, Vmid
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
    """Return packets that rules have logged, oldest first, decoded, each with the rule's FILE:LINE."""

    def wanted(line: Record) -> bool:
        return params.vmid is None or line["vmid"] == params.vmid

    return cast("list[LoggedPacket]", await daemon.packets.lines.after(params.since, params.wait, wanted))


class Page(OfNode):
    """Which lines."""

    start: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=0)] = 50


@routes.get("/nodes/{node}/firewall/log")
async def lines(daemon: Daemon, params: Page) -> list[LogLine]:
    """Return lines of the log in Proxmox VE's format, with their numbers from 1."""
    found = [line["text"] for line in daemon.packets.lines]
    chosen = found[params.start : params.start + params.limit]
    return [{"n": number, "t": text} for number, text in enumerate(chosen, params.start + 1)]
