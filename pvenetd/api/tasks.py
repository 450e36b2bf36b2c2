"""``nodes/{node}/tasks`` and ``cluster/tasks``: what was done, by whom; who has a UPID, its task is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from pvenetd.api.route import Beside, OfNode, Params, Routes, nodes, words
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.tasks import OK, Task
from pvenetd.errors import NotFound

routes = Routes()

_RECENT = 25
"""Tasks of a node that Proxmox VE's cluster tells of."""
_Seconds = Annotated[int, Field(ge=0, lt=2**40)]


class TaskFacts(TypedDict):
    """What is told of every task, by Proxmox VE's keys."""

    upid: str
    node: str
    pid: int
    pstart: int
    starttime: int
    """Seconds since 1970."""
    type: str
    """``srvreload``: an apply of the interfaces; ``qmconfig``: a change of a VM's NICs."""
    id: str
    user: str
    tokenid: NotRequired[str]
    """The token he came with."""


class TaskRecord(TaskFacts):
    """A task among others."""

    endtime: int
    status: str
    """``OK``, or why it has failed."""


class Wanted(OfNode):
    """Which tasks."""

    start: Annotated[int, Field(ge=0)] = 0
    """So many of the newest are left out."""
    limit: Annotated[int, Field(ge=0)] = 50
    """So many are told at most."""
    userfilter: Annotated[str, Field(max_length=128)] = ""
    """Those of users with this in their name."""
    typefilter: Annotated[str, Field(max_length=64)] = ""
    """Those of this type."""
    statusfilter: Annotated[str, Field(max_length=64)] | tuple[str, ...] = ""
    """Those that ended so: ``ok``, ``error``, ``warning``, ``unknown``, with commas."""
    errors: bool = False
    """Those that have failed."""
    since: _Seconds = 0
    """Those that began then, in seconds since 1970, or later."""
    until: _Seconds | None = None
    """Those that began then or earlier."""
    vmid: Annotated[int, Field(ge=100, le=999_999_999)] | None = None
    """Those about this guest."""
    source: Literal["archive", "active", "all"] = "archive"
    """``active``: none, for a task is done when it is told of."""

    def take(self, tasks: Iterable[Task]) -> list[Task]:
        """Return those that are wanted, start and limit apart."""
        states = {*words(self.statusfilter)}
        return [
            one
            for one in tasks
            if self.source != "active"
            and self.userfilter in one.who
            and self.typefilter in ("", one.kind)
            and not (self.errors and one.status == OK)
            and (not states or ("ok" if one.status == OK else "error") in states)
            and self.since <= one.began <= (one.began if self.until is None else self.until)
            and self.vmid in (None, int(one.about) if one.about.isdecimal() else None)
        ]


class Total(TypedDict):
    """Beside the tasks that are told."""

    total: int
    """So many there are."""


@routes.get("/nodes/{node}/tasks")
async def tasks(daemon: Daemon, params: Wanted) -> Beside[list[TaskRecord], Total]:
    """Return what was done, the newest first; those that have failed, too."""
    found = params.take(daemon.tasks.newest())
    part = found[params.start : params.start + params.limit]
    return Beside([_record(one) for one in part], {"total": len(found)})


@routes.get("/cluster/tasks")
async def cluster_tasks(daemon: Daemon, params: Params) -> list[TaskRecord]:
    """Return the newest tasks of this host, which is in no cluster."""
    del params
    return [_record(one) for one in daemon.tasks.newest()][:_RECENT]


class OneTask(OfNode):
    """A task by its UPID."""

    upid: Annotated[str, Field(max_length=256)]


class TaskLog(OneTask):
    """Which lines of its log."""

    start: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=0)] = 50


class TaskStatus(TaskFacts):
    """How a task is."""

    status: str
    """``stopped``: it is done."""
    exitstatus: str
    """``OK``, or why it has failed."""


class LogLine(TypedDict):
    """A line of a log."""

    n: int
    """Its number, from 1."""
    t: str


@routes.get("/nodes/{node}/tasks/{upid}/status")
async def status(daemon: Daemon, params: OneTask) -> TaskStatus:
    """Return how a task has ended: it is done when its UPID is told."""
    task = _known(daemon, params.upid)
    return {**_facts(task), "status": "stopped", "exitstatus": task.status}


@routes.get("/nodes/{node}/tasks/{upid}/log")
async def log(daemon: Daemon, params: TaskLog) -> Beside[list[LogLine], Total]:
    """Return the task's log: how it has ended; the events tell what was."""
    task = _known(daemon, params.upid)
    said = "TASK OK" if task.status == OK else f"TASK ERROR: {task.status}"
    lines: list[LogLine] = [{"n": 1, "t": said}]
    return Beside(lines[params.start : params.start + params.limit], {"total": len(lines)})


def _known(daemon: Daemon, upid: str) -> Task:
    name = nodes()[0]
    found = next((one for one in daemon.tasks.newest() if one.upid(name) == upid), None)
    if found is None:
        raise NotFound(f"no task {upid!r}")
    return found


def _record(task: Task) -> TaskRecord:
    return {**_facts(task), "endtime": task.ended, "status": task.status}


def _facts(task: Task) -> TaskFacts:
    name = nodes()[0]
    found: TaskFacts = {
        "upid": task.upid(name),
        "node": name,
        "pid": task.pid,
        "pstart": task.pstart,
        "starttime": task.began,
        "type": task.kind,
        "id": task.about,
        "user": task.user,
    }
    if task.token:
        found["tokenid"] = task.token
    return found
