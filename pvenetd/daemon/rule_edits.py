"""Edits of the firewall's files: checked, written without loss, loaded at once.

One file is replaced by a rename.  Several, where others follow a name that is another now, are written down together
in `SET` first: who edits next, or starts, finishes what a killed writer has left.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress

from pvenetd.daemon.alone import alone
from pvenetd.daemon.firewall import OWNER, Firewall
from pvenetd.daemon.rule_doubts import doubts
from pvenetd.daemon.rule_files import KEPT, text_of
from pvenetd.daemon.rulebook import CLUSTER
from pvenetd.daemon.store import FIREWALL, Store
from pvenetd.daemon.trial import Trial
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Conflict, EditError, Problem
from pvenetd.firewall.edit import Draft
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.rule_check import field_of
from pvenetd.firewall.syntax import Config

LOCK = f"{KEPT}/edit.lock"
SET = f"{KEPT}/edit.json"
"""``{NAME: text}`` of files that change together, while they do."""

_AT_ONCE = 4
"""Files written while everybody waits; of more, each of which waits for the disk, some may be seen before others."""

Change = Callable[[Draft], object]


class RuleEdits:
    """Changes ``cluster.fw``, ``host.fw``, guests' files and bridges'."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        firewall: Firewall,
        trial: Trial,
        load: Callable[[Collection[str]], Awaitable[Mapping[str, str]]],
    ) -> None:
        self._store, self._engine, self._firewall, self._trial = store, engine, firewall, trial
        self._load = load
        """Loads what files by their names are about; returns owner → error."""

    def draft(self, name: str) -> Draft:
        """Return a file, to be read."""
        return Draft(text_of(self._readable(name)))

    def names(self, name: str) -> Names:
        """Return what names in a file mean."""
        own = self._store.rules(name) if name.isdigit() else None
        return Names(self._store.rules(CLUSTER), own)

    def problems(self, name: str) -> dict[int, list[Problem]]:
        """Return the errors that are in a file, by line."""
        found: dict[int, list[Problem]] = {}
        for one in self._store.rules(name).problems:
            if one.severity == "error":
                found.setdefault(one.line, []).append(one)
        return found

    async def edit(
        self,
        name: str,
        change: Change,
        *,
        values: Mapping[str, str] | None = None,
        part: tuple[str, str] = ("", ""),
        digest: str | None = None,
        follow: Change | None = None,
        gone: str = "",
    ) -> dict[str, str]:
        """Change a file, and with *follow* each that may use its names; return, by owner, why it does not count yet.

        *digest* is what `Draft.digest` gave for *part* of it: kind and name.  *values* are what was asked for, by key:
        what is wrong with one of them is told by that.  *gone* is the key of a name that goes.

        Raises `EditError`, `NotFound`, `Conflict`; nothing is written.
        """
        if self._trial.pending:
            raise Conflict("rules are on trial: pvenetctl confirm, or pvenetctl rollback, then edit")
        busy = "another edit of the firewall is under way: try again"
        async with alone(self._store.files, LOCK, busy):
            self.finish()
            draft = self.draft(name)
            if digest and digest != draft.digest(*part):
                raise Conflict("detected modified configuration - file changed by other user? Try again.")
            change(draft)
            texts = {name: draft.text(), **self._followed(name, follow)}
            changed = {one: text for one, text in texts.items() if text != text_of(self._readable(one))}
            configs = {one: self._store.rules_of(one, text) for one, text in changed.items()}
            if wrong := await doubts(self._store, self._firewall, configs):
                raise self._used(wrong, configs, gone) if gone else _refusal(wrong, values or {})
            if len(changed) > _AT_ONCE:
                await asyncio.to_thread(self._put_or_not, changed)
            else:
                self._put_or_not(changed)
        return await self._loaded(changed)

    def finish(self) -> None:
        """Write what a killed writer has left."""
        if data := self._store.files.read(SET):
            self._put(json.loads(data))

    def _followed(self, name: str, follow: Change | None) -> dict[str, str]:
        """Return the other files as *follow* makes them: all, where it is a name of the cluster's that changes."""
        if follow is None or name != CLUSTER:
            return {}
        texts = {}
        for other in self._store.rule_names():
            if other != name:
                draft = Draft(text_of(self._store.rules(other)))
                follow(draft)
                texts[other] = draft.text()
        return texts

    def _readable(self, name: str) -> Config:
        config = self._store.rules(name)
        if config.problems and not config.lines:  # else an edit would begin anew
            raise ConfigError(config.problems)
        return config

    def _put_or_not(self, texts: Mapping[str, str]) -> None:
        """Write *texts*, all of them or none.  Raises OSError."""
        before = {name: text_of(self._store.rules(name)) for name in texts}
        try:
            self._put(texts)
        except OSError:
            with suppress(OSError):  # else the next edit, or start, finishes what the first file of them has begun
                self._put_each(before)
                self._store.files.put(SET, None)
            raise

    def _put(self, texts: Mapping[str, str]) -> None:
        files = self._store.files
        if len(texts) > 1:
            files.put(SET, json.dumps(texts).encode())
        self._put_each(texts)
        files.put(SET, None)

    def _put_each(self, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            self._store.files.put(f"{FIREWALL}/{name}.fw", text.encode("utf-8", "surrogateescape"))

    def _used(self, problems: Collection[Problem], after: Mapping[str, Config], key: str) -> EditError:
        """Return the error that tells who uses a name that was to go: by lines of the files as they are."""
        texts = {config.path: (self._store.rules(name).lines, config.lines) for name, config in after.items()}
        places = []
        for one in problems:
            now, then = texts.get(one.path, ((), ()))
            line = now.index(then[one.line - 1]) + 1 if one.path in texts and then[one.line - 1] in now else one.line
            places.append(f"{one.path}:{line}")
        return EditError({key: f"is used: {', '.join(dict.fromkeys(places))}"})

    async def _loaded(self, changed: Collection[str]) -> dict[str, str]:
        """Load what has changed, and return what fails by it: of what failed before, what is about these files."""
        if not changed:
            return {}
        self._engine.told("edited", {"files": [f"{name}.fw" for name in changed]})
        before = dict(self._engine.failed)
        about = {OWNER if not name.isdigit() else f"vm:{name}" for name in changed}
        failed = await self._load(changed)
        return {owner: error for owner, error in failed.items() if owner in about or before.get(owner) != error}


def _refusal(problems: Collection[Problem], values: Mapping[str, str]) -> EditError:
    """Return the error that tells *problems* by the key that is wrong, or by the file."""
    found: dict[str, list[str]] = {}
    for one in problems:
        said = f"{one.message} ({one.hint})" if one.hint else one.message
        key = field_of(one.message, values)
        found.setdefault(key or f"{one.path}:{one.line}", []).append(said)
    return EditError({key: "; ".join(dict.fromkeys(some)) for key, some in found.items()}, problems)
