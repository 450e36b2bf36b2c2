"""The configuration that was last applied, and the one before it, from the journal: every file of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvenetd.daemon.staging import ACTIVE, View
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.includes import STAGED, Disk, load
from pvenetd.journal import Journal, content, versions

Read = Callable[[str], bytes | None]
_BEFORE, _AFTER = 0, 1


class Good:
    """What the journal's record of the last committed apply knows of files."""

    def __init__(self, root: Path, journal: Journal) -> None:
        self._root = root
        self._journal = journal

    @property
    def known(self) -> bool:
        """Return whether anything was ever applied."""
        return self._journal.previous() is not None

    def config(self) -> Config | None:
        """Return what was last applied, None where nothing was.  Raises `ConfigError`."""
        return self._config(_AFTER)

    def config_before(self) -> Config | None:
        """Return what was active before that, None where there was nothing.  Raises `ConfigError`."""
        return self._config(_BEFORE)

    def edited(self, view: View) -> bool:
        """Return whether an active file of *view* is not as it was applied."""
        good = self._contents(_AFTER)
        gone = {name for name, data in good.items() if data is not None} - view.read.keys()
        return bool(gone) or any(good.get(name) != active for name, (active, _) in view.read.items())

    def versions(self, view: View, read: Read) -> dict[str, list[str | None]]:
        """Return every file of *view* before and after it is applied, staged files too.

        An edit made in place counts as staged: when it is rolled back, the last good text is active again
        and the edit waits in the staged file.  A file that nobody knew before stays where it is.
        """
        found: dict[str, list[str | None]] = {}
        good = self._contents(_AFTER)
        for name, (active, staged) in view.read.items():
            if staged is not None:
                found |= {name: versions(active, staged), view.waits(name): versions(staged, None)}
            elif good.get(name) not in (None, active):
                found |= {name: versions(good[name], active), view.waits(name): versions(active, None)}
            else:
                found[name] = versions(active, active)
        for name in good.keys() - view.read.keys():
            if good[name] is not None and (now := read(name)) != good[name]:
                found[name] = versions(good[name], now)
        return found

    def return_to(self, read: Read) -> dict[str, list[str | None]]:
        """Return every file as it is now, and as it was before the last apply."""
        return {name: versions(read(name), data) for name, data in self._contents(_BEFORE).items()}

    def _contents(self, which: int) -> dict[str, bytes | None]:
        record = self._journal.previous()
        files = record["files"] if record else {}
        return {name: content(both[which]) for name, both in files.items() if not name.endswith(STAGED)}

    def _config(self, which: int) -> Config | None:
        contents = self._contents(which)
        if contents.get(ACTIVE) is None:
            return None
        return load(f"/{ACTIVE}", _Kept(self._root, contents))


class _Kept:
    """The disk, but for files whose content is known."""

    def __init__(self, root: Path, contents: dict[str, bytes | None]) -> None:
        self._disk = Disk(root)
        self._contents = contents

    def read(self, path: str) -> bytes:
        """Return what *path* held."""
        name = path.lstrip("/")
        if name not in self._contents:
            return self._disk.read(path)
        if (data := self._contents[name]) is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        return data

    def names(self, directory: str) -> list[str]:
        """Return the names that were in *directory*."""
        below = f"{directory.strip('/')}/"
        kept = {name.removeprefix(below): data for name, data in self._contents.items() if name.startswith(below)}
        try:
            there = self._disk.names(directory)
        except FileNotFoundError:
            there = []
        gone = {name for name, data in kept.items() if data is None}
        return sorted({*there, *(name for name in kept if "/" not in name)} - gone)
