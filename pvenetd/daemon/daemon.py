"""The daemon's nouns together: started in order, and told in one screen."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from pvenetd import __version__
from pvenetd.daemon import overview
from pvenetd.daemon.abilities import Abilities
from pvenetd.daemon.access import Access
from pvenetd.daemon.apart import put_apart
from pvenetd.daemon.boot import Boot
from pvenetd.daemon.capture import Captures
from pvenetd.daemon.counts import Counts
from pvenetd.daemon.cut import Cut
from pvenetd.daemon.domains import Domains
from pvenetd.daemon.feed import Feed
from pvenetd.daemon.firewall import Firewall
from pvenetd.daemon.guard import Guard
from pvenetd.daemon.guest_edits import GuestEdits
from pvenetd.daemon.guests import Guests
from pvenetd.daemon.hand import Hand
from pvenetd.daemon.health import health
from pvenetd.daemon.heard import Heard
from pvenetd.daemon.interfaces import Interfaces
from pvenetd.daemon.leases import Leases
from pvenetd.daemon.nat import Translations
from pvenetd.daemon.neighbours import Neighbours
from pvenetd.daemon.overview import ConfigurationRecord, FilteringRecord, LinkRecord, SeenRecord, StatusRecord
from pvenetd.daemon.packet_log import PacketLog
from pvenetd.daemon.ports import Ports
from pvenetd.daemon.query import Query
from pvenetd.daemon.rule_edits import RuleEdits
from pvenetd.daemon.rules import LoadedRules
from pvenetd.daemon.simulation import Simulation
from pvenetd.daemon.store import ACTIVE, Store
from pvenetd.daemon.tasks import Tasks
from pvenetd.daemon.trace import Trace
from pvenetd.daemon.trial import Trial
from pvenetd.daemon.vitals import Pulse
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Conflict, PvenetError, Unavailable
from pvenetd.firewall.nft_base import Design
from pvenetd.journal import Journal
from pvenetd.nat.gather import FORWARDING
from pvenetd.nat.rules import PIECE
from pvenetd.precedence import Precedence
from pvenetd.resource import Key
from pvenetd.settings import Settings
from pvenetd.state import INTERFACES

log = logging.getLogger("pvenetd")

_KEPT = 500
"""Events kept in memory."""


class Daemon:
    """Everything that can be asked of pvenetd."""

    def __init__(
        self, store: Store, engine: Engine, journal: Journal, settings: Settings, design: Design, obstacle: str = ""
    ) -> None:
        self.store = store
        self.engine = engine
        self.interfaces = Interfaces(store, engine, journal, design, settings.apply)
        self.settings = settings
        self.access = Access(store.files, settings.api.others)
        self.pulse = Pulse(store.files.root)
        self.boot = Boot(store, engine, self.interfaces)
        self.hand = Hand(store, engine, self.interfaces)
        self.query = Query(store, engine, self.interfaces)
        self.firewall = Firewall(store, engine, settings, design)
        self.abilities = Abilities(store, engine, design)
        self.simulation = Simulation(store, engine, self.interfaces, self.firewall)
        self.cut = Cut(store, engine, self.interfaces, self.firewall, always=settings.firewall.cut_established)
        self.guests = Guests(store, engine, self.firewall)
        self.guard = Guard(store, engine, self.interfaces, design, self.firewall.is_on)
        self.nat = Translations(store, engine, self.interfaces)
        self.leases = Leases(store, store.files, self._told)
        self.guests.moved, self.simulation.learnt = self.leases.follow, self.leases.learnt
        self.rules = LoadedRules(store, engine)
        self.trace = Trace()
        self.captures = Captures(self.guests)
        self.ports = Ports(engine, store.definitions)
        self.neighbours = Neighbours(engine, design, self.firewall.is_on)
        self.domains = Domains(store, self.guests, self.guard)
        self.guest_edits = GuestEdits(store, self.guests, self.domains)
        self.heard = Heard(store, engine, self.guests, self.load, self.load_rules, self.firewall.files)
        self.once = False
        """Whether one question is answered, and nothing followed: what it loads nobody brings up to date."""
        self.trial = Trial(store.files, self.firewall.files, self.load_rules, self._told)
        self.rule_edits = RuleEdits(store, engine, self.firewall, self.trial, self._load_edited)
        self.obstacle = obstacle
        """What keeps guests from being filtered on this kernel; with it none of them is plugged."""
        self._changed: set[Key] = set()
        """What has changed in the kernel and was not followed yet."""
        self.events = Feed(_KEPT)
        self.counts = Counts()
        self.precedence = Precedence()
        self.tasks = Tasks(store.files)
        self.packets = PacketLog(store.files)
        self.interfaces.applied = self._applied
        engine.told, engine.took = self._told, self.counts.took

    def close(self) -> None:
        """Try nothing any more."""
        self.guests.close()
        self.heard.close()
        self.leases.close()
        self.trial.close()
        self.cut.close()
        self.guard.refusals.close()

    async def start(self) -> None:
        """Undo what an earlier run left unconfirmed, take over what it had applied, load the firewall."""
        self.cut.follow()
        self.guard.refusals.follow()
        await self._quietly(self._recover)
        await self._quietly(self._finish_edits)
        if self.trial.recover():
            log.warning("rules were never confirmed: those before count again")
            self._told("recovered", {"firewall": ""})
        if self.store.owns():
            await self._quietly(self.firewall.load_host)  # no packet before its rules
            await self._quietly(self._bring_up)
            await self.guests.adopt()
            await self.guests.sweep()
        else:
            await self.adopt()
            await self.guests.sweep()
        await self.interfaces.remember_nics()
        await self.leases.start()
        await self.load()
        self.firewall.files.settle()
        await self.neighbours.warn(await self.guests.records())

    async def _recover(self) -> None:
        try:
            if await self.engine.recover():
                log.warning("an apply was never confirmed: rolled back, the host is as it was before it")
                self._told("recovered", {})
        except PvenetError as error:
            self.engine.failed[INTERFACES] = f"not all of an apply that was never confirmed is rolled back: {error}"
            raise

    async def _finish_edits(self) -> None:
        self.rule_edits.finish()

    async def _bring_up(self) -> None:
        await self.boot.start(staged=self.settings.interfaces.staged_at_boot)

    async def _quietly(self, job: Callable[[], Awaitable[object]]) -> None:
        try:
            await job()
        except PvenetError as error:
            log.error("%s", error)  # noqa: TRY400

    async def adopt(self) -> None:
        """Take what carries our marks for applied by an earlier run; the host is left as it is."""
        try:
            await self.interfaces.adopt()
        except PvenetError as error:
            log.error("%s", error)  # noqa: TRY400
        await self.guests.adopt()

    async def load(self) -> dict[str, str]:
        """Bring the firewall and every guest to what the files say; return owner → error of those that failed.

        What is broken keeps what was loaded, and keeps nobody else from being served.
        """
        return await self._load(self.guests.load)

    async def apply_rules(self, confirm: float | None = None, *, cut: bool = False) -> dict[str, str]:
        """Load what the firewall files say now, a file that is gone taken for meant; return owner → error.

        With *confirm*, what was loaded before is again after so many seconds.  With *cut*, connections that the rules
        would not let begin are cut, whatever the settings say of them.  Raises `Conflict` where rules, or
        the interfaces, wait to be confirmed; `Unavailable` where nobody stays to see the time pass.
        """
        self.trial.require_none()
        if confirm is None:
            self.trial.forget()
            failed = await self._apply_rules()
            self.firewall.files.settle()
            await self.cut.now(everything=cut or (self.once and self.cut.always))
            return failed
        if self.once:
            raise Unavailable("--confirm is the daemon's to keep, and it does not run")
        if self.engine.pending:
            raise Conflict(f"apply {self.engine.pending.id} waits to be confirmed: pvenetctl confirm, or rollback")
        failed = await self.trial.begin(confirm, self._apply_rules)
        await self.cut.now(everything=cut)
        return failed

    async def _apply_rules(self) -> dict[str, str]:
        self.firewall.files.decide()
        failed = await self.load_rules()
        await self.firewall.files.flush()
        return failed

    async def load_rules(self) -> dict[str, str]:
        """Do so after a change of what is everybody's: of guests, the rules that are others now are loaded alone.

        Where nobody follows what becomes of ports, they are only moved to where they are filtered; addresses are
        translated, too.
        """
        if not self.once:
            return await self._load(self.guests.refilter)
        failed = await self._load(self.guests.rules.load)
        failed |= await put_apart(self.store, self.engine, self.firewall)
        if self.store.files.read(ACTIVE) is None:
            return failed
        try:
            wanted = (await self.interfaces.compiled(staged=False)).checked()
            translating = {
                key: one for key, one in wanted.items() if key[0] == "chains" or key[1] in FORWARDING.values()
            }
            failed |= await self.engine.desire_chains({INTERFACES: translating}, [("chains", PIECE)])
        except PvenetError as error:
            failed[INTERFACES] = str(error)
        return failed

    async def _load_edited(self, names: Collection[str]) -> Mapping[str, str]:
        """Load what the firewall files *names* are about, where somebody follows what becomes of it."""
        if self.once:
            return {}
        if all(name.isdigit() for name in names):
            return await self.guests.load(sorted(map(int, names)))
        return await self.load_rules()

    async def _load(self, load: Callable[[list[int]], Awaitable[dict[str, str]]]) -> dict[str, str]:
        failed: dict[str, str] = {}

        async def job(owner: str, load: Callable[[], Awaitable[object]]) -> None:
            try:
                await load()
            except PvenetError as error:
                failed[owner] = self.engine.failed[owner] = str(error)
                log.error("%s: %s", owner, error)  # noqa: TRY400

        await job("guard", self.guard.go)
        await job("firewall", self.firewall.load_host)
        if broken := self.firewall.broken():
            failed["firewall"] = str(ConfigError(broken))
        await self._tell_of_bridges()
        await self.leases.refill()  # the sets are there now, and empty where the tables were made anew
        failed |= await load(self.guests.known())
        await job("guard", self.guard.load)
        return failed

    async def _tell_of_bridges(self) -> None:
        """Have guests' ports be as the stanzas of their bridges say; a broken file has said what it said before."""
        with suppress(ConfigError):
            devices = (await self.interfaces.compiled(staged=False)).devices
            self.guests.take_stanzas(device.link for device in devices.values() if device.link)

    async def restore(self) -> None:
        """Load again the chains that somebody has taken away or changed, and with them the leases."""
        if await self.engine.restore():
            await self.leases.refill()
        await self.guard.answer()

    async def noticed(self) -> None:
        """Follow what has happened to links, addresses and routes, by what has changed alone."""
        with self.precedence.first():
            self._changed |= await self.engine.changed()
            changed = frozenset(self._changed)
            await self.guests.follow(changed)
            await self.boot.follow(changed)
            await self.firewall.follow(changed)
            await self.guard.follow(changed)
            self._changed -= changed

    async def _applied(self) -> None:
        """Have the host's chains and the running guests' ports follow the bridges they are on."""
        await self.firewall.follow()
        await self.guests.load(self.guests.running())
        await self.guard.follow()

    async def status(self) -> StatusRecord:
        """Return how everything is."""
        live = await self.engine.observe()
        guests = await self.guests.records()
        found: SeenRecord = {
            "version": __version__,
            "interfaces": await self._configuration(),
            "bridges": overview.bridges(live),
            "guests": guests,
            "neighbours": await self.neighbours.told(guests),
            "firewall": await self.filtering(),
            "libvirt": self.domains.told(),
            "errors": {**self.engine.failed, **self._obstacles()},
        }
        return {**found, "health": health(found)}

    async def filtering(self) -> FilteringRecord:
        """Return what is loaded, what differs from the files, and the ports that nobody has announced."""
        found, guard = await self.firewall.status(), await self.guard.status()
        if pending := self.trial.pending:
            found["confirm"] = {"id": pending.id, "seconds": round(pending.left(), 1)}
        told = {**found, "stopped": guard["stopped"], "drift": [*found["drift"], *guard["drift"]]}
        told["lacks"] = await self.abilities.records()
        return cast("FilteringRecord", told)

    def _obstacles(self) -> dict[str, str]:
        """Return what the kernel keeps from us."""
        found = {"kernel": self.obstacle, "firewall log": self.packets.obstacle, "leases": self.leases.obstacle}
        return {what: why for what, why in found.items() if why}

    async def topology(self) -> list[LinkRecord]:
        """Return every link with what it is a port of or stands on, for a picture."""
        return await overview.links(await self.engine.observe())

    async def _configuration(self) -> ConfigurationRecord:
        found: dict[str, Any] = {
            "mode": "owner" if self.store.owns() else "guest",
            "staged": int(self.store.is_staged()),
            "waiting": await self._quietly_waiting(),
        }
        if pending := self.engine.pending:
            found["confirm"] = {"id": pending.id, "seconds": round(self.engine.left(), 1)}
        found["nics"] = await self._quietly_gone()
        try:
            found["applied"] = int(self.interfaces.good() is not None)
            found["drift"] = len(await self.interfaces.drift())
            found["plan"] = len(await self.interfaces.plan())
            if found["mode"] == "guest":
                found["switch"] = [str(op) for op in await self.boot.forecast()]
            found["state"] = "staged" if found["staged"] else "in sync" if not found["plan"] else "differs"
        except PvenetError as error:
            found["state"], found["error"] = "broken", str(error)
        if pending:
            found["state"] = "waiting for confirmation"
        return cast("ConfigurationRecord", found)

    async def _quietly_waiting(self) -> list[str]:
        try:
            return await self.interfaces.waiting()
        except PvenetError:
            return []

    async def _quietly_gone(self) -> list[str]:
        try:
            return [str(found) for found in self.interfaces.nics.gone(await self.interfaces.compiled())]
        except PvenetError:
            return []

    def _told(self, what: str, facts: Mapping[str, Any]) -> None:
        self.counts.happened(what, facts)
        self.events.add({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": what, **facts})
