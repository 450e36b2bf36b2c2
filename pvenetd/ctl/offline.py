"""What pvenetctl answers by itself where no daemon runs, and what it is asked of a single file.

The same nouns and the same table of routes as in the daemon, without its recovery at start; a
machine that is opened only by what looks at it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pvenetd import settings
from pvenetd.api.edits import Edit
from pvenetd.api.errors import refusal
from pvenetd.api.route import Caller, validated
from pvenetd.api.route import answer as asked
from pvenetd.api.routes import ROUTES
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import FileRequest
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.edits import Change, creation, deletion, setting
from pvenetd.daemon.interfaces import ProblemRecord, problem_record
from pvenetd.daemon.store import Store
from pvenetd.drivers.accounts import Accounts
from pvenetd.drivers.conntrack import Tracked
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.nics import Nics
from pvenetd.drivers.programs import Programs
from pvenetd.edits.wish import Wish
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Conflict, NotFound, PvenetError, Unavailable
from pvenetd.firewall.flow import Flow
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.tally import Tally
from pvenetd.forwarding import Heard
from pvenetd.interfaces.config import Config, single
from pvenetd.interfaces.includes import Disk, load
from pvenetd.interfaces.syntax import parse
from pvenetd.plan import Op
from pvenetd.resource import Key
from pvenetd.state import State

_BY_KERNEL = ("plan", "drift", "compile", "simulate", "apply")
"""Requests whose answer depends on what the kernel's nftables can do."""
_LONGEST = 2
"""Parts in the path of such a request: what is longer ends in a name."""
_ME = Caller("pvenetctl", may_write=True)


class Later:
    """The machine, opened by its first use: what only reads files never touches the kernel."""

    def __init__(self, files: Files, backend: str) -> None:
        self._files = files
        self._backend = backend
        self._host: Any = None

    def _machine(self) -> Any:
        if self._host is None:
            from pvenetd.drivers.host import Host

            try:
                self._host = Host(self._files, backend=self._backend)
            except PermissionError as error:
                raise Unavailable("only root sees the kernel without asking pvenetd") from error
        return self._host

    def observe(self, keys: Collection[Key] = (), *, only: bool = False, anew: Collection[Key] = ()) -> State:
        """Return what there is."""
        found: State = self._machine().observe(keys, only=only, anew=anew)
        return found

    def owned(self, owner: str) -> list[Key]:
        """Return the links marked as *owner*'s."""
        found: list[Key] = self._machine().owned(owner)
        return found

    def changed(self) -> set[Key]:
        """Return the keys of what changed since this was last asked."""
        found: set[Key] = self._machine().changed()
        return found

    def disturbed(self) -> bool:
        """Return whether anybody but us has changed nftables since this was last asked."""
        found: bool = self._machine().disturbed()
        return found

    def counters(self, names: Collection[str]) -> dict[str, dict[str, int]]:
        """Return what links have counted."""
        found: dict[str, dict[str, int]] = self._machine().counters(names)
        return found

    def forwarding(self) -> tuple[Heard, ...]:
        """Return the forwarding tables of bridges and VXLANs."""
        found: tuple[Heard, ...] = self._machine().forwarding()
        return found

    def tallies(self, pieces: Collection[str]) -> tuple[Tally, ...]:
        """Return what the rules of *pieces* that are loaded have counted."""
        found: tuple[Tally, ...] = self._machine().tallies(pieces)
        return found

    def lacking(self, abilities: Collection[str]) -> frozenset[str]:
        """Return those of *abilities* that the kernel does not have."""
        found: frozenset[str] = self._machine().lacking(abilities)
        return found

    def cut(self, flows: Collection[Flow], *, at_host: bool) -> int:
        """Cut connections; return how many there were.  Raises `KernelError`."""
        found: int = self._machine().cut(flows, at_host=at_host)
        return found

    def apply(self, *ops: Op) -> None:
        """Carry out one operation.  Raises `KernelError`."""
        self._machine().apply(*ops)

    def close(self) -> None:
        """Give back what was opened."""
        if self._host is not None:
            self._host.close()


def answer(root: str, request: Request | FileRequest) -> tuple[int, Mapping[str, Any]]:
    """Return the status and the record that a daemon of *root* would answer, or those about one file."""
    here = Path(os.path.realpath(root))
    try:
        return asyncio.run(_answer(here, request) if isinstance(request, Request) else _read(here, request))
    except OSError as error:  # a file of the user's: the daemon itself, as root, would be stopped by none
        return 500, {"message": f"{error.filename}: {error.strerror}"}


async def _answer(root: Path, request: Request) -> tuple[int, Mapping[str, Any]]:
    try:
        by_kernel = request.path[-1] in _BY_KERNEL and len(request.path) <= _LONGEST
        async with _daemon(root, by_kernel=by_kernel) as daemon:
            if request.method != "GET" and by_kernel:
                await daemon.adopt()
            return 200, await asked(daemon, ROUTES, _ME, request.method, request.target, request.params)
    except PvenetError as error:
        return refusal(error)


async def _read(root: Path, request: FileRequest) -> tuple[int, Mapping[str, Any]]:
    nics = None if request.nics is None else [name for name in request.nics.split(",") if name]
    try:
        async with _daemon(root, by_kernel=False) as daemon:
            if request.what == "check":
                return 200, {"data": {"problems": await _problems(daemon, root, request.file, nics)}}
            if request.what in _EDITS:
                await _edit(daemon, request, nics)
                return 200, {"data": None}
            config = _alone(request.file) if request.file else None
            if request.what == "show":
                return 200, {"data": await daemon.interfaces.show(request.name, config, nics=nics)}
            return 200, {"data": await daemon.interfaces.records(config, nics=nics)}
    except PvenetError as error:
        return refusal(error)


_EDITS: dict[str, Callable[[Wish], Change]] = {
    "create": creation,
    "set": setting,
    "delete": lambda wish: deletion(wish.iface),
}


async def _edit(daemon: Daemon, request: FileRequest, nics: list[str] | None) -> None:
    """Edit a file of the user's in its place, if nobody else does meanwhile."""
    name, files = str(Path.cwd() / request.file), Files(Path("/"))
    before = files.read(name)
    if before is None:
        raise NotFound(f"{request.file}: no such file")
    wish = validated(Edit, {"node": "localhost", "iface": request.name}, request.values).wish()
    after = await daemon.interfaces.edited(parse(before, request.file), _EDITS[request.what](wish), nics)
    if files.read(name) != before:
        raise Conflict(f"{request.file} has changed meanwhile: try again")
    files.put(name, after)


async def _problems(daemon: Daemon, root: Path, file: str, nics: list[str] | None) -> list[ProblemRecord]:
    try:
        config = load(file, Given(file, root))
    except ConfigError as error:
        return [problem_record(problem) for problem in error.problems]
    return [problem_record(problem) for problem in await daemon.interfaces.check(config, nics=nics)]


@asynccontextmanager
async def _daemon(root: Path, *, by_kernel: bool) -> AsyncIterator[Daemon]:
    """Yield the daemon of *root*, not started: it has undone, taken over and loaded nothing."""
    files = Files(root)
    config = settings.load(files.read)
    level = logging.root.manager.disable
    logging.disable()  # what goes wrong is in the answer
    journal = Journal(files)
    machine = Later(files, config.firewall.backend)
    engine = Engine(machine, journal)
    try:
        design, tells_bridge = _abilities(by_kernel=by_kernel)
        design = "iptables" if config.firewall.backend == "iptables" else design
        daemon = Daemon(Store(files), engine, journal, config, design)
        daemon.guard.tells_bridge = tells_bridge
        daemon.interfaces.nics.source = Nics()
        daemon.cut.source = Tracked()
        daemon.access.accounts = Accounts(root, Programs(root))
        daemon.once = True
        yield daemon
    finally:
        engine.close()
        machine.close()
        logging.disable(level)


def _abilities(*, by_kernel: bool) -> tuple[Design, bool]:
    """Return what this kernel's nftables can do; who is not root cannot ask, and gets what newer kernels can."""
    if not by_kernel or os.geteuid() != 0:
        return "ct", True
    from pvenetd.drivers import nft

    return nft.probe(), nft.tells_bridge()


class Given:
    """A file the user names, and what it sources: beside it as the user sees it, elsewhere below the root."""

    def __init__(self, file: str, root: Path) -> None:
        self._beside = str(Path(file).parent)
        self._file = file
        self._here = Disk()
        self._below = Disk(root)

    def read(self, path: str) -> bytes:
        """Return what the regular file *path* holds."""
        return self._disk(path).read(self._seen(path))

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*."""
        return self._disk(directory).names(self._seen(directory))

    def _is_beside(self, path: str) -> bool:
        return path == self._file or not path.startswith("/") or path.startswith(f"{self._beside}/")

    def _seen(self, path: str) -> str:
        return str(Path.cwd() / path) if self._is_beside(path) else path

    def _disk(self, path: str) -> Disk:
        return self._here if self._is_beside(path) else self._below


def _alone(file: str) -> Config:
    return single(load(file, Given(file, Path("/"))).files[0])
