"""Plan, apply, confirm, roll back: how the configuration on disk becomes the host's."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NotRequired

from typing_extensions import TypedDict

from pvenetd.choice import Choice
from pvenetd.compile import Compiled, compile_interfaces
from pvenetd.daemon.good import Good
from pvenetd.daemon.nics import Nics
from pvenetd.daemon.store import Store, View
from pvenetd.devices import Device
from pvenetd.engine import Engine, Pending, Terms
from pvenetd.errors import ConfigError, Conflict, CutsOff
from pvenetd.firewall.nft_base import Design
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.includes import STAGED, active_name
from pvenetd.journal import Journal
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.management import Session, Way, losses, path
from pvenetd.outage import Outage, outages
from pvenetd.plan import Op, waiting
from pvenetd.reach import Wanted
from pvenetd.settings import Apply
from pvenetd.state import INTERFACES, State

_AS_SET = Apply()


@dataclass(frozen=True, slots=True)
class Asked:
    """How an apply is asked for."""

    confirm: float | None = None
    """Seconds within which it has to be confirmed, or is rolled back."""
    session: Session | None = None
    """Of the admin who asks, where it is one over the network."""
    sure: bool = False
    """Do it even if it takes away what that session stands on."""
    replace: bool = False
    """Take the place of an apply that waits to be confirmed."""
    probe: bool = True
    """Roll it back where somebody does not answer any more."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply has done, or would do."""

    ops: tuple[Op, ...] = ()
    outages: tuple[Outage, ...] = ()
    """What guests lose meanwhile."""


class Applies:
    """The configuration of the host's own interfaces, and what is applied of it."""

    def __init__(
        self, store: Store, engine: Engine, journal: Journal, design: Design, settings: Apply = _AS_SET
    ) -> None:
        self._store = store
        self._engine = engine
        self._good = Good(store.files.root, journal)
        self._design = design
        self._settings = settings
        self._compiled: deque[tuple[Config, Choice, Compiled]] = deque(maxlen=2)
        self.current: Compiled | None = None
        """What was applied last, where pvenetd knows."""
        self.applied: Callable[[], Awaitable[object]] = self._nothing
        """Called when the host's addresses may have changed."""
        self.nics = Nics(store.files)
        self.way: Callable[[str, str], Way | None] = _no_way
        """How the kernel sends packets to a peer from a local address; called in the applier."""

    async def compiled(
        self,
        config: Config | None = None,
        *,
        staged: bool = True,
        nics: Collection[str] | None = None,
        reloaded: bool = False,
        choice: Choice | None = None,
    ) -> Compiled:
        """Return *config*, or the staged configuration, or the active one, compiled.

        What was brought up or down by hand is so; *reloaded*, what comes up by itself is up.
        Raises `ConfigError` for an unreadable file.
        """
        config = config or self._store.interfaces(staged=staged)
        choice = choice or self._store.choice()
        known = frozenset(await self._nics() if nics is None else nics)
        found = self._compile(config, known, choice.reloaded(config) if reloaded else choice)
        return self.nics.explained(found) if nics is None else found

    def devices(self) -> Mapping[str, Device]:
        """Return the devices of the active configuration, whatever NICs there are.

        Raises `ConfigError` for an unreadable file.
        """
        config, choice = self._store.interfaces(staged=False), self._store.choice()
        for other, chosen, found in self._compiled:
            if other is config and chosen == choice:
                return found.devices
        return self._compile(config, frozenset(), choice).devices

    def _compile(self, config: Config, nics: frozenset[str], choice: Choice) -> Compiled:
        """Return *config* compiled; what was just made is not made again: it may be thousands of stanzas."""
        for other, chosen, found in self._compiled:
            if other is config and chosen == choice and found.nics == nics:
                return found
        self._compiled.append((config, choice, compile_interfaces(config, nics, self._design, choice)))
        return self._compiled[-1][2]

    async def compiled_again(self, compiled: Compiled) -> Compiled:
        """Return *compiled* as it is with the links that are there now."""
        nics = await self._nics()
        return compiled if nics == compiled.nics else await self.compiled(compiled.config, nics=nics)

    def good(self) -> Config | None:
        """Return the configuration that was applied last, None where there was none.  Raises `ConfigError`."""
        return self._good.config()

    async def take_for_applied(self) -> None:
        """Have the active configuration be the last good one.  Raises `ConfigError`."""
        view = self._store.view(staged=False)
        await self._engine.take_for_applied(self._beside_staged(self._versions(view)))

    async def plan(self) -> tuple[Op, ...]:
        """Return what `apply` would do.  Raises `ConfigError`."""
        return (await self.forecast()).ops

    async def forecast(self) -> Applied:
        """Return what `apply` would do, and what guests would lose.  Raises `ConfigError`."""
        wanted = (await self.compiled(reloaded=True)).checked()
        ops, before = await self._engine.forecast(INTERFACES, wanted)
        return Applied(ops, outages(ops, before))

    async def drift(self) -> tuple[Op, ...]:
        """Return what would bring the host back to what was last applied: what differs though nobody edited it.

        Where nothing was ever applied, the active configuration counts, and while an apply waits to be
        confirmed.  Raises `ConfigError`.
        """
        good = None if self._engine.pending else self._good.config()
        wanted = await self.compiled(good or self._store.interfaces(staged=False))
        return await self._engine.plan(INTERFACES, wanted.checked())

    async def waiting(self) -> list[str]:
        """Return the links that are configured, and cannot be before their device turns up."""
        wanted = (await self.compiled(staged=False)).state
        keys = waiting(wanted, await self._engine.observe())
        return [key[1] for key in keys if key[0] == "link"]

    async def apply(self, asked: Asked | None = None) -> Applied:
        """Make the staged configuration active and bring the kernel to it.

        Raises `ConfigError`, `KernelError`, `VerifyError`, `Unreachable`, `Conflict`, `CutsOff`.
        """
        async with self._store.staging.editing() as view:
            return await self._apply(view, self._versions(view), asked or Asked())

    async def reload(self) -> Applied:
        """Apply the active configuration, whatever is staged; raises as `apply` does."""
        async with self._store.staging.editing():
            view = self._store.view(staged=False)
            return await self._apply(view, self._beside_staged(self._versions(view)), Asked(sure=True))

    async def _apply(self, view: View, files: dict[str, list[str | None]], asked: Asked) -> Applied:
        compiled = await self.compiled(view.config, reloaded=True)
        applied = await self._bring(compiled.checked(), files, asked)
        self._store.choose(self._store.choice().reloaded(view.config))
        self.current = compiled
        if not self._engine.pending:
            await self.remember_nics()
        return applied

    async def confirm(self, apply: str = "") -> str:
        """Keep what was applied, *apply* if it is named; return its id.  Raises `Conflict` where it does not wait."""
        kept = await self._engine.confirm(apply)
        await self.remember_nics()
        return kept

    async def remember_nics(self) -> None:
        """Write down which NIC has which name in the active configuration, as far as that can be read."""
        with suppress(ConfigError):
            self.nics.remember(await self.compiled(staged=False))

    def extend(self, seconds: float, apply: str = "") -> Pending:
        """Have what waits for `confirm` wait longer.  Raises `Conflict` where it does not wait."""
        return self._engine.extend(seconds, apply)

    async def roll_back(self) -> tuple[Op, ...]:
        """Undo what waits to be confirmed; where nothing does, return to the configuration before the last apply."""
        if self._engine.pending or self._engine.stuck():
            ops = self._engine.pending.ops if self._engine.pending else ()
            await self._engine.roll_back()
            await self.applied()
            return ops
        config = self._good.config_before()
        if config is None:
            raise Conflict("there is no configuration before this one")
        wanted = (await self.compiled(config)).checked()
        files = self._good.return_to(self._store.files.read)
        return (await self._bring(wanted, files, Asked(sure=True, probe=False))).ops

    async def _bring(self, wanted: State, files: dict[str, list[str | None]], asked: Asked) -> Applied:
        found: list[Outage] = []

        def permit(ops: tuple[Op, ...], before: State) -> None:
            _keep_guests(ops, before)
            self._keep_session(ops, before, asked)
            found.extend(outages(ops, before))

        terms = Terms(asked.replace, self._probes(asked), permit)
        try:
            ops = await self._engine.apply(wanted, files, asked.confirm, terms)
        finally:
            await self.applied()
        return Applied(ops, tuple(found))

    def _probes(self, asked: Asked) -> Wanted | None:
        if not (asked.probe and self._settings.probe):
            return None
        chosen = tuple(map(str, self._settings.probes))
        return Wanted(asked.session.peer if asked.session else "", chosen, self._settings.probe_seconds)

    def _keep_session(self, ops: tuple[Op, ...], before: State, asked: Asked) -> None:
        """Raise `CutsOff` where the session that asks would lose what it stands on, and nobody said that is fine."""
        if not ops or not asked.session or asked.sure or asked.confirm is not None:
            return
        way = self.way(asked.session.peer, asked.session.local)
        found = path(asked.session, way, before) if way else None
        if found and (lost := losses(ops, before, found)):
            raise CutsOff(lost)

    async def adopt(self) -> None:
        """Take the active configuration for what an earlier run of the daemon applied, where it did."""
        view = self._store.view(staged=False)
        if self._good.known and not self._good.edited(view):
            await self._engine.adopt(INTERFACES, (await self.compiled(view.config)).state)

    def _versions(self, view: View) -> dict[str, list[str | None]]:
        """Return the files an apply of *view* changes, and those it keeps, each before and after."""
        return self._good.versions(view, self._store.files.read)

    def _beside_staged(self, files: dict[str, list[str | None]]) -> dict[str, list[str | None]]:
        """Return *files* without those that an edit waits in: it stays, and so does what was edited in place."""
        kept = dict(files)
        for name in files:
            if name.endswith(STAGED) and self._store.files.read(name) is not None:
                del kept[name]
                active = files[active_name(name)][1]
                kept[active_name(name)] = [active, active]
        return kept

    async def _nothing(self) -> None:
        pass

    async def _nics(self) -> set[str]:
        """Return the links that are there whatever the configuration says, and no guest's."""
        live = await self._engine.look({("links", "")})
        return {link.name for link in live.values() if isinstance(link, Link) and not (link.owner and link.deletable)}


def _no_way(peer: str, local: str) -> Way | None:
    del peer, local
    return None


def _keep_guests(ops: tuple[Op, ...], before: State) -> None:
    """Raise `Conflict` where a bridge would go for good that guests are plugged into."""
    made = {op.resource.key for op in ops if op.verb == "+"}
    gone = {op.resource.key for op in ops if op.verb == "-"} - made
    cut = [link for link in before.values() if isinstance(link, Tap) and link.owner and ("link", link.master) in gone]
    if cut:
        where = ", ".join(f"{tap.name} is plugged into {tap.master}" for tap in cut)
        raise Conflict(f"{where}, which would be deleted: unplug it, or give the guest another bridge")


class OutageRecord(TypedDict):
    """What the guests on a bridge lose meanwhile."""

    bridge: str
    milliseconds: int
    text: str


class OpRecord(TypedDict):
    """One operation on the kernel."""

    op: str
    """As a plan shows it: ``+`` makes, ``~`` changes, ``-`` deletes."""
    origin: str
    """The line of configuration it comes from, ``FILE:LINE``; empty where no file says it."""
    outages: NotRequired[list[OutageRecord]]
    """What guests lose from here on, where they do."""


def shown(op: Op) -> OpRecord:
    """Return an operation as the API shows it."""
    return {"op": str(op), "origin": op.resource.origin}


def shown_all(applied: Applied) -> list[OpRecord]:
    """Return the operations as the API shows them; what guests lose stands with the one it begins with."""
    records = [shown(op) for op in applied.ops]
    for outage in applied.outages:
        there = records[outage.first].setdefault("outages", [])
        there.append({"bridge": outage.bridge, "milliseconds": outage.milliseconds, "text": str(outage)})
    return records
