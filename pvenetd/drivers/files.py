"""Files below a root directory: whole or not at all (fsync and rename), and the journal of an apply."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import posixpath
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pvenetd.errors import Full, Shortage, shortage
from pvenetd.interfaces.includes import STAGED
from pvenetd.journal import content

SECRET = 0o600
"""Mode of a file that nobody else may read."""
_ROOM = 64 << 10
"""Bytes that the reserve is a multiple of."""
_DRAFT = re.compile(r"\..+\.[0-9a-f]{8}")
"""What a file is called while it is written."""
_OURS = (STAGED, ".conf", ".fw", ".json", ".key", "reserve")
"""How names end that nobody else gives to files where ours are."""
_OWN = ("run/pvenetd/", "var/lib/pvenetd/")
"""Where nobody but pvenetd writes."""
_MOST = 16 << 20
"""Bytes of the largest file that is read; a configuration of 100,000 stanzas has a tenth of it."""


_KEPT = frozenset({errno.EACCES, errno.EBUSY, errno.EPERM})
"""What writing is refused with where a file is somebody else's, mounted by itself, or immutable (chattr(1))."""


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Have it be said which file cannot be written where the machine is short of something.  Raises `Shortage`."""
    try:
        yield
    except Shortage:
        raise
    except OSError as error:
        lack = shortage(error)
        if not lack and error.errno in _KEPT:
            lack = Shortage(error.errno, error.strerror)
        if lack:
            lack.filename = str(path)
            raise lack from error
        raise


class Files:
    """Everything that pvenetd reads and writes, by its path below the root (``etc/network/interfaces``).

    What the disk refuses for want of room, or since it is only to be read, is a `Shortage`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """Return where *name* lies."""
        return self.root / name.lstrip("/")

    def _real(self, name: str) -> Path:
        """Return where *name* lies once symbolic links are followed.  Raises OSError where they leave the root."""
        if not self._has_links(name):
            return self.path(name)
        real, root = Path(os.path.realpath(self.path(name))), self.root.resolve()
        if not real.is_relative_to(root):
            raise OSError(errno.EXDEV, f"leads out of {root}", str(self.path(name)))
        return real

    def _beside(self, name: str) -> Path:
        """Return where *name* lies, itself not followed where it is a symbolic link.  Raises OSError."""
        return self._real(posixpath.dirname(name)) / posixpath.basename(name)

    def _has_links(self, name: str) -> bool:
        """Return whether there may be a symbolic link on the way from the root to *name*, or a step back."""
        at = str(self.root).rstrip("/")
        for part in name.strip("/").split("/"):
            if part in ("", ".", ".."):
                return True
            at = f"{at}/{part}"
            try:
                if stat.S_ISLNK(os.lstat(at).st_mode):
                    return True
            except FileNotFoundError:
                return False
            except OSError:
                return True
        return False

    def read(self, name: str) -> bytes | None:
        """Return the content of a regular file, None where there is none.

        Raises OSError for what is there and no regular file, or too large.
        """
        try:
            descriptor = os.open(self._real(name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file", str(self.path(name)))
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            data = file.read() if about.st_size <= _MOST else None  # to make room for the most there may be costs more
        if data is None:
            raise OSError(errno.EFBIG, f"larger than {_MOST >> 20} MiB", str(self.path(name)))
        return data

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*, sorted; none where it is not there."""
        try:
            return sorted(path.name for path in self.path(directory).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Put *data* in place of *name*: after a crash it is the old or the new file, whole.

        Its mode and its owner stay.  A symbolic link of the admin's stays one: what it points to is replaced; one
        among our own files is nobody's, and replaced itself.
        """
        path = self._beside(name) if name.lstrip("/").startswith(_OWN) else self._real(name)
        with _said(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, data, mode, path.stat() if path.exists() and not path.is_symlink() else None)

    def read_secret(self, name: str) -> bytes | None:
        """Return the content of a file that only its owner may read, None where there is none.

        Others' rights to it are taken away.  Raises OSError, also for a symbolic link.
        """
        path = self._beside(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
                raise OSError(errno.EPERM, "not a file of this user's own", str(path))
            if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                os.fchmod(descriptor, SECRET)
            return file.read()

    def write_secret(self, name: str, data: bytes) -> None:
        """Put *data* in place of *name*, which only its owner may read: the old or the new file, whole.

        A symbolic link is replaced, not followed.
        """
        path = self._beside(name)
        with _said(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _replace(path, data, SECRET)

    def remove(self, name: str) -> None:
        """Delete *name*; that it is not there is fine."""
        with _said(self.path(name)):
            self.path(name).unlink(missing_ok=True)
            if self.path(name).parent.is_dir():
                _sync_directory(self.path(name).parent)

    def put(self, name: str, data: bytes | None) -> None:
        """Make *name* hold *data*, or not be there, where it does not already."""
        if self.read(name) == data:
            return
        if data is None:
            self.remove(name)
        else:
            self.write(name, data)

    def append(self, name: str, data: bytes) -> None:
        """Write *data* behind what *name* holds, readable by root and its group.  Raises OSError."""
        path = self._beside(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o640)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def lock(self, name: str) -> Callable[[], None] | None:
        """Return what lets go of the lock file *name*, None where somebody has it: another process, or this one."""
        path = self._beside(name)
        with _said(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno != errno.EWOULDBLOCK:
                raise
            return None
        return lambda: os.close(descriptor)

    def sweep(self, directory: str) -> None:
        """Remove what writers have left in *directory* who were killed; who writes now has locked what he writes."""
        names = self.names(directory)
        for name in names:
            base = name[1:-9]
            if _DRAFT.fullmatch(name) and (base in names or base.endswith(_OURS)):
                with suppress(OSError):
                    _remove_left(self.path(f"{directory}/{name}"))

    def set_aside(self, directory: str) -> list[str]:
        """Rename our own JSON files in *directory* that are none, as a damaged disk leaves them; return their names.

        What they said is lost; who reads them finds none, and need not end for it.
        """
        found = [f"{directory}/{name}" for name in self.names(directory) if name.endswith(".json")]
        broken = [name for name in found if not _is_json(self.read(name))]
        for name in broken:
            self.path(name).replace(self.path(f"{name}.broken"))
        return broken

    def read_json(self, name: str) -> Any:
        """Return what a JSON file of our own holds, None where there is none."""
        data = self.read(name)
        return None if data is None else json.loads(data)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of our own, readable by root alone."""
        self.write(name, json.dumps(value).encode(), 0o600)


class Journal:
    """The records of `pvenetd.journal`, as files.

    A record carries the kernel's boot id: after a power cut there is nothing left in the kernel to undo.
    """

    PENDING = "var/lib/pvenetd/pending.json"
    PREVIOUS = "var/lib/pvenetd/previous.json"
    RESERVE = "var/lib/pvenetd/reserve"
    """Room on the disk that is given up to undo an apply: the disk may be full by then."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def begin(self, record: dict[str, Any]) -> None:
        """Keep *record*, then bring the files to how they are after the apply.

        Raises `Shortage`: nothing has been begun that there would be no room to undo.
        """
        self._reserve(sum(len(content(before) or b"") for before, _ in record["files"].values()))
        self._files.write_json(self.PENDING, {**record, "boot": _boot()})
        for name, versions in record["files"].items():
            self._files.put(name, content(versions[1]))

    def pending(self) -> dict[str, Any] | None:
        """Return the record of an apply that was neither committed nor undone; of an earlier boot, its files alone."""
        return self._read(self.PENDING)

    def previous(self) -> dict[str, Any] | None:
        """Return the record of the last committed apply."""
        return self._read(self.PREVIOUS)

    def _read(self, name: str) -> dict[str, Any] | None:
        record: dict[str, Any] | None = self._files.read_json(name)
        if record and record.pop("boot", "") not in ("", _boot()):
            record |= {"touched": [], "back": [], "order": {}}
        return record

    def commit(self) -> None:
        """Keep the pending record as the one a later rollback returns to, unless no file changed with it."""
        record = self.pending()
        if record and self.previous() and all(before == after for before, after in record["files"].values()):
            self._files.remove(self.PENDING)
            return
        path = self._files.path(self.PENDING)
        path.replace(self._files.path(self.PREVIOUS))
        _sync_directory(path.parent)

    def undo(self, record: dict[str, Any]) -> None:
        """Bring the files back to how they were, then forget *record*."""
        for name, (before, after) in record["files"].items():
            if name.endswith(STAGED) and self._files.read(name) not in (content(before), content(after)):
                continue  # somebody has edited since
            self._put_back(name, content(before))
        self._files.remove(self.PENDING)

    def _put_back(self, name: str, data: bytes | None) -> None:
        try:
            self._files.put(name, data)
        except Full:
            self._files.remove(self.RESERVE)
            self._files.put(name, data)

    def _reserve(self, size: int) -> None:
        """Have room on the disk for *size* bytes, and for what a file system needs beside them."""
        wanted = (size // _ROOM + 2) * _ROOM
        path = self._files.path(self.RESERVE)
        if not path.exists() or path.stat().st_size < wanted:
            self._files.write(self.RESERVE, os.urandom(wanted), SECRET)  # which no file system makes smaller


def _replace(path: Path, data: bytes, mode: int, old: os.stat_result | None = None) -> None:
    """Write a file and rename it over *path*; it gets *mode*, or what *old* had."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # as long as somebody is at it
            if old:
                _keep(descriptor, old)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _is_json(data: bytes | None) -> bool:
    try:
        json.loads(data or b"")
    except (ValueError, RecursionError):
        return False
    return True


def _remove_left(draft: Path) -> None:
    """Remove a draft that nobody writes.  Raises OSError where somebody does."""
    descriptor = os.open(draft, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.unlink()
    finally:
        os.close(descriptor)


def _keep(descriptor: int, old: os.stat_result) -> None:
    """Give a file the owner and the mode that another had; who is not root cannot give it away."""
    with suppress(PermissionError):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _boot() -> str:
    """Return what tells this run of the kernel from every other (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
