"""Edits that wait: ``FILE.new`` beside each edited file, and how several of them change as one.

Where another ifupdown would read ``FILE.new`` at boot, as ``source interfaces.d/*`` has it do, the edit
waits below `SHELTER` instead: nothing goes live that nobody applied.

One staged file is replaced by a rename.  Several are first written down together, in `SET`: once that
file is there, all of them count as changed for every reader, whatever has reached their places; who
edits next finishes it.  So a writer that is killed leaves the old edits or the new ones.  `SET` carries
a number that grows with each set, by which a reader without a lock notices one that came in between.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import posixpath
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pvenetd.commands import OWNER
from pvenetd.daemon.alone import PATIENCE, alone
from pvenetd.errors import ConfigError, Problem
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.includes import SHELTER, Disk, active_name, is_sourced, load
from pvenetd.interfaces.includes import STAGED as SUFFIX
from pvenetd.interfaces.stanza import File
from pvenetd.interfaces.syntax import parse
from pvenetd.journal import content, versions

ACTIVE = "etc/network/interfaces"
STAGED = "etc/network/interfaces.new"
_PROGRAMS = ("usr/sbin", "sbin")
"""Where an ifupdown stands."""
SET = "var/lib/pvenetd/staging.json"
"""``{"number": N, "files": {NAME: base64 or null}}``: files is empty once all stand in their places."""
LOCK = "var/lib/pvenetd/staging.lock"
_DRAFT = re.compile(r"\..+\.[0-9a-f]{8}")
"""What a killed writer leaves: `Files` writes beside a file, under this name, before it renames."""
_ROWS = re.compile(r"[^\n]*\n|[^\n]+")
_KEPT = 3
"""Configurations kept in memory: the active one, the staged one, and what an edit makes of it."""
_TRIES = 5
"""How often a reader begins anew because a set of edits came in between."""


class Files(Protocol):
    """Files below the root."""

    root: Path

    def read(self, name: str) -> bytes | None:
        """Return the content of a regular file, None where there is none; raises OSError."""

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*, sorted."""

    def put(self, name: str, data: bytes | None) -> None:
        """Make *name* hold *data*, or not be there."""

    def read_secret(self, name: str) -> bytes | None:
        """Return the content of a file for nobody else's eyes, None where there is none; raises OSError."""

    def write_secret(self, name: str, data: bytes) -> None:
        """Put *data* in place of *name*, for nobody else's eyes; raises OSError."""

    def append(self, name: str, data: bytes) -> None:
        """Write *data* behind what *name* holds; raises OSError."""

    def lock(self, name: str) -> Callable[[], None] | None:
        """Return what lets go of the lock file *name*, None where somebody has it."""


@dataclass(frozen=True)
class View:
    """A configuration and the files it was read from."""

    config: Config
    read: Mapping[str, tuple[bytes | None, bytes | None]] = field(default_factory=dict)
    """Name below the root → (active content, staged content), in the order of reading; staged files as the active
    ones are called."""
    waits: Callable[[str], str] = lambda name: name + SUFFIX
    """Name of an active file → name of the staged one, or of the one that an edit would come into."""

    @property
    def staged(self) -> dict[str, tuple[bytes | None, bytes]]:
        """Return (active, staged) of each file that an edit waits for."""
        return {name: (active, new) for name, (active, new) in self.read.items() if new is not None}

    def name(self, file: File) -> str:
        """Return the name below the root of the active file that *file* is, or waits to become."""
        name = posixpath.normpath(file.path).lstrip("/")
        return name if name in self.read else active_name(name)

    @cached_property
    def digest(self) -> str:
        """Return what tells two views apart: 64 hexadecimal digits over every file."""
        found = hashlib.sha256()
        for name, contents in self.read.items():
            for data in (name.encode("utf-8", "surrogateescape"), *contents):
                found.update(b"-" if data is None else b"%d:" % len(data) + data)
        return found.hexdigest()

    def changes(self) -> str:
        """Return what is staged as a unified diff against what is active, nothing where nothing is."""
        return "".join(
            _difference(name, self.waits(name), active or b"", new) for name, (active, new) in self.staged.items()
        )


class Staging:
    """What is active, what is staged, and how the one becomes the other."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen: deque[tuple[dict[str, tuple[bytes, File]], Config]] = deque(maxlen=_KEPT)

    def view(self, *, staged: bool = True, new: bool = False) -> View:
        """Return the configuration as it would be applied, or as it is active.

        Raises `ConfigError`; where there is no configuration at all, only unless it may be *new*.
        """
        for _ in range(_TRIES):
            number, edits = self._set()
            view = self._load(edits if staged else None, new=new)
            if not staged or self._set()[0] == number:
                return view
        message = "other edits come in faster than it can be read"
        raise ConfigError([Problem(f"/{STAGED}", 0, "syntax", message)])

    def after(self, contents: Mapping[str, bytes]) -> View:
        """Return what `view` will be once *contents* are staged, by the names of the active files."""
        return self._load(self._placed(contents), new=True)

    def _load(self, edits: Mapping[str, bytes | None] | None, *, new: bool) -> View:
        """Return a view; a file that is as it was is not parsed again, and nothing new is the same `Config` again."""
        reader = _Reader(self._files.root, edits, new=new)
        parsed: dict[str, tuple[bytes, File]] = {}

        def known(data: bytes, path: str) -> File:
            for others, _ in self._seen:
                if (found := others.get(path)) and found[0] == data:
                    break
            else:
                found = data, parse(data, path)
            parsed[path] = found
            return found[1]

        config = load(f"/{ACTIVE}", reader, reader.place, known)
        for at, (_, other) in enumerate(self._seen):
            if _same(config, other):
                config = other
                del self._seen[at]
                break
        self._seen.appendleft((parsed, config))
        return View(config, reader.found, lambda name: reader.staged.get(name) or self._place(name))

    def versions(self) -> dict[str, list[str | None]]:
        """Return what making the staged edits active does to files, as `Journal` keeps it: name → before and after.

        Both ``FILE`` and ``FILE.new`` are in it, in an order that may end anywhere: each file is there
        before its staged one goes.  Empty where nothing is staged.  Raises `ConfigError`.
        """
        found: dict[str, list[str | None]] = {}
        view = self.view()
        for name, (active, new) in view.staged.items():
            found[name] = versions(active, new)
            found[view.waits(name)] = versions(new, None)
        return found

    @asynccontextmanager
    async def editing(self, patience: float = PATIENCE, *, new: bool = False) -> AsyncIterator[View]:
        """Keep every other writer out, of whatever process, and yield what would be applied now.

        What a killed writer has left is finished, or removed, first; *new* as for `view`.  Raises `ConfigError`, and
        `Conflict` where another one is not done within *patience* seconds.
        """
        async with alone(self._files, LOCK, "another edit of the interfaces is under way: try again", patience):
            self.finish()
            view = self.view(new=new)
            self._sweep(view)
            yield view

    def put(self, contents: Mapping[str, bytes | None]) -> None:
        """Stage *contents* (by the names of the active files), None for those that have no edit any more."""
        files = self._placed(contents)
        if len(files) > 1:
            number = self._set()[0] + 1
            kept = {name: versions(data, None)[0] for name, data in files.items()}
            self._files.put(SET, json.dumps({"number": number, "files": kept}).encode())
            self.finish()
        else:
            for name, data in files.items():
                self._files.put(name, data)

    def finish(self) -> None:
        """Bring what an earlier `put` wrote down to its places."""
        number, files = self._set()
        if files:
            for name, data in files.items():
                self._files.put(name, data)
            self._files.put(SET, json.dumps({"number": number + 1, "files": {}}).encode())

    def revert(self, view: View) -> list[str]:
        """Drop every staged edit; return the names of the files that had one."""
        names = {**dict.fromkeys(view.staged), **dict.fromkeys(self._beside_active())}
        self.put(dict.fromkeys(names))
        return list(names)

    def _placed(self, contents: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """Return what is written for *contents*, by the names of staged files: an edit is in one place alone."""
        files: dict[str, bytes | None] = {}
        for name, data in contents.items():
            place = self._place(name)
            files[place] = data
            files |= {other: None for other in _places(name) if other != place and self._files.read(other) is not None}
        return files

    def _place(self, name: str) -> str:
        """Return where an edit of *name* is put."""
        beside, sheltered = _places(name)
        if self._files.read(OWNER) is not None or not any("ifup" in self._files.names(where) for where in _PROGRAMS):
            return beside
        return sheltered if is_sourced(self.view(staged=False, new=True).config, f"/{beside}") else beside

    def _sweep(self, view: View) -> None:
        """Remove what killed writers have left beside the files."""
        edits = {posixpath.basename(name) + SUFFIX for name in view.read}
        for directory in {posixpath.dirname(place) for name in view.read for place in _places(name)}:
            for name in self._files.names(directory):
                if _DRAFT.fullmatch(name) and name[1:-9] in edits:
                    self._files.put(f"{directory}/{name}", None)
        for name in self._files.names(posixpath.dirname(SET)):
            if _DRAFT.fullmatch(name) and name[1:-9] == posixpath.basename(SET):
                self._files.put(f"{posixpath.dirname(SET)}/{name}", None)

    def _beside_active(self) -> list[str]:
        """Return the active files that have a staged one, though what is staged may not source them any more."""
        names = self.view(staged=False, new=True).read
        return [name for name in names if any(self._files.read(place) is not None for place in _places(name))]

    def _set(self) -> tuple[int, dict[str, bytes | None]]:
        """Return the number of the last set of edits, and what of it has not reached its place for certain."""
        try:
            data = self._files.read(SET)
        except PermissionError:  # not root: sees each file as it is
            data = None
        found: dict[str, Any] = json.loads(data) if data else {"number": 0, "files": {}}
        return found["number"], {name: content(text) for name, text in found["files"].items()}


class _Reader:
    """The active files, or with *edits* each one's staged file where there is one; keeps what it has read."""

    def __init__(self, root: Path, edits: Mapping[str, bytes | None] | None, *, new: bool) -> None:
        self._disk = Disk(root)
        self._edits = edits
        self._new = new
        self.found: dict[str, tuple[bytes | None, bytes | None]] = {}
        self.staged: dict[str, str] = {}
        """The names of the staged files that were read, by those of the active ones."""

    def read(self, path: str) -> bytes:
        """Return what is staged for *path*, or its active content."""
        name = posixpath.normpath(path).lstrip("/")
        staged = None if self._edits is None else self._staged(name, self._edits)
        try:
            active = self._disk.read(path)
        except FileNotFoundError:
            if staged is None and not (self._new and name == ACTIVE):
                raise
            active = None
        self.found[name] = (active, staged)
        return staged if staged is not None else active or b""

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*."""
        return self._disk.names(directory)

    def place(self, path: str) -> str:
        """Return the path of what was read: the staged file's where there is one."""
        name = posixpath.normpath(path).lstrip("/")
        return f"/{self.staged[name]}" if name in self.staged else path

    def _staged(self, name: str, edits: Mapping[str, bytes | None]) -> bytes | None:
        for place in _places(name):
            if (data := edits[place] if place in edits else self._waiting(place)) is not None:
                self.staged[name] = place
                return data
        return None

    def _waiting(self, place: str) -> bytes | None:
        try:
            return self._disk.read(f"/{place}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            if place.startswith(SHELTER):  # not root: as with `SET`
                return None
            raise


def _places(name: str) -> tuple[str, str]:
    """Return where an edit of *name* may wait."""
    return f"{name}{SUFFIX}", f"{SHELTER}{name}{SUFFIX}"


def _same(config: Config, other: Config) -> bool:
    """Return whether two configurations were made of the same parsed files, in the same way."""
    return (
        len(config.files) == len(other.files)
        and all(one is two for one, two in zip(config.files, other.files, strict=True))
        and config.problems == other.problems
    )


def _difference(name: str, place: str, active: bytes, staged: bytes) -> str:
    old, new = (_ROWS.findall(data.decode("utf-8", "surrogateescape")) for data in (active, staged))
    lines = difflib.unified_diff(old, new, f"/{name}", f"/{place}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
