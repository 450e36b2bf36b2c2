"""Directories whose files others write: which names have changed is told, once a writer has come to its end.

Source: inotify(7).  A directory is watched, not its files: editors rename over them, and a watch would stay
with the old one.  All directories on the way to it are watched too, so that it may be made, moved away and
made again.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import os
import stat
import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path

log = logging.getLogger("pvenetd.files")

Names = Mapping[Path, frozenset[str] | None]
"""Directory → what has changed in it; None where it could be anything."""

QUIET = 0.02
"""Seconds without another change after which one is told: a file that is renamed away may be written anew."""
QUICK = 0.005
"""Seconds likewise, where all that has changed is there: a burst of writes is told once."""
LONGEST = 0.5
"""Seconds after which it is told however busy the directory is."""

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _OVERFLOW, _IGNORED, _ONLYDIR = 0x400, 0x800, 0x4000, 0x8000, 0x01000000
_OF_NAMES = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_OF_ITSELF = _DELETE_SELF | _MOVE_SELF | _IGNORED
_EVENT = struct.Struct("iIII")
"""struct inotify_event: watch, mask, cookie, length of the name."""
_BUFFER = 1 << 16
_READS = 80
"""More than the kernel's whole queue has: who goes on making changes is not followed without an end."""
_LIBC = ctypes.CDLL(None, use_errno=True)


class Directories:
    """Directories that are there or not, and what changes in them."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._chain = dict.fromkeys(one for path in self._paths for one in (*reversed(path.parents), path))
        """They and all that leads to them, from the root down."""
        self._watches: dict[int, set[Path]] = {}
        """Watch → the paths that lead to what it watches."""
        self._written: set[tuple[Path, str]] = set()
        """Files that were made and not closed yet: what they hold is not all of it."""
        self._inotify = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._attach()

    def fileno(self) -> int:
        """Return what can be read when something has changed."""
        return self._inotify

    def close(self) -> None:
        """End all watches."""
        os.close(self._inotify)

    def changes(self) -> Names:
        """Return what has changed since the last call; empty where nothing has."""
        found: dict[Path, set[str] | None] = {}
        moved = False
        for watch, mask, name in self._events():
            if mask & _OVERFLOW:
                self._written.clear()
                found = dict.fromkeys(self._paths)
                moved = True
            for path in tuple(self._watches.get(watch, ())):
                moved = moved or bool(mask & _OF_ITSELF) or path / name in self._chain
                if path not in self._paths or mask & _OF_ITSELF or not self._is_whole(path, name, mask):
                    continue
                names = found.setdefault(path, set())
                if names is not None:
                    names.add(name)
        if moved:
            found |= dict.fromkeys(self._attach())
        return {path: None if names is None else frozenset(names) for path, names in found.items()}

    def _attach(self) -> list[Path]:
        """Watch what is there now, from the root down; return the directories that are not the ones they were."""
        before = {path: watch for watch, paths in self._watches.items() for path in paths}
        now: dict[Path, int] = {}
        for path in self._chain:
            watch = _LIBC.inotify_add_watch(self._inotify, os.fsencode(path), _OF_NAMES | _OF_ITSELF | _ONLYDIR)
            if watch >= 0:
                now[path] = watch
            elif (code := ctypes.get_errno()) not in (errno.ENOENT, errno.ENOTDIR):
                log.warning("changes in %s are not noticed: %s", path, os.strerror(code))
        self._watches = {}
        for path, watch in now.items():
            self._watches.setdefault(watch, set()).add(path)
        for watch in set(before.values()) - self._watches.keys():
            _LIBC.inotify_rm_watch(self._inotify, watch)  # one that is gone with its directory is no error
        return [path for path in self._paths if before.get(path) != now.get(path)]

    def _is_whole(self, path: Path, name: str, mask: int) -> bool:
        """Return whether its writer has come to an end; a link, and a socket, is whole when it is there."""
        if mask & _CREATE:
            try:
                made = (path / name).lstat()
            except OSError:
                return True
            if stat.S_ISREG(made.st_mode) and made.st_nlink == 1:
                self._written.add((path, name))
        elif mask & (_CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _DELETE):
            self._written.discard((path, name))
        return (path, name) not in self._written

    def _events(self) -> Iterator[tuple[int, int, str]]:
        """Yield watch, mask and name of all that waits: 16,384 at most, and whether there were more."""
        for _ in range(_READS):
            try:
                data = os.read(self._inotify, _BUFFER)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size + length
                yield watch, mask, os.fsdecode(data[at - length : at].rstrip(b"\0"))


async def watch_files(
    directories: Directories, noticed: Callable[[Names], Awaitable[object]], quiet: float = QUIET, most: float = LONGEST
) -> None:
    """Call *noticed* with what has changed, after *quiet* seconds without another change, *most* at most.

    Meanwhile more may come in: that is one call more, however many they are.
    """
    loop = asyncio.get_running_loop()
    while True:
        ready = loop.create_future()
        loop.add_reader(directories, _once, ready)
        try:
            await ready
        finally:
            loop.remove_reader(directories)
        found = await _gathered(directories, quiet, loop.time() + most)
        if not found:
            continue
        try:
            await noticed(found)
        except Exception:
            log.exception("a change of files could not be followed")


async def _gathered(directories: Directories, quiet: float, until: float) -> Names:
    """Return what changes until it is quiet."""
    found = dict(directories.changes())
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        await asyncio.sleep(min(quiet, QUICK) if _is_there(found) else quiet)
        more = directories.changes()
        if not more:
            break
        for path, names in more.items():
            known = found.get(path, frozenset())
            found[path] = None if names is None or known is None else known | names
    return found


def _is_there(found: Names) -> bool:
    """Return whether nothing of what has changed is gone."""
    return all(names is not None and all((path / name).exists() for name in names) for path, names in found.items())


def _once(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _checked(number: int) -> int:
    """Return what a call of libc has returned.  Raises OSError."""
    if number < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(number)
