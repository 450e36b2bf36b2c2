"""``source`` and ``source-directory`` of interfaces(5): a file, and the files it names, as one `Config`.

Paths are those the user knows; `Disk` puts the root of ``--root`` before them.  Only regular files
are read, so that no FIFO or device can hang a reader.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Protocol

from pvenetd.errors import ConfigError, Problem
from pvenetd.interfaces.config import Config, merge
from pvenetd.interfaces.stanza import File, Source, Stanza
from pvenetd.interfaces.syntax import parse

MAX_BYTES = 16 << 20
"""Of one file: some 100,000 stanzas."""
MAX_DEPTH = 16
"""Files within files; a directory that contains itself by a symbolic link ends here."""
MAX_FILES = 4096

STAGED = ".new"
"""What the name of an edit that waits has more than its file's."""
SHELTER = "var/lib/pvenetd/staged/"
"""Where an edit waits, by its file's whole name, that another program would read beside its file."""

_IN_DIRECTORY = re.compile(r"[a-zA-Z0-9_-]+")
"""Names that source-directory reads, after run-parts(8): no editor's or dpkg's leftovers."""
_MAGIC = re.compile(r"[*?[]")


class Reader(Protocol):
    """The files that can be read; errors are OSError."""

    def read(self, path: str) -> bytes:
        """Return what the regular file *path* holds."""
        ...

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*."""
        ...


class Disk:
    """The real files, below *root*: nothing outside it is read, whatever symbolic links say."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = Path(os.path.realpath(root))

    def read(self, path: str) -> bytes:
        """Return what the regular file *path* holds; never waits for one that is none."""
        real = self._below(path)
        _regular(real.stat())
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - opened above, without waiting
            _regular(os.fstat(descriptor))
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise OSError(f"larger than {MAX_BYTES >> 20} MiB")
        return data

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*."""
        return [entry.name for entry in self._below(directory).iterdir()]

    def _below(self, path: str) -> Path:
        if "\0" in path:
            raise OSError("no path has a NUL byte")
        real = Path(os.path.realpath(self._root / path.lstrip("/")))  # which takes a loop as it is
        if not real.is_relative_to(self._root):
            raise OSError(f"outside {self._root}")
        return real


class NotRegularError(OSError):
    """A directory, a FIFO, a device: nothing that holds configuration."""


def _regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError("not a regular file")


Parse = Callable[[bytes, str], File]
"""As `parse`: content and path → `File`."""


def load(path: str, reader: Reader, place: Callable[[str], str] = str, parse: Parse = parse) -> Config:
    """Return *path* with all that it sources, each file's stanzas where its ``source`` line stands.

    A file is read once: sourced again it says nothing new.  *place* tells, of a path that was read,
    where its text stands: beside it, for an edit that waits; *parse* may know files from before.
    Raises `ConfigError` where *path* itself cannot be read; what is wrong further down is in `Config.problems`.
    """
    try:
        data = reader.read(path)
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(path, 0, "syntax", f"cannot be read: {_reason(error)}")]) from error
    loader = _Loader(reader, place, parse)
    loader.read(data, path, ())
    return merge(loader.files, loader.stanzas, loader.problems)


class _Loader:
    """Reads one configuration, depth first."""

    def __init__(self, reader: Reader, place: Callable[[str], str], parse: Parse) -> None:
        self._reader = reader
        self._parse = parse
        self._place = place
        self._sourced_at: dict[str, str] = {}
        self._active: dict[str, str] = {}
        """The path that a file is known by, by the one where its text stands."""
        self.files: list[File] = []
        self.stanzas: list[Stanza] = []
        self.problems: list[Problem] = []

    def read(self, data: bytes, path: str, within: tuple[str, ...]) -> None:
        """Add the file *path*, which holds *data*, and is sourced by the last of those *within* each other."""
        place = self._place(path)
        self._active[place] = path
        self._add(self._parse(data, place), (*within, normpath(path)))

    def _add(self, file: File, within: tuple[str, ...]) -> None:
        self.files.append(file)
        for stanza in file.stanzas:
            self.stanzas.append(stanza)
            if isinstance(stanza, Source):
                for pattern in stanza.patterns:
                    self._source(stanza, pattern, within)

    def _source(self, source: Source, pattern: str, within: tuple[str, ...]) -> None:
        for path in self._paths(source, join(dirname(self._active.get(source.path, source.path)), pattern)):
            name = normpath(path)
            if name in within:
                self._complain(source, f"{path} sources itself", "drop this line")
            elif name in self._sourced_at:
                hint = f"it is read for {self._sourced_at[name]}"
                self._complain(source, f"{path} is read only once", hint, is_warning=True)
            elif len(within) >= MAX_DEPTH or len(self.files) >= MAX_FILES:
                self._complain(source, f"{path} is not read: too many files", f"at most {MAX_DEPTH} levels deep")
                return
            else:
                self._sourced_at[name] = source.head.origin
                self._read(source, path, within, must_exist=not (source.is_directory or _MAGIC.search(pattern)))

    def _read(self, source: Source, path: str, within: tuple[str, ...], *, must_exist: bool) -> None:
        try:
            data = self._reader.read(path)
        except (FileNotFoundError, NotADirectoryError):
            if must_exist:
                self._missing(source, path)
        except NotRegularError as error:
            self._complain(source, f"{path} cannot be read: {error}", is_warning=not must_exist)
        except (OSError, ValueError) as error:
            self._complain(source, f"{path} cannot be read: {_reason(error)}")
        else:
            self.read(data, path, within)

    def _paths(self, source: Source, pattern: str) -> Iterator[str]:
        if not source.is_directory:
            yield from expand(pattern, self._reader)
            return
        for directory in expand(pattern, self._reader):
            try:
                names = self._reader.names(directory)
            except (FileNotFoundError, NotADirectoryError):
                if not _MAGIC.search(pattern):
                    self._missing(source, directory)
            except (OSError, ValueError) as error:
                self._complain(source, f"{directory} cannot be read: {_reason(error)}")
            else:
                yield from (join(directory, name) for name in sorted(names) if _IN_DIRECTORY.fullmatch(name))

    def _missing(self, source: Source, path: str) -> None:
        hint = "a pattern that matches nothing is no problem"
        self.problems.append(Problem(source.path, source.line, "source-missing", f"no file {path}", "warning", hint))

    def _complain(self, source: Source, message: str, hint: str = "", *, is_warning: bool = False) -> None:
        self.problems.append(source.head.problem(message, hint, severity="warning" if is_warning else "error"))


def expand(pattern: str, reader: Reader) -> list[str]:
    """Return the paths that the shell pattern *pattern* matches, sorted; itself where it is no pattern.

    As in the shell ``*`` and ``?`` match neither a slash nor a leading dot.  A part without ``*?[``
    after one with them is taken as it is: whether it exists shows when it is read.  An edit that
    waits beside its file is no file of its own.
    """
    found = [""]
    for number, part in enumerate(pattern.split("/")):
        if not _MAGIC.search(part):
            found = [part if number == 0 else f"{path}/{part}" for path in found]
            continue
        match = re.compile(fnmatch.translate(part.replace("[^", "[!"))).match
        found = [
            name if number == 0 else f"{path}/{name}"
            for path in found
            for name in _names(path if number else ".", reader)
            if match(name) and (not name.startswith(".") or part.startswith("."))
        ]
    return found


def is_sourced(config: Config, path: str) -> bool:
    """Return whether a ``source`` pattern of *config* matches *path*, were it there; ``source-directory`` reads no dot.

    That is how others read: to ifupdown and ifupdown2 an edit that waits is a file like any.
    """
    wanted = normpath(path).split("/")
    for stanza in config.stanzas:
        if isinstance(stanza, Source) and not stanza.is_directory:
            for pattern in stanza.patterns:
                parts = normpath(join(dirname(stanza.path), pattern)).split("/")
                if len(parts) == len(wanted) and all(map(_matches, wanted, parts)):
                    return True
    return False


def _matches(name: str, part: str) -> bool:
    hidden = name.startswith(".") and not part.startswith(".")
    return not hidden and fnmatch.fnmatchcase(name, part.replace("[^", "[!"))


def active_name(staged: str) -> str:
    """Return the name of the file that the edit *staged* waits to become."""
    return staged.removeprefix(SHELTER).removesuffix(STAGED)


def _names(directory: str, reader: Reader) -> list[str]:
    try:
        names = set(reader.names(directory or "/"))
    except (OSError, ValueError):
        return []
    return sorted(name for name in names if not (name.endswith(STAGED) and name.removesuffix(STAGED) in names))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
