"""Create, set, delete: edits of the interfaces, staged until they are applied, or in a file of the user's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, NamedTuple

from typing_extensions import TypedDict

from pvenetd.compile import Compiled, examine
from pvenetd.daemon.applies import Applies
from pvenetd.edits.change import deleted, updated
from pvenetd.edits.create import created
from pvenetd.edits.difference import Changed, difference
from pvenetd.edits.edit import kind_of_interface
from pvenetd.edits.keys import flag, is_flag, type_of
from pvenetd.edits.translation import translated, untranslated
from pvenetd.edits.verdict import judge, judge_deletion
from pvenetd.edits.wish import Wish
from pvenetd.errors import Conflict, EditError
from pvenetd.interfaces.config import Config, single
from pvenetd.interfaces.stanza import File
from pvenetd.interfaces.syntax import parse

Examine = Callable[[Config], Compiled]


class Difference(TypedDict):
    """What is staged against what is active."""

    text: str
    """A unified diff; empty where nothing is staged."""
    files: list[str]
    """Paths of the files that wait."""
    interfaces: list[Changed]
    digest: str
    """Of the files: an edit that names it is refused where they have changed since."""


class Change(NamedTuple):
    """What is to become of one interface."""

    wish: Wish
    make: Callable[[Config, Wish], dict[str, str]]
    """Return path → new text of each file that changes.  Raises `EditError`."""
    judge: Callable[[Wish, Config, Config, Collection[str], Examine], None]
    """Raises `EditError`: the configuration before, after, the NICs there are, and how a configuration is checked."""

    def made(
        self, before: Config, after: Callable[[dict[str, str]], Config], nics: Collection[str], examine: Examine
    ) -> dict[str, str]:
        """Return path → new text of each file of *before* that changes.

        *after* reads the configuration with such texts.  Raises `EditError` with all that is wrong: where a value
        is wrong by itself, the others are looked at without it.
        """
        name = self.wish.iface
        is_bare = self.make is updated and name in nics and name not in before.by_name and type_of(name, {}) == "eth"
        try:
            texts = (_first if is_bare else self.make)(before, self.wish)
        except EditError as error:
            rest = self.wish.without(error.errors)
            if rest.iface and rest != self.wish:
                try:
                    self._replace(wish=rest).made(before, after, nics, examine)
                except EditError as more:
                    named = {key: text for key, text in more.errors.items() if key in rest.values.keys() | rest.dropped}
                    raise EditError({**named, **error.errors}, (*error.problems, *more.problems)) from None
            raise
        if texts:
            self.judge(self.wish, before, after(texts), nics, examine)
        return texts


def creation(wish: Wish) -> Change:
    """Return the change that makes a new interface."""
    return Change(wish, created, _judge)


def setting(wish: Wish) -> Change:
    """Return the change of an interface that is there."""
    return Change(wish, updated, _judge)


def deletion(name: str) -> Change:
    """Return the change that takes an interface away."""
    return Change(Wish(name), lambda config, wish: deleted(config, wish.iface), _judge_deletion)


def translation(wish: Wish) -> Change:
    """Return the change that adds lines of NAT to an interface."""
    return Change(wish, translated, _judge)


def no_translation(wish: Wish) -> Change:
    """Return the change that takes lines of NAT from an interface."""
    return Change(wish, untranslated, _judge)


def _first(config: Config, wish: Wish) -> dict[str, str]:
    """Return the change of a NIC that has no stanza: it gets one where there is something to say."""
    if wish.kind not in (None, "eth", "unknown"):
        raise EditError({"type": "is eth, and stays that", **wish.errors()})
    autostart = wish.one("autostart") or "0"
    says = wish.values.keys() - {"autostart"} or not is_flag(autostart) or flag(autostart)
    return created(config, replace(wish, dropped=frozenset())) if says else {}


def _judge(wish: Wish, before: Config, after: Config, nics: Collection[str], examine: Examine) -> None:
    del nics
    kind = kind_of_interface(before, wish.iface) if wish.iface in before.by_name else wish.kind
    judge(wish, examine(after), lambda: examine(before), None if kind == "unknown" else kind)


def _judge_deletion(wish: Wish, before: Config, after: Config, nics: Collection[str], examine: Examine) -> None:
    judge_deletion(wish.iface, examine(after), lambda: examine(before), nics)


class Edits(Applies):
    """The configuration on disk, and how it is edited."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._examined: deque[tuple[Config, frozenset[str], Compiled]] = deque(maxlen=2)

    def _examine(self, config: Config, nics: Collection[str]) -> Compiled:
        """Return what is wrong with *config*; what was just made is not made again: it may be thousands of stanzas."""
        names = frozenset(nics)
        for other, others, found in self._examined:
            if other is config and others == names:
                return found
        self._examined.append((config, names, examine(config, names)))
        return self._examined[-1][2]

    async def edit(self, change: Change, digest: str | None = None) -> None:
        """Stage *change*.  Raises `EditError`, `ConfigError`, and `Conflict` where *digest* is of other files."""
        if self._engine.pending or self._engine.stuck():
            raise Conflict("an apply waits to be confirmed: pvenetctl confirm, or pvenetctl rollback, then edit")
        nics = await self._nics()
        async with self._store.staging.editing(new=True) as view:
            if digest and digest != view.digest:
                raise Conflict("the files are not those that were read (digest): read them again, then edit")
            names = {file.path: view.name(file) for file in view.config.files}

            def written(texts: dict[str, str]) -> dict[str, bytes]:
                return {names[path]: text.encode("utf-8", "surrogateescape") for path, text in texts.items()}

            texts = change.made(
                view.config,
                lambda texts: self._store.staging.after(written(texts)).config,
                nics,
                lambda config: self.nics.explained(self._examine(config, nics)),
            )
            if not texts:
                return
            contents = written(texts)
            active = {name: view.read[name][0] for name in contents}
            self._store.staging.put({name: None if data == active[name] else data for name, data in contents.items()})

    async def edited(self, file: File, change: Change, nics: Collection[str] | None = None) -> bytes:
        """Return what *change* makes of *file* alone; *nics* replace the kernel's links.  Raises `EditError`."""
        there = await self._nics() if nics is None else nics
        texts = change.made(
            single(file),
            lambda texts: single(parse(texts[file.path], file.path)),
            there,
            lambda config: self._examine(config, there),
        )
        text = texts.get(file.path, str(file))
        return text.encode("utf-8", "surrogateescape")

    async def revert(self) -> list[str]:
        """Drop what is staged; return the files whose edits went."""
        async with self._store.staging.editing(new=True) as view:
            return [f"/{name}" for name in self._store.staging.revert(view)]

    def difference(self) -> Difference:
        """Return what is staged against what is active: as text, and by interface and option."""
        view = self._store.view()
        staged = view.staged
        active = self._store.staging.view(staged=False, new=True).config if staged else view.config
        return {
            "text": view.changes(),
            "files": [f"/{name}" for name in staged],
            "interfaces": difference(active, view.config) if staged else [],
            "digest": view.digest,
        }
