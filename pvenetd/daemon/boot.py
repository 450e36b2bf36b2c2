"""Where pvenetd owns the host's interfaces: up at start, whatever is broken, and when devices turn up.

At start the active configuration is applied, never the staged one (unless the settings say so).  Is it broken,
the one that was applied last is; was there none, what is right of it.  What fails is told, and keeps
nothing else down: `Engine.bring` rolls nothing back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Collection
from dataclasses import replace

from pvenetd.commands import Hook, Scripts
from pvenetd.compile import Compiled
from pvenetd.daemon.applies import Applies
from pvenetd.daemon.others import Others
from pvenetd.daemon.store import ACTIVE, Store
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Problem, PvenetError
from pvenetd.interfaces.config import Config
from pvenetd.kinds.link import Link
from pvenetd.plan import Op, waiting
from pvenetd.resource import Key
from pvenetd.state import INTERFACES, State, to_json

log = logging.getLogger("pvenetd.boot")

PATIENCE = 10.0
"""Seconds a start waits for devices that are configured as ``auto`` and not there yet."""
BOOT = "boot"
"""What `Engine.failed` calls a configuration that could not be used."""
HOOKS = "run/pvenetd/hooks.jsonl"
TAKEN_OVER = "run/pvenetd/taken-over"
"""Left by the installation of pvenetd-ifupdown, where another ifupdown has brought the interfaces up since boot."""
_IFSTATES = ("run/network/ifstate", "run/network/ifstatenew")
"""Where ifupdown and ifupdown2 keep what they have brought up since boot, unless they are told another place."""
_MARK = "owner"
"""The field of a resource that changes nothing but whose it is."""
_ROUNDS = 10
"""How often stanzas are taken out until what is left is right."""


class Boot:
    """The host's interfaces, where they are pvenetd's own."""

    def __init__(self, store: Store, engine: Engine, interfaces: Applies) -> None:
        self._store = store
        self._engine = engine
        self._interfaces = interfaces
        self._others = Others(engine)
        self._tried: set[str] = set()
        """Devices that have turned up and could not be configured since they did."""
        self._complete = asyncio.Event()
        """Set once nothing is waited for."""

    async def start(self, *, staged: bool = False) -> None:
        """Bring the interfaces up.  With *staged*, an edit that waits becomes active first."""
        if staged:
            self._activate()
        compiled = await self._usable()
        await self._take_over(compiled.state)
        self._interfaces.current = compiled
        ops, failed = await self._engine.bring(INTERFACES, compiled.state)
        self._engine.told("started", {"ops": len(ops), "failed": [" ".join(key) for key in failed]})
        self._look(await self._engine.observe())

    async def forecast(self) -> tuple[Op, ...]:
        """Return what installing pvenetd-ifupdown would change now, our marks apart.  Raises `ConfigError`."""
        wanted = (await self._interfaces.compiled(staged=False)).checked()
        ops = await self._engine.plan(INTERFACES, wanted)
        done = await self._done(wanted) if self._store.files.read(HOOKS) is None else {}
        found = (replace(op, changes={name: op.changes[name] for name in op.changes if name != _MARK}) for op in ops)
        return tuple(op for op in found if op.resource.key not in done and (op.verb != "~" or op.changes))

    async def settled(self, patience: float = PATIENCE) -> None:
        """Return when every ``auto`` interface has its device, or after *patience* seconds."""
        if self._interfaces.current is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._complete.wait()

    async def follow(self, changed: Collection[Key] | None = None) -> tuple[Op, ...]:
        """Configure devices that have turned up, with what stands on them; a transaction of their own.

        *changed* is what has changed in the kernel, None where that may be anything.
        """
        if not self._store.owns() or not await self._others.differ(changed):
            return ()
        if self._engine.pending or self._engine.stuck():
            return ()
        live = await self._others.look()
        compiled = await self._compiled_again()
        wanted = compiled.state if compiled else self._engine.wants(INTERFACES)
        fresh = self._fresh(wanted, live)
        if not fresh:
            if not self._complete.is_set():
                self._look(await self._engine.observe())
            self._others.take(live)
            return ()
        log.info("turned up: %s", ", ".join(sorted(fresh)))
        self._interfaces.current = compiled or self._interfaces.current
        ops, _ = await self._engine.bring(INTERFACES, wanted, _standing(wanted, fresh))
        self._engine.told("turned up", {"interfaces": sorted(fresh), "ops": len(ops)})
        live = await self._engine.observe()
        # One that is gone and back before anybody looked carries no mark either, and is not passed over.
        self._tried |= {name for name in fresh if (link := live.get(("link", name))) and not link.owner}
        self._look(live)
        self._others.take(live)
        return ops

    async def _compiled_again(self) -> Compiled | None:
        """Return what was applied last, with the links that are there now; None where it was rolled back since."""
        compiled = self._interfaces.current
        if compiled is None or compiled.state is not self._engine.wants(INTERFACES):
            return None
        return await self._interfaces.compiled_again(compiled)

    def _fresh(self, wanted: State, live: State) -> set[str]:
        """Return the devices that are there, and carry no mark of ours although they are configured."""
        self._tried = {name for name in self._tried if ("link", name) in live}
        found = (key for key, link in wanted.items() if isinstance(link, Link) and not link.creatable)
        return {key[1] for key in found if key in live and not live[key].owner and key[1] not in self._tried}

    def _look(self, live: State) -> None:
        compiled = self._interfaces.current
        if compiled is None:
            return
        hotplug = {key for key in compiled.state if key[0] == "link" and key[1] in compiled.hotplug}
        if all(key in hotplug for key in waiting(compiled.state, live) if key[0] == "link"):
            self._complete.set()

    def _activate(self) -> None:
        try:
            for name, (_, after) in self._store.staged_versions().items():
                self._store.put_version(name, after)
        except PvenetError as error:
            log.error("what is staged stays so: %s", error)  # noqa: TRY400

    async def _usable(self) -> Compiled:
        """Return the active configuration compiled; where it is broken, the last good one, or what is right of it."""
        try:
            compiled = await self._interfaces.compiled(staged=False)
            compiled.checked()
            if not compiled.devices:
                self._require_nothing_before()
        except ConfigError as error:
            return await self._instead(error)
        self._engine.failed.pop(BOOT, None)
        await self._interfaces.take_for_applied()
        return compiled

    def _require_nothing_before(self) -> None:
        """Raise `ConfigError` where something was configured: a crash has left an empty file, or none of those sourced.

        Who wants none of it applies that: then nothing was.
        """
        good = self._interfaces.good()
        if good and good.ifaces:
            what = "nothing is configured, and something was when this was last applied"
            raise ConfigError([Problem(f"/{ACTIVE}", 0, "syntax", what)])

    async def _instead(self, error: ConfigError) -> Compiled:
        try:
            good = self._interfaces.good()
            compiled = await self._interfaces.compiled(good) if good else None
            if compiled:
                compiled.checked()
        except ConfigError:
            compiled = None
        what = "the configuration is broken: the last good one is applied"
        if compiled is None:
            compiled = await self._what_is_right(error)
            what = "the configuration is broken, and there is no good one: what is right of it is applied"
        log.error("%s\n%s", what, error)
        self._engine.failed[BOOT] = f"{what}\n{error}"
        self._engine.told("broken", {"error": str(error), "outcome": what})
        return compiled

    async def _what_is_right(self, error: ConfigError) -> Compiled:
        try:
            config = self._store.interfaces(staged=False)
        except ConfigError:
            config = Config()
        problems = error.problems
        for _ in range(_ROUNDS):
            bad = {problem.interface for problem in problems if problem.severity == "error"}
            config = replace(config, ifaces=tuple(one for one in config.ifaces if one.name not in bad), problems=())
            compiled = await self._interfaces.compiled(config)
            if not compiled.errors:
                return compiled
            problems = compiled.problems
        return await self._interfaces.compiled(Config())

    async def _take_over(self, wanted: State) -> None:
        """Take commands for run where ifupdown has brought their interface up since boot: they are not run again."""
        files = self._store.files
        told = any(files.read(name) is not None for name in (TAKEN_OVER, *_IFSTATES))
        if told and files.read(HOOKS) is None:
            lines = (json.dumps({"done": record}) for record in to_json(await self._done(wanted)))
            files.put(HOOKS, "".join(f"{line}\n" for line in lines).encode())
        files.put(TAKEN_OVER, None)  # last: a start that is killed before takes over again

    async def _done(self, wanted: State) -> State:
        """Return the commands and scripts that whoever has brought their interface up has run."""
        live = await self._engine.observe()
        done = (one for one in wanted.values() if isinstance(one, Hook | Scripts) and _is_up(one.redone_with, live))
        return {one.key: one for one in done}


def _is_up(key: Key | None, live: State) -> bool:
    return key is None or bool(getattr(live.get(key), "up", False))


def _standing(wanted: State, names: Collection[str]) -> set[Key]:
    """Return the links *names* and what stands on them, commands too; a port's bridge does not stand on it."""
    found: set[Key] = {("link", name) for name in names}
    while more := {key for key, one in wanted.items() if key not in found and _stands_on(one, found)}:
        found |= more
    return found


def _stands_on(resource: object, found: Collection[Key]) -> bool:
    needs = set(getattr(resource, "needs", ())) | {getattr(resource, "redone_with", None)}
    if isinstance(resource, Link):
        needs -= {("link", resource.master)}
    return not needs.isdisjoint(found)
