"""``nodes/{node}/tasks/{upid}``: what Proxmox VE's clients ask after an apply; who has a UPID, its apply is done."""

from __future__ import annotations

import os
import re
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from pvenetd.api.route import OfNode, Routes, nodes
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import NotFound

routes = Routes()

_UPID = re.compile(
    r"UPID:([^:/]+):([0-9A-F]{8}):([0-9A-F]{8}):([0-9A-F]{8}):(srvreload|qmconfig):(networking|[0-9]+):(root@pam):"
)


def finished(began: float, kind: str = "srvreload", name: str = "networking") -> str:
    """Return the UPID of what is done, an apply or another *kind* of task; *began* in seconds since 1970."""
    return f"UPID:{nodes()[0]}:{os.getpid():08X}:{0:08X}:{int(began):08X}:{kind}:{name}:root@pam:"


class Task(OfNode):
    """A task by its UPID."""

    upid: Annotated[str, Field(max_length=256)]


class TaskLog(Task):
    """Which lines of its log."""

    start: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=0)] = 50


class TaskStatus(TypedDict):
    """What has become of a task."""

    upid: str
    node: str
    pid: int
    pstart: int
    starttime: int
    """Seconds since 1970."""
    type: str
    id: str
    user: str
    status: str
    """``stopped``: it is done."""
    exitstatus: str
    """``OK``."""


class LogLine(TypedDict):
    """A line of a log."""

    n: int
    """Its number, from 1."""
    t: str


@routes.get("/nodes/{node}/tasks/{upid}/status")
async def status(daemon: Daemon, params: Task) -> TaskStatus:
    """Return that the task is done: an apply that fails has no UPID."""
    del daemon
    node, pid, pstart, began, kind, name, user = _parts(params.upid)
    return {
        "upid": params.upid,
        "node": node,
        "pid": int(pid, 16),
        "pstart": int(pstart, 16),
        "starttime": int(began, 16),
        "type": kind,
        "id": name,
        "user": user,
        "status": "stopped",
        "exitstatus": "OK",
    }


@routes.get("/nodes/{node}/tasks/{upid}/log")
async def log(daemon: Daemon, params: TaskLog) -> list[LogLine]:
    """Return the task's log: that it is done; the events tell what was."""
    del daemon
    _parts(params.upid)
    lines: list[LogLine] = [{"n": 1, "t": "TASK OK"}]
    return lines[params.start : params.start + params.limit]


def _parts(upid: str) -> tuple[str, ...]:
    found = _UPID.fullmatch(upid)
    if not found or found[1] != nodes()[0]:
        raise NotFound(f"no task {upid!r}")
    return found.groups()
