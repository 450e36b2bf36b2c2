"""The firewall's files as they count: one that is broken counts as it was when it was last loaded.

Those texts are kept below var/lib/pvenetd/firewall, for the daemon that comes after the next boot.  A file that is
deleted switches off what it says, but not at once: an editor that renames a new one over it, or empties it to write
it anew, must open nothing in between.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from pvenetd.daemon.store import Store
from pvenetd.errors import Problem
from pvenetd.firewall.syntax import Config

log = logging.getLogger("pvenetd.firewall")

KEPT = "var/lib/pvenetd/firewall"
REFUSED = f"{KEPT}/refused.json"
GRACE = 1.0
"""Seconds for which a file that is gone, or empty, counts as it was."""
SETTLED = 300.0
"""Seconds after which a change that was followed is no part of what is put on trial."""


class Clock(Protocol):
    """Tells how time passes."""

    def __call__(self) -> float:
        """Return seconds since whenever."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A file as it counts."""

    config: Config | None
    """None where it is broken and never was right."""
    problems: tuple[Problem, ...] = ()
    """Why it is not what the file says now."""
    closed: bool = False
    """Whether nothing may pass, whatever is loaded."""


class RuleFiles:
    """The files by their names without ``.fw``: ``cluster``, ``host``, ``100``, ``vmbr0``."""

    def __init__(self, store: Store, clock: Clock = time.monotonic) -> None:
        self._store = store
        self.clock = clock
        self._missing: dict[str, float] = {}
        """File that is gone, or empty, though it is kept with a text → since when."""
        self._loaded: dict[str, str] = {}
        """File → the text that was loaded last, as far as it was since the start."""
        self._to_keep: dict[str, str] = {}
        self._turn = Lock()
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keeper")
        self._keeping: Future[None] | None = None
        self._refused: dict[str, list[object]] | None = None
        self._closed: set[str] = set()
        """Files that are broken and never were right."""
        self._recent: dict[str, tuple[float, str | None]] = {}
        """File that another text was loaded of → when that began, and what counted before."""

    def now(self, name: str) -> Counted:
        """Return a file as it counts by what is in it alone; names in it may still be missing elsewhere."""
        config = self._store.rules(name)
        if config.broken:
            kept = self.kept(name)
            if not kept:
                self._closed.add(name)
            return Counted(kept, config.problems)
        if self._is_refused(name, config):
            message = "what it says was not confirmed: what counted before does, until it is changed or applied"
            problems = (_problem(config, message),)
            if self._refusals()[name][1]:
                return Counted(None, problems, closed=True)
            return Counted(self.kept(name) or self._store.rules_of(name, ""), problems)
        if any(config.lines):
            self._missing.pop(name, None)
        elif (kept := self.kept(name)) and self.clock() - self._missing.setdefault(name, self.clock()) < GRACE:
            return Counted(kept)
        return Counted(config)

    def kept(self, name: str) -> Config | None:
        """Return a file as it was loaded last, None where it never was, or is broken by what we know today."""
        text = self._loaded.get(name)
        if text is None:
            text = (self._store.files.read(_place(name)) or b"").decode("utf-8", "surrogateescape")
        config = self._store.rules_of(name, text) if text else None
        return config if config and not config.broken else None

    def decide(self) -> None:
        """Take what is gone for meant: somebody asks for what the files say now."""
        self._refuse({})
        self._missing = dict.fromkeys([*self._store.rule_names(), *self.kept_names()], float("-inf"))

    def waiting(self) -> frozenset[str]:
        """Return the files that have just gone: they are looked at again after `GRACE`."""
        return frozenset(name for name, since in self._missing.items() if self.clock() - since < GRACE)

    def loaded(self, name: str, config: Config) -> None:
        """Keep a file as it was loaded; an empty one, or none, is forgotten."""
        if self._loaded.get(name) == text_of(config):
            return
        was = self._counts(name)
        if was != text_of(config):
            self._recent.setdefault(name, (self.clock(), was))
            if self.clock() - self._recent[name][0] >= SETTLED:
                self._recent[name] = (self.clock(), was)
        self._closed.discard(name)
        self._loaded[name] = text_of(config)
        if not self._loaded[name]:
            self._missing.pop(name, None)
        with self._turn:
            self._to_keep[name] = text_of(config)
        self._keeping = self._keeper.submit(self._keep)

    async def flush(self) -> None:
        """Return when all that was loaded is on disk."""
        if self._keeping:
            await asyncio.wrap_future(self._keeping)

    def _keep(self) -> None:
        """Write what is to be kept, in a thread: each file waits for the disk."""
        with self._turn:
            todo, self._to_keep = self._to_keep, {}
        try:
            self._write(todo)
        except OSError as error:
            log.error("rules that are loaded cannot be kept for after a reboot: %s", error)  # noqa: TRY400

    def _write(self, todo: Mapping[str, str]) -> None:
        for name, text in todo.items():
            self._store.files.put(_place(name), text.encode("utf-8", "surrogateescape") or None)

    def texts(self) -> dict[str, str]:
        """Return every file that counts with a text, as it was loaded last."""
        found = {name: self.kept(name) for name in {*self._store.rule_names(), *self.kept_names(), *self._loaded}}
        return {name: text_of(config) for name, config in found.items() if config}

    # What was on trial and nobody confirmed.

    def checkpoint(self) -> dict[str, Any]:
        """Return, as JSON, what counts, as it did before the changes of the last minutes, and what the files are."""
        names = {*self._store.rule_names(), *self.kept_names(), *self._loaded}
        old = {name: was for name, (when, was) in self._recent.items() if self.clock() - when < SETTLED}
        return {"files": {name: [_digest(self._text(name)), self._counts(name)] for name in names}, "recent": old}

    def return_to(self, checkpoint: Mapping[str, Any]) -> None:
        """Have count what did at a *checkpoint*, in place of what has changed; the files are left as they are.

        Raises OSError where that cannot be kept for after a restart; until then it counts.
        """
        files, recent = checkpoint["files"], checkpoint["recent"]
        refused: dict[str, list[object]] = {}
        targets: dict[str, str] = {}
        for name in {*self._store.rule_names(), *self.kept_names(), *files, *recent}:
            digest, counted = files.get(name, (_digest(""), ""))
            now = _digest(self._text(name))
            if name not in recent and now == digest and (counted == "" or self._store.rules(name).broken):
                continue  # a file that was there, and nobody's, or is no better than it was
            target = recent.get(name, counted)
            if now != _digest(target or ""):
                refused[name] = [now, target is None]
            targets[name] = target or ""
        self._loaded |= targets
        self._recent.clear()
        self._refuse(refused)
        self._write(targets)

    def settle(self) -> None:
        """Take what counts now for what is to count."""
        self._recent.clear()

    def _text(self, name: str) -> str:
        return text_of(self._store.rules(name))

    def _counts(self, name: str) -> str | None:
        """Return the text that counts, None for a file that is broken and never was right."""
        kept = self.kept(name)
        return text_of(kept) if kept else None if name in self._closed else ""

    def _is_refused(self, name: str, config: Config) -> bool:
        return name in self._refusals() and self._refusals()[name][0] == _digest(text_of(config))

    def _refusals(self) -> dict[str, list[object]]:
        """Return the files that were not confirmed: their text's digest, and whether nothing good was before it."""
        if self._refused is None:
            self._refused = json.loads(self._store.files.read(REFUSED) or b"{}")
        return self._refused or {}

    def _refuse(self, refused: dict[str, list[object]]) -> None:
        if refused == self._refusals():
            return
        self._refused = refused
        self._store.files.put(REFUSED, json.dumps(refused).encode() if refused else None)

    def kept_names(self) -> list[str]:
        """Return the files that a text is kept of."""
        return [name.removesuffix(".fw") for name in self._store.files.names(KEPT) if name.endswith(".fw")]


def text_of(config: Config) -> str:
    """Return the text of a file."""
    return "".join(config.lines)


def _place(name: str) -> str:
    return f"{KEPT}/{name}.fw"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _problem(config: Config, message: str) -> Problem:
    return Problem(config.path, 0, "unconfirmed", message)
