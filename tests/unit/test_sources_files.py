"""What changes in directories, on a real file system."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from pvenetd.sources.files import Directories, Names, watch_files
from tests.patience import PATIENCE


class Heard:
    """What has been told, and a way to wait for more."""

    def __init__(self) -> None:
        self.calls: list[Names] = []
        self._news = asyncio.Condition()

    async def __call__(self, names: Names) -> None:
        async with self._news:
            self.calls.append(names)
            self._news.notify_all()

    def told(self, path: Path, name: str) -> bool:
        """Return whether *name* was among what may have changed."""
        return any(path in call and (call[path] is None or name in (call[path] or ())) for call in self.calls)

    async def until(self, told: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(told)


@asynccontextmanager
async def watching(*paths: Path) -> AsyncIterator[Heard]:
    heard = Heard()
    with closing(Directories(paths)) as directories:
        task = asyncio.create_task(watch_files(directories, heard))
        await asyncio.sleep(0)
        try:
            yield heard
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def rename_over(path: Path) -> None:
    draft = path.with_name(".draft")
    draft.write_text("new")
    draft.replace(path)


def as_vim_does(path: Path) -> None:
    path.rename(path.with_name("100.conf~"))
    path.write_text("new")


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize(
    "change",
    [
        rename_over,
        as_vim_does,
        Path.unlink,
        lambda path: path.write_text("new"),
        lambda path: path.rename(path.parent.parent / "elsewhere"),
        lambda path: (path.unlink(), path.symlink_to("/dev/null")),
        lambda path: (path.unlink(), os.link(path.parent.parent / "other", path)),
        lambda path: (path.unlink(), bind(path)),
    ],
    ids=["rename over", "vim", "unlink", "write", "move away", "symbolic link", "hard link", "socket"],
)
async def test_every_way_a_file_changes_is_told_and_no_other_file(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    place = tmp_path / "qemu-server"
    place.mkdir()
    (tmp_path / "other").write_text("other")
    for name in ("100.conf", "101.conf"):
        (place / name).write_text("old")
    async with watching(place) as heard:
        change(place / "100.conf")
        await heard.until(lambda: heard.told(place, "100.conf"))
    assert not heard.told(place, "101.conf")


async def test_a_file_is_told_once_it_is_written_to_its_end(tmp_path: Path) -> None:
    async with watching(tmp_path) as heard:
        with (tmp_path / "100.conf").open("w") as file:
            file.write("net0: vir")
            file.flush()
            (tmp_path / "101.conf").write_text("")
            await heard.until(lambda: heard.told(tmp_path, "101.conf"))
            assert not heard.told(tmp_path, "100.conf")
        await heard.until(lambda: heard.told(tmp_path, "100.conf"))


async def test_many_changes_are_few_calls(tmp_path: Path) -> None:
    async with watching(tmp_path) as heard:
        for _ in range(200):
            (tmp_path / "100.conf").write_text("new")
        await heard.until(lambda: heard.told(tmp_path, "100.conf"))
    assert len(heard.calls) == 1


async def test_a_directory_may_be_made_moved_away_and_made_again_and_so_may_those_above(tmp_path: Path) -> None:
    place = tmp_path / "etc/pvenetd/qemu-server"
    async with watching(place, tmp_path / "etc/pvenetd/lxc") as heard:

        async def appears(name: str) -> None:
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("")
            await told(name)

        async def told(name: str) -> None:
            await heard.until(lambda: heard.told(place, name))
            heard.calls.clear()

        await appears("100.conf")
        await appears("101.conf")
        place.rename(tmp_path / "old")
        await told("100.conf")
        await appears("102.conf")
        (tmp_path / "etc/pvenetd").rename(tmp_path / "etc/old")
        await told("102.conf")
        await appears("103.conf")
        shutil.rmtree(tmp_path / "etc")
        await told("103.conf")
        await appears("104.conf")
        (tmp_path / "old/100.conf").write_text("of a directory that is elsewhere by now")
        await appears("105.conf")
        assert not heard.told(place, "100.conf")


async def test_two_paths_to_one_directory_are_both_told(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    async with watching(real, link) as heard:
        (real / "100.conf").write_text("")
        await heard.until(lambda: heard.told(real, "100.conf") and heard.told(link, "100.conf"))


def test_what_the_kernel_dropped_may_be_anything(tmp_path: Path) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with closing(Directories([tmp_path])) as directories:
        one, other = tmp_path / "a", tmp_path / "b"
        one.write_text("")
        for _ in range(most // 4 + 2):  # two events each; two of one kind in a row would count as one
            one.rename(other)
            other.rename(one)
        assert directories.changes() == {tmp_path: None}
        one.rename(other)
        assert directories.changes() == {tmp_path: frozenset({"a", "b"})}


async def test_a_failure_to_follow_is_no_end(tmp_path: Path) -> None:
    heard = Heard()

    async def fails_first(names: Names) -> None:
        await heard(names)
        if len(heard.calls) == 1:
            raise RuntimeError("no")

    with closing(Directories([tmp_path])) as directories:
        task = asyncio.create_task(watch_files(directories, fails_first))
        await asyncio.sleep(0)
        for name in ("100.conf", "101.conf"):
            (tmp_path / name).write_text("")
            await heard.until(lambda name=name: heard.told(tmp_path, name))  # type: ignore[misc]
        task.cancel()
