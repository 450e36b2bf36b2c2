"""What somebody had done, as Proxmox VE's tasks: who, what, since when, and how it ended; kept over a restart.

A task is done when its UPID is told.  One line of JSON each, appended; a file that has grown is written anew.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace

from pvenetd.daemon.staging import Files
from pvenetd.errors import PvenetError

log = logging.getLogger("pvenetd.tasks")

TASKS = "var/lib/pvenetd/tasks.jsonl"
KEPT = 1000
"""Tasks that are remembered at most."""
OK = "OK"
_ROOM = 2 * KEPT
"""Lines at which the file is written anew."""
_ODD = re.compile(r"[:\s]")
"""What a user's name must not have in a UPID."""
_STEPS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Task:
    """Something that was done, or has failed."""

    pid: int
    pstart: int
    """Counts this process's tasks, so that no two have one UPID."""
    began: int
    """Seconds since 1970."""
    kind: str
    """As Proxmox VE calls it: ``srvreload``, ``qmconfig``."""
    about: str
    """Of what: ``networking``, a VMID."""
    who: str
    """``USER@REALM``, or ``USER@REALM!TOKEN``."""
    ended: int = 0
    status: str = OK
    """``OK``, or why it has failed."""

    def upid(self, node: str) -> str:
        """Return its name, by which clients ask for it."""
        return f"UPID:{node}:{self.pid:08X}:{self.pstart:08X}:{self.began:08X}:{self.kind}:{self.about}:{self.who}:"

    @property
    def user(self) -> str:
        """Return the user, without the token."""
        return self.who.partition("!")[0]

    @property
    def token(self) -> str:
        """Return the token's name, empty where he came without one."""
        return self.who.partition("!")[2]


class Tasks:
    """The tasks of this host."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._tasks: deque[Task] | None = None
        self._lines = 0

    def newest(self) -> Iterable[Task]:
        """Return those that are remembered, the last one first."""
        return reversed(self._all())

    @asynccontextmanager
    async def run(self, kind: str, about: str, who: str) -> AsyncIterator[Task]:
        """Remember what is done within, and how it ends.  Raises what it raises."""
        began = Task(os.getpid(), next(_STEPS), int(time.time()), kind, about, _name(who))
        try:
            yield began
        except PvenetError as error:
            self._keep(replace(began, ended=int(time.time()), status=str(error).partition("\n")[0] or "failed"))
            raise
        self._keep(replace(began, ended=int(time.time())))

    def _keep(self, task: Task) -> None:
        tasks = self._all()
        tasks.append(task)
        try:
            if self._lines >= _ROOM:
                self._files.put(TASKS, b"".join(map(_line, tasks)))
                self._lines = len(tasks)
            else:
                self._files.append(TASKS, _line(task))
                self._lines += 1
        except OSError as error:  # what was done is done
            log.warning("/%s: %s: this task will not outlive the daemon", TASKS, error.strerror)

    def _all(self) -> deque[Task]:
        """Return what is remembered; lines that are no tasks (of a killed writer) are none."""
        if self._tasks is None:
            try:
                lines = (self._files.read(TASKS) or b"").splitlines()
            except OSError as error:
                log.warning("/%s: %s", TASKS, error.strerror)
                lines = []
            found = [task for line in lines if (task := _task(line))]
            self._lines = len(lines) if len(found) == len(lines) else _ROOM  # the next one writes it anew
            self._tasks = deque(found, KEPT)
        return self._tasks


def _line(task: Task) -> bytes:
    return json.dumps(asdict(task)).encode() + b"\n"


def _task(line: bytes) -> Task | None:
    try:
        task = Task(**json.loads(line))
        whole = all(isinstance(getattr(task, name), kind) for name, kind in _TYPES.items())
    except (ValueError, TypeError):
        return None
    return task if whole else None


_TYPES = {
    **dict.fromkeys(("pid", "pstart", "began", "ended"), int),
    **dict.fromkeys(("kind", "about", "who", "status"), str),
}


def _name(who: str) -> str:
    """Return a user as Proxmox VE names him; one at the socket is of this host."""
    name = _ODD.sub("_", who)
    return name if "@" in name else f"{name}@pam"
