"""``kill -9`` at every moment of an apply, and of its recovery: the host is as before, or as after."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest

from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import Engine
from pvenetd.errors import Full
from pvenetd.journal import versions
from pvenetd.plan import Op, plan
from pvenetd.state import INTERFACES
from tests.harness import ACTIVE, FIRST, GOLDEN, Case, load, plain, run_async, same
from tests.kernel.seen import seen
from tests.netns import Namespaces
from tests.reliability import Outcome

CASES = (
    pytest.param("address/to_bridge", marks=pytest.mark.netns),
    pytest.param("bridge/removed", marks=pytest.mark.netns),
    pytest.param("hook/changed", marks=pytest.mark.netns),
    pytest.param("nat/option", marks=pytest.mark.netns),
    pytest.param("vxlan/new_vni", marks=pytest.mark.netns),
    pytest.param("bond/mode_changed", marks=pytest.mark.lab),
    pytest.param("bridge/vlan_aware_management", marks=pytest.mark.lab),
    pytest.param("whole/host_renumbered", marks=pytest.mark.lab),
)
_FINISHED, _BROKEN = 0, 3
NEVER = -1
Moment = Callable[[], None]


class DyingFiles(Files):
    def __init__(self, root: Path, moment: Moment) -> None:
        super().__init__(root)
        self._moment = moment

    def write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self._moment()
        super().write(name, data, mode)

    def remove(self, name: str) -> None:
        self._moment()
        super().remove(name)


class FullFiles(Files):
    """A disk that has no room for write number *at*, nor, with *stays*, for any after it."""

    def __init__(self, root: Path, at: int, *, stays: bool) -> None:
        super().__init__(root)
        self._writes = count()
        self._full = range(at, 1 << 30) if stays else range(at, at + 1)

    def write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        if next(self._writes) in self._full:
            raise Full(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        super().write(name, data, mode)


class DyingJournal(Journal):
    def __init__(self, files: DyingFiles, moment: Moment) -> None:
        super().__init__(files)
        self._moment = moment

    def commit(self) -> None:
        self._moment()
        super().commit()
        self._moment()


class DyingHost(Host):
    def __init__(self, files: Files, moment: Moment) -> None:
        super().__init__(files)
        self._moment = moment

    def apply(self, *ops: Op) -> None:
        self._moment()
        super().apply(*ops)
        self._moment()


def finishes(root: Path, at: int, job: Callable[[Engine], object]) -> bool:
    """Run *job* in a process that kills itself at its moment number *at*; return whether it came to its end before."""
    child = os.fork()
    if not child:
        try:
            moments = count()

            def moment() -> None:
                if next(moments) == at:
                    os.kill(os.getpid(), signal.SIGKILL)

            files = DyingFiles(root, moment)
            asyncio.run(job(Engine(DyingHost(files, moment), DyingJournal(files, moment))))
            os._exit(_FINISHED)
        except BaseException:  # noqa: BLE001 - pytest must not go on in the child
            traceback.print_exc()
            os._exit(_BROKEN)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (_FINISHED, -signal.SIGKILL)
    return status == _FINISHED


def prepare(name: str, root: Path, namespaces: Namespaces) -> Case:
    case = load(GOLDEN / f"{name}.case")
    for nic in case.nics:
        namespaces.cable(nic)
    files = Files(root)
    files.write(ACTIVE, FIRST)
    with closing(Host(files)) as host:
        for op in plan(case.state, host.observe(case.state.keys())):
            host.apply(op)
    return case


def everything(case: Case, root: Path) -> tuple[object, ...]:
    files = Files(root)
    with closing(Host(files)) as host:
        return plain(host.observe(case.desired.keys())), seen(), files.read(ACTIVE)


def recover(root: Path) -> None:
    files = Files(root)
    with closing(Host(files)) as host:
        engine = Engine(host, Journal(files))
        run_async(engine.recover())
        engine.close()
    assert Journal(files).pending() is None


def apply(case: Case) -> Callable[[Engine], object]:
    change = {ACTIVE: versions(FIRST, case.interfaces.encode())}
    return lambda engine: engine.apply(case.desired, change)


@pytest.mark.reliability(
    "`kill -9` at each moment of an apply",
    guarantee="the host is as before, or as after: links, addresses, routes, rules and files",
)
@pytest.mark.parametrize("name", CASES)
def test_apply(name: str, tmp_path: Path, namespaces: Namespaces, outcome: Outcome) -> None:
    case = prepare(name, tmp_path, namespaces)
    before = everything(case, tmp_path)
    for at in count():
        finished = finishes(tmp_path, at, apply(case))
        recover(tmp_path)
        if Files(tmp_path).read(ACTIVE) != FIRST:
            break
        assert not finished
        same(everything(case, tmp_path), before, f"as before when killed at moment {at}")
    assert at > len(case.plan.splitlines()), "there is a moment before and after each operation"
    with closing(Host(Files(tmp_path))) as host:
        assert plan(case.desired, host.observe(case.desired.keys()), {INTERFACES}) == (), "else as after"
    outcome(tried=at)


@pytest.mark.reliability(
    "`kill -9` at each moment of the rollback that follows a `kill -9`",
    guarantee="the next start ends what is left of it: the host is as before",
)
@pytest.mark.netns
def test_recovery(tmp_path: Path, namespaces: Namespaces, outcome: Outcome) -> None:
    case = prepare("vxlan/new_vni", tmp_path, namespaces)
    change = {ACTIVE: versions(FIRST, case.interfaces.encode())}
    before = everything(case, tmp_path)
    for at in count():
        assert finishes(tmp_path, NEVER, lambda engine: engine.apply(case.desired, change, confirm=3600.0))
        finished = finishes(tmp_path, at, lambda engine: engine.recover())
        recover(tmp_path)
        same(everything(case, tmp_path), before, f"as before when its recovery is killed at moment {at}")
        if finished:
            break
    assert at > len(case.plan.splitlines())
    outcome(tried=at)


@pytest.mark.reliability(
    "no room on the disk at each write of an apply, for a moment or for good",
    guarantee="the kernel is as before at once, the files when there is room",
)
@pytest.mark.netns
@pytest.mark.parametrize("stays", [False, True], ids=["for a moment", "for good"])
def test_a_full_disk(stays: bool, tmp_path: Path, namespaces: Namespaces, outcome: Outcome) -> None:
    case = prepare("hook/changed", tmp_path, namespaces)
    before = everything(case, tmp_path)
    for at in count():
        files = FullFiles(tmp_path, at, stays=stays)
        files.remove(Journal.RESERVE)
        with closing(Host(files)) as host, closing(Engine(host, Journal(files))) as engine, suppress(Full):
            run_async(apply(case)(engine))
            break
        same(everything(case, tmp_path)[:2], before[:2], f"the kernel is as before without room for write {at}")
        recover(tmp_path)
        same(everything(case, tmp_path), before, f"as before without room for write {at}")
    assert at >= 3, "the reserve, the record and the file at least"
    outcome(tried=at)
