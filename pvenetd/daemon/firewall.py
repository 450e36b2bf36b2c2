"""Firewall: compile, check, load; what is broken keeps what was loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pvenetd.daemon import conntrack
from pvenetd.daemon.cards import Cards, knows
from pvenetd.daemon.rule_files import RuleFiles
from pvenetd.daemon.rulebook import CLOSED_CLUSTER, CLUSTER, HOST, Common, Rulebook
from pvenetd.daemon.slices import in_slices
from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Problem
from pvenetd.firewall import backend, nft
from pvenetd.firewall import compile as rules
from pvenetd.firewall.closed import closed, is_broken, is_closed
from pvenetd.firewall.guard import may_be_a_guests
from pvenetd.firewall.lint import Files, lint
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.ruleset import Piece, Ruleset
from pvenetd.firewall.sent import refuses
from pvenetd.firewall.syntax import Config
from pvenetd.guests.doubles import doubles
from pvenetd.guests.guest import Guest
from pvenetd.kinds.link import Link
from pvenetd.option import interface
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.settings import Settings
from pvenetd.state import Address, Chains, Route, State, Sysctl, state

OWNER = nft.FIREWALL
_BASE: Key = ("chains", "base")
_OF_NETWORK = ("address", "route")
"""What tells the network that the host is managed from."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a guest is filtered by."""

    state: dict[Key, Resource]
    problems: tuple[Problem, ...] = ()
    """Why it is not what the files say; it is what was loaded then."""
    barred: dict[int, tuple[Problem, ...]] = field(default_factory=dict)
    """NICs that are to be filtered and are not by what was loaded, with the reasons."""
    good: Config | None = None
    """The guest's file, where it counts as it is."""


class Firewall:
    """The host's chains, and what guests' chains are made of."""

    def __init__(self, store: Store, engine: Engine, settings: Settings, design: Design) -> None:
        self._store = store
        self._engine = engine
        self._settings = settings
        self.design = design
        self.files = RuleFiles(store)
        self._book = Rulebook(store, self.files, self._compiled)
        self._cards = Cards()
        self._loaded_for: str | None = None
        """The local network that the host's chains let in."""
        self._devices: dict[str, str] = {}
        """The host's interfaces by their alternative names, which rules may hold."""
        self._loaded_devices = self._devices
        """Those that the host's chains were made with."""
        self._made: dict[int, tuple[object, State]] = {}
        """VMID → what its chains were made of, and what came of it."""

    def is_on(self) -> bool:
        """Return whether the firewall is on, by the cluster.fw that counts."""
        return self._book.common(listed=False).enabled

    async def problems(self) -> tuple[Problem, ...]:
        """Return all that is wrong with the firewall files and the guests' NICs, whatever counts in their place."""
        common, texts = self._book.common(), self.shared()
        found = self.wrong(texts)
        known = set(self._store.guest_ids())
        vmids = sorted({*known, *(int(name) for name in self._store.rule_names() if name.isdigit())})
        async for vmid in in_slices(vmids):
            config = self._store.rules(str(vmid))
            found += [*config.problems, *Names(texts[CLUSTER], config).problems(config)]
        guests = [guest async for guest in in_slices(self._store.guests())]
        async for guest in in_slices(guests):
            found += [*guest.problems, *self._of_guest(guest, common)]
        found += [problem for problems in doubles(guests).values() for problem in problems]
        files = [*dict.fromkeys(problem.path for problem in found)]
        return tuple(sorted(dict.fromkeys(found), key=lambda one: (files.index(one.path), one.line)))

    def idle(self) -> tuple[Problem, ...]:
        """Return the lines of the firewall files that do nothing."""
        texts = self.shared()
        guests = {int(name): self._store.rules(name) for name in self._store.rule_names() if name.isdigit()}
        nics = {
            guest.vmid: {index: nic.firewall and bool(nic.bridge) for index, nic in guest.nics.items()}
            for guest in self._store.guests()
        }
        bridges = {name: config for name, config in texts.items() if name not in (CLUSTER, HOST)}
        return lint(Files(texts[CLUSTER], texts[HOST], guests, bridges, nics))

    def shared(self) -> dict[str, Config]:
        """Return the files that are about nobody in particular, as they are."""
        return {name: self._store.rules(name) for name in self._book.common().configs}

    def wrong(self, shared: Mapping[str, Config]) -> list[Problem]:
        """Return what would be wrong with the files that are about nobody in particular, were they *shared*."""
        names = Names(shared[CLUSTER], devices=self._devices)
        found = [problem for some in self._book.wrong(shared).values() for problem in some]
        return [*found, *(problem for config in shared.values() for problem in names.problems(config))]

    def wrong_guest(self, guest: Guest, config: Config, cluster: Config) -> tuple[Problem, ...]:
        """Return what would keep *guest* from being filtered by *config* and *cluster*."""
        try:
            self._piece(self._cards.facts(guest, config), cluster, self._loaded_for)
        except ConfigError as error:
            return error.problems
        return ()

    def _of_guest(self, guest: Guest, common: Common) -> tuple[Problem, ...]:
        try:
            self._chains_of(self._cards.facts(guest, self._store.rules(str(guest.vmid))), common)
        except ConfigError as error:
            return error.problems
        return ()

    def _chains_of(self, facts: rules.Guest, common: Common) -> State:
        """Return the chains of a guest and what they stand on.  Raises `ConfigError`."""
        queued = common.cluster.groups if facts.config.flag("ips", default=False) else None  # their rules are its own
        of, kept = (facts, common.about_guests, queued, self._loaded_for), self._made.get(facts.vmid)
        if kept is None or kept[0] != of:
            kept = self._made[facts.vmid] = (of, self._owned(self._piece(facts, common.cluster, self._loaded_for)))
        return kept[1]

    def _piece(self, facts: rules.Guest, cluster: Config, local: str | None) -> Piece | None:
        """Return the chains of a guest on a host with the network *local*.  Raises `ConfigError`."""
        local = self._settings.firewall.local_network or local
        return rules.compile_guest(facts, cluster, rules.network(local) if local else None)

    def _owned(self, piece: Piece | None) -> State:
        """Return a guest's piece with what it stands on."""
        if piece is None:
            return {}
        below: list[Resource] = [*(backend.sysctls(self.design) if piece.chains else ()), backend.base(self.design)]
        owned = (one.model_copy(update={"owner": piece.name}) for one in below)
        return state([*owned, backend.chains(piece, self.design)])

    async def usable(self, guest: Guest, had: State) -> Rules:
        """Return what *guest* is filtered by: what the files say, or the last good rules where they are broken.

        *had* is what it wanted before; after a restart of the daemon the kernel knows its rules.  Has it none
        that are good, it is let nothing pass.
        """
        common = self._book.common(listed=False)
        if not common.enabled:
            return Rules({})
        now = self.files.now(str(guest.vmid))
        problems = now.problems
        if unknown := self._cards.unknown(guest):
            rules = await self._as_loaded(guest, had, guest.problems, look=not now.closed)
            if any(knows(one, port) for one in rules.state.values() for port in unknown):
                return rules
        for config in (now.config, self.files.kept(str(guest.vmid))):
            if config is None:
                continue
            try:
                found = dict(self._chains_of(self._cards.facts(guest, config), common))
            except ConfigError as error:
                problems = problems or error.problems
            else:
                self._cards.take(guest)
                return Rules(found, problems, good=None if problems else config)
        return await self._as_loaded(guest, {} if now.closed else had, problems, look=not now.closed)

    async def _as_loaded(self, guest: Guest, had: State, problems: tuple[Problem, ...], *, look: bool) -> Rules:
        """Return the rules that are loaded, those that let nothing pass where there are none.

        They are *had*, or, with *look*, what the kernel has.
        """
        key = ("chains", f"vm:{guest.vmid}")
        kept: dict[Key, Resource] = {one.key: one for one in had.values() if isinstance(one, Chains | Sysctl)}
        if key not in kept and look:
            kept |= await self._engine.look({key})
        loaded = kept.get(key)
        if isinstance(loaded, Chains) and not backend.is_of(loaded, self.design):  # what it stands on is gone
            kept = {}
            loaded = None
        text = loaded.text if isinstance(loaded, Chains) and not is_closed(loaded.text) else ""
        wanted = {index for index in guest.lines if index not in guest.nics or guest.nics[index].firewall}
        barred = {index: problems for index in wanted if not backend.is_filtered(guest.device(index), text)}
        if wanted and len(barred) == len(wanted):
            kept = dict(self._owned(closed(self._cards.facts(guest, Config("", "guest")))))
        return Rules(kept, problems, barred)

    def apart(self, guest: Guest, state: State) -> frozenset[int]:
        """Return the NICs of *guest* that stand in bridges of their own, by the rules in its *state*."""
        chains = state.get(("chains", f"vm:{guest.vmid}"))
        if self.design != "iptables" or not isinstance(chains, Chains):
            return frozenset()
        return frozenset(one for one in guest.lines if backend.is_filtered(guest.device(one), chains.text))

    def host(self, local: str | None = None) -> dict[Key, Resource]:
        """Return what belongs to no guest: the base, the host's chains, the kernel settings they stand on.

        *local* is the network the host is managed from.
        """
        common = self._book.common()
        if not common.enabled:
            return {}
        resources = backend.pieces(self._ruleset(common, local), self.design)
        return state([*backend.sysctls(self.design), backend.base(self.design), *resources])

    def ruleset(self, live: State) -> tuple[Ruleset, tuple[Problem, ...]]:
        """Return all rules as they count, guests' among them, and why some are not what the files say.

        *live* tells the network that the host is managed from.  What the kernel alone still knows is not asked: a
        guest whose file is broken and was not kept is let nothing pass.
        """
        common = self._book.common()
        if not common.enabled:
            return Ruleset(), _all(common)
        local = self._network(live)
        pieces: list[Piece | None] = [*self._ruleset(common, local).pieces]
        problems = [*_all(common)]
        for guest in self._store.guests():
            piece, wrong = self._counted(guest, common.cluster, local)
            pieces.append(piece)
            problems += wrong
        return Ruleset(tuple(piece for piece in pieces if piece)), tuple(problems)

    async def ruleset_of(self, guests: Iterable[Guest], live: State) -> Ruleset:
        """Return the rules of the host, and of *guests* alone; none of one whose rules the kernel alone still knows."""
        common = self._book.common()
        if not common.enabled:
            return Ruleset()
        local = self._network(live)
        found = [self._counted(guest, common.cluster, local)[0] async for guest in in_slices(guests)]
        known = (piece for piece in found if piece and not is_broken(piece))
        return Ruleset((*self._ruleset(common, local).pieces, *known))

    def _counted(self, guest: Guest, cluster: Config, local: str | None) -> tuple[Piece | None, tuple[Problem, ...]]:
        now = self.files.now(str(guest.vmid))
        problems = now.problems
        for config in (now.config, self.files.kept(str(guest.vmid))):
            if config:
                try:
                    return self._piece(self._cards.facts(guest, config), cluster, local), problems
                except ConfigError as error:
                    problems = problems or error.problems
        return closed(self._cards.facts(guest, Config("", "guest"))), problems

    def compiled(self, design: Design, vmid: int | None = None, others: Iterable[Resource] = ()) -> dict[str, str]:
        """Return the ruleset as texts that the kernel's own tools take, in the order they are run, by the tool.

        *others* come last; with *vmid* it is that guest's alone.  Raises `ConfigError`.
        """
        common = self._book.common()
        configs = {name: config.require() for name in common.configs if (config := self._store.rules(name))}
        found: dict[Key, Resource] = dict(state(backend.pieces(self._compiled(configs), design)))
        if configs[CLUSTER].flag("enable", default=False):
            for guest in self._store.guests():
                if vmid in (None, guest.vmid):
                    facts = self._cards.facts(guest, self._store.rules(str(guest.vmid)))
                    if piece := self._piece(facts, common.cluster, self._loaded_for):
                        found |= state([backend.base(design), backend.chains(piece, design)])
        if vmid is not None:
            found = {key: one for key, one in found.items() if key[1] in ("base", nft.SETS, nft.GROUPS, f"vm:{vmid}")}
        refused = any(isinstance(one, Chains) and refuses(one.text) for one in found.values())
        more = (one for one in others if vmid is None and one.key not in found and (refused or one.key[1] != nft.SENT))
        return backend.render([*found.values(), *more], design)

    async def load_host(self) -> tuple[Op, ...]:
        """Load what belongs to no guest; what is broken counts as it was.  Raises `KernelError`, `VerifyError`."""
        local = self._network(await self._engine.observe())
        devices, common = self._devices, self._book.common()
        ops = await self._engine.desire(OWNER, self.host(local))
        self._loaded_for, self._loaded_devices = local, devices
        await conntrack.load(self._engine, rules.host_sysctls(common.host) if common.enabled else {}, rules.RAISED)
        for name, config in common.good.items():
            self.files.loaded(name, config)
        if common.problems:
            self._engine.failed[OWNER] = str(ConfigError(_all(common)))
        return ops

    def loaded(self, vmid: int, config: Config | None) -> None:
        """Keep a guest's file, which was loaded; None where nothing defines the guest any more."""
        self.files.loaded(str(vmid), config or self._store.rules_of(str(vmid), ""))
        if config is None:
            self._cards.forget(vmid)

    def broken(self) -> tuple[Problem, ...]:
        """Return why the files that are everybody's do not count as they are."""
        return _all(self._book.common())

    async def follow(self, changed: Collection[Key] | None = None) -> None:
        """Load the host's chains anew where the network it is managed from is another: nobody is to be locked out.

        So they are where an alternative name is another interface's now.
        What NAT's chains stood on goes when they are gone and no guest's or host's need it.
        *changed* is what has changed in the kernel, None where that may be anything.
        """
        if changed is not None and not (any(key[0] in _OF_NETWORK for key in changed) or await self._renames(changed)):
            return
        live = await self._engine.observe()
        is_left = changed is None and _BASE in live and _BASE not in self._engine.desired()
        if is_left or (self._network(live), self._devices) != (self._loaded_for, self._loaded_devices):
            await self.load_host()

    async def _renames(self, changed: Collection[Key]) -> bool:
        """Return whether one of the links that have changed has other alternative names than the host's chains know."""
        keys = {key for key in changed if key[0] == "link" and not may_be_a_guests(key[1])}
        there = await self._engine.look(keys) if keys else {}
        known = {other: name for other, name in self._loaded_devices.items() if ("link", name) in keys}
        return known != _alternatives(there)

    def _network(self, live: State) -> str | None:
        """Return the network the host is managed from, and keep how its interfaces are called else."""
        self._devices = _alternatives(live)
        return _local_network(live)

    async def status(self) -> dict[str, Any]:
        """Return what is loaded, and what differs from the files."""
        live = await self._engine.observe()
        loaded = {key[1]: one.digest for key, one in live.items() if isinstance(one, Chains)}
        return {
            "enabled": int(self.is_on()),
            "backend": "iptables" if self.design == "iptables" else "nftables",
            "design": self.design,
            "loaded": sorted(loaded),
            "drift": await self._drift(loaded, self._network(live)),
        }

    async def _drift(self, loaded: dict[str, str], local: str | None) -> list[str]:
        """Return the pieces that are not loaded as the files have them; a broken file has none."""
        common = self._book.common()
        wanted: dict[Key, Resource] = dict(self.host(local))
        async for guest in in_slices(self._store.guests() if common.enabled else ()):
            with suppress(ConfigError):
                wanted |= self._chains_of(self._cards.facts(guest, self._store.rules(str(guest.vmid))), common)
        return sorted(
            one.name for one in wanted.values() if isinstance(one, Chains) and loaded.get(one.name) != one.digest
        )

    def _compiled(self, configs: Mapping[str, Config], local: str | None = None) -> Ruleset:
        """Return the pieces that are no guest's.  Raises `ConfigError`."""
        return rules.compile_ruleset(
            configs[CLUSTER],
            configs[HOST],
            bridges={name: config for name, config in configs.items() if name not in (CLUSTER, HOST)},
            local_network=self._settings.firewall.local_network or local,
            cluster_nodes=self._settings.firewall.cluster_nodes,
            devices=self._devices,
        )

    def _ruleset(self, common: Common, local: str | None) -> Ruleset:
        """Return what counts; of a host.fw that never was right, the host's own services alone."""
        found = self._compiled(common.configs, local)
        if HOST not in common.closed:
            return found
        bare = self._compiled({**common.configs, CLUSTER: self._store.rules_of(CLUSTER, CLOSED_CLUSTER)}, local)
        return Ruleset(
            tuple(next((one for one in bare.pieces if one.name == piece.name == HOST), piece) for piece in found.pieces)
        )


def is_rules(resource: Resource) -> bool:
    """Return whether it is what a guest is filtered by, or stands on; else it is about its ports."""
    return isinstance(resource, Chains) or (isinstance(resource, Sysctl) and resource.name.startswith("net/bridge/"))


def _all(common: Common) -> tuple[Problem, ...]:
    return tuple(problem for some in common.problems.values() for problem in some)


def _alternatives(live: State) -> dict[str, str]:
    """Return the links that are there by their alternative names."""
    return {other: link.name for link in live.values() if isinstance(link, Link) for other in link.altnames}


def _local_network(live: State) -> str | None:
    """Return the network of the host's own address: on the link of the default route, else the first there is."""
    uplinks = [one.dev for one in live.values() if isinstance(one, Route) and one.dst == "default"]
    addresses = [one for one in live.values() if isinstance(one, Address) and not interface(one.address).is_loopback]
    addresses.sort(key=lambda one: one.dev not in uplinks)
    return str(interface(addresses[0].address).network) if addresses else None
