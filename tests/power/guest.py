"""What runs in the guest whose power is cut: tells how the last cut left the host, then runs into the next one.

``python -m tests.power.guest ROOT MOMENT``: looks at the host below ROOT if it is not the first, prints
``left`` with what it found (JSON), brings the host to OLD, applies NEW, prints ``cut`` at MOMENT (its number,
`scenario.moments`), and waits for the end.  With no MOMENT it only looks.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from pvenetd.daemon.applies import Asked
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import Store
from pvenetd.drivers import nft
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import Engine
from pvenetd.plan import Op
from pvenetd.settings import Settings
from tests.netns import fresh
from tests.power.scenario import MAIN, NEW, NICS, OLD, SOURCED

Moment = Callable[[], None]
QUIET = Asked(probe=False)
"""Nobody is there to answer."""


class Cut(Files, Journal):
    """Files and a journal that tell of each moment."""

    def __init__(self, root: Path, moment: Moment) -> None:
        Files.__init__(self, root)
        Journal.__init__(self, self)
        self.moment = moment

    def write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self.moment()
        super().write(name, data, mode)

    def remove(self, name: str) -> None:
        self.moment()
        super().remove(name)

    def commit(self) -> None:
        self.moment()
        super().commit()
        self.moment()


class CutHost(Host):
    """A machine that tells of each step: an operation, or some deletions of links that are one request."""

    moment: Moment

    def apply(self, *ops: Op) -> None:
        self.moment()
        super().apply(*ops)


def silent() -> None:
    """Let a moment pass."""


async def look(root: Path) -> dict[str, Any]:
    """Start as after a boot, bring the host to what is active, and return what there is on disk and left to do."""
    files = Files(root)
    async with served(files, Journal(files), Host(files)) as daemon:
        texts = {name: text(files, name) for name in (MAIN, SOURCED, f"{MAIN}.new", f"{SOURCED}.new")}
        for name in (MAIN, SOURCED):
            files.put(f"{name}.new", None)
        await daemon.interfaces.apply(QUIET)
        plan = [str(op) for op in await daemon.interfaces.plan()]
        return {"texts": texts, "plan": plan}


async def run_into(root: Path, at: int) -> None:
    """Bring the host to OLD, then apply NEW until moment number *at*."""
    numbers = count()

    def moment() -> None:
        if next(numbers) == at:
            print("cut", flush=True)
            signal.pause()

    files = Cut(root, silent)
    host = CutHost(files)
    host.moment = silent
    for name, data in OLD.items():
        files.put(name, data.encode())
    async with served(files, files, host) as daemon:
        await daemon.interfaces.apply(QUIET)
        for name, data in NEW.items():
            files.put(f"{name}.new", data.encode())
        files.moment = host.moment = moment
        await daemon.interfaces.apply(QUIET)


class served:  # noqa: N801 - read as a function
    """A started daemon on *host*."""

    def __init__(self, files: Files, journal: Journal, host: Host) -> None:
        self._host = host
        self._engine = Engine(host, journal)
        self._daemon = Daemon(Store(files), self._engine, journal, Settings(), nft.probe())

    async def __aenter__(self) -> Daemon:
        await self._daemon.start()
        return self._daemon

    async def __aexit__(self, *_: object) -> None:
        self._engine.close()
        self._host.close()


def text(files: Files, name: str) -> str | None:
    """Return a file's text, None where it is not there."""
    data = files.read(name)
    return None if data is None else data.decode()


def main(root: Path, at: str = "") -> None:
    """Look, then run into the next cut."""
    shutil.rmtree(root / "run", ignore_errors=True)  # a boot begins with an empty /run
    with fresh() as namespaces:
        for nic in NICS:
            namespaces.cable(nic)
        if (root / MAIN).exists():
            print("left", json.dumps(asyncio.run(look(root))), flush=True)
        if at:
            asyncio.run(run_into(root, int(at)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
