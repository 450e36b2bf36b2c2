"""Interfaces brought up and down by hand, and all of them anew: what ifup, ifdown and ifreload ask for (ifup(8)).

One interface is brought up or down with what it stands on, or what stands on it, and nothing else is touched,
whatever else has been edited meanwhile.  All of them is an apply of the active configuration, never
of the staged one: verified, and rolled back where it fails.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from pvenetd.choice import Choice, below, matching, standing
from pvenetd.compile import Compiled
from pvenetd.daemon.applies import Applies
from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import Conflict, NotFound
from pvenetd.interfaces.config import Config
from pvenetd.plan import Op
from pvenetd.ports import memberships
from pvenetd.resource import Key, Resource
from pvenetd.state import INTERFACES, State


@dataclass(frozen=True, slots=True)
class Wish:
    """Which interfaces are meant."""

    names: tuple[str, ...] = ()
    """``eth0``, or ``eth0=home``: with the stanza of that name."""
    everything: bool = False
    """All of a class."""
    group: str = ""
    """``auto`` where it is not said; ``hotplug`` for allow-hotplug."""
    exclude: tuple[str, ...] = ()
    """Shell patterns."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, or would be, and what failed."""

    ops: tuple[Op, ...] = ()
    failed: tuple[str, ...] = ()


class Hand:
    """What is done by hand."""

    def __init__(self, store: Store, engine: Engine, interfaces: Applies) -> None:
        self._store = store
        self._engine = engine
        self._interfaces = interfaces

    async def up(self, wish: Wish) -> Outcome:
        """Bring interfaces up with what they stand on.  Raises `ConfigError`, `NotFound`, `Conflict`."""
        if wish.everything and wish.group in ("", "auto") and not wish.exclude and not wish.names:
            return await self.reload(wish)
        config, choice = self._store.interfaces(staged=False), self._store.choice()
        logical = {name: stanza for name, _, stanza in (word.partition("=") for word in wish.names) if stanza}
        names = self._meant(wish, config, choice)
        first = await self._interfaces.compiled(config, choice=replace(choice, logical={**choice.logical, **logical}))
        first.checked()
        _require(names, first)
        stack = below(names, first.devices, memberships(first.devices, first.nics))
        return await self._bring(config, choice.brought_up(names, logical, stack), stack, wish)

    async def down(self, wish: Wish) -> Outcome:
        """Take interfaces down with what stands on them.  Raises `ConfigError`, `NotFound`, `Conflict`."""
        config, choice = self._store.interfaces(staged=False), self._store.choice()
        names = self._meant(wish, config, choice)
        if wish.everything:
            names = [name for name in names if name not in {*config.no_auto_down, "lo"}]
        first = await self._interfaces.compiled(config)
        _require(names, first)
        gone = standing(set(names), first.devices)
        touched = gone | below(gone, first.devices, memberships(first.devices, first.nics))
        return await self._bring(config, choice.brought_down(gone), touched, wish)

    async def reload(self, wish: Wish) -> Outcome:
        """Apply the active configuration, with every ``auto`` interface up.  Raises as an apply does."""
        if wish.dry_run:
            compiled = await self._interfaces.compiled(staged=False, reloaded=True)
            return Outcome(await self._engine.plan(INTERFACES, compiled.checked()))
        return Outcome((await self._interfaces.reload()).ops)

    def _meant(self, wish: Wish, config: Config, choice: Choice) -> list[str]:
        names = [word.partition("=")[0] for word in wish.names]
        if wish.everything:
            names += config.classes.get(wish.group or "auto", ())
            names += sorted(choice.up) if not wish.group else []
        elif wish.group:
            names = [name for name in names if name in config.classes.get(wish.group, ())]
        known = {*config.by_name, *names}
        out = {*matching(known, wish.exclude)}
        return [name for name in dict.fromkeys(names) if name not in out]

    async def _bring(self, config: Config, choice: Choice, names: Collection[str], wish: Wish) -> Outcome:
        """Bring *names* to what *config* says with *choice*; everything else stays as it is."""
        if self._engine.pending or self._engine.stuck():
            raise Conflict("an apply waits to be confirmed: pvenetctl confirm, or pvenetctl rollback")
        compiled = await self._interfaces.compiled(config, choice=choice)
        wanted, applied = compiled.checked(), self._engine.wants(INTERFACES)
        theirs = {**_of(names, wanted)}
        merged = {**{key: one for key, one in applied.items() if key not in _of(names, applied)}, **theirs}
        if wish.dry_run:
            return Outcome(await self._engine.plan(INTERFACES, merged))
        ops, failed = await self._engine.bring(INTERFACES, merged, {*theirs, *_of(names, applied)})
        self._store.choose(choice)
        await self._interfaces.applied()
        return Outcome(ops, tuple(failed.values()))


def _require(names: Iterable[str], compiled: Compiled) -> None:
    if missing := [name for name in names if name not in compiled.devices]:
        raise NotFound(f"no interface {', '.join(missing)} in the configuration")


def _of(names: Collection[str], resources: State) -> dict[Key, Resource]:
    """Return what belongs to the interfaces *names*."""
    return {
        key: one for key, one in resources.items() if _device(one) in names or _device(one).partition(":")[0] in names
    }


def _device(resource: Resource) -> str:
    if resource.noun == "link":
        return resource.key[1]
    return str(getattr(resource, "iface", "") or getattr(resource, "dev", "") or "")
