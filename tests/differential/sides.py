"""A configuration applied in a fresh network namespace, by us or by ifupdown2, and what is there afterwards."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from pvenetd.compile import compile_interfaces
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import Engine
from pvenetd.interfaces.config import Config, single
from pvenetd.interfaces.syntax import parse
from pvenetd.kinds.link import Link
from pvenetd.state import INTERFACES
from tests import peers
from tests.differential.views import OUR_MACS, Facts, facts
from tests.netns import Namespaces, fresh, run

NICS = ("eth0", "eth1", "eth2")


def _cables(namespaces: Namespaces) -> None:
    for number, name in enumerate(NICS, 1):
        namespaces.cable(name)
        run("ip", "link", "set", name, "address", f"{OUR_MACS}00:53:{number:02x}")


def _config(file: Path) -> Config:
    return single(parse(file.read_bytes(), str(file)))


async def ours(file: Path, work: Path) -> Facts:
    """Return what there is after our apply; a second one has nothing to do."""
    with fresh() as namespaces:
        _cables(namespaces)
        files = Files(work)
        with closing(Host(files)) as host, closing(Engine(host, Journal(files))) as engine:
            there = [link.name for link in host.observe().values() if isinstance(link, Link)]
            wanted = compile_interfaces(_config(file), there, "mark").checked()
            await engine.apply(wanted, {})
            assert await engine.plan(INTERFACES, wanted) == ()
        return facts()


def theirs(file: Path, work: Path) -> Facts:
    """Return what there is after ifupdown2's ``ifreload -a``."""
    with fresh() as namespaces:
        _cables(namespaces)
        done = peers.run(work, file, "ifreload", "-a")
        assert done.returncode == 0, done.stderr
        return facts()
