"""Firewall: compile, check, load; what is broken keeps what was loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Problem
from pvenetd.firewall import compile as rules
from pvenetd.firewall import nft
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.ruleset import Ruleset
from pvenetd.guests.doubles import doubles
from pvenetd.guests.guest import Guest
from pvenetd.option import interface
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.settings import Settings
from pvenetd.state import Address, Chains, Route, State, Sysctl, state

OWNER = nft.FIREWALL
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


class Firewall:
    """The host's chains, and what guests' chains are made of."""

    def __init__(self, store: Store, engine: Engine, settings: Settings, design: Design) -> None:
        self._store = store
        self._engine = engine
        self._settings = settings
        self._design = design
        self._loaded_for: str | None = None
        """The local network that the host's chains let in."""
        self._made: dict[int, tuple[rules.Guest, State]] = {}
        """VMID → what its chains were made of, and what came of it."""

    def problems(self) -> tuple[Problem, ...]:
        """Return all that is wrong with the firewall files and the guests' NICs."""
        files = [self._store.cluster_fw(), self._store.host_fw()]
        files += [self._store.guest_fw(vmid) for vmid in {*self._store.firewall_ids(), *self._store.guest_ids()}]
        found = [problem for file in files for problem in file.problems]
        guests = [*self._store.guests()]
        found += [problem for guest in guests for problem in guest.problems]
        return (*found, *(problem for problems in doubles(guests).values() for problem in problems))

    def guest(self, guest: Guest) -> dict[Key, Resource]:
        """Return the chains of a guest and what they stand on, nothing where it is not to be filtered.

        Raises `ConfigError`.
        """
        if not self._store.cluster_fw().require().flag("enable", default=False):
            return {}
        facts, kept = self._facts(guest), self._made.get(guest.vmid)
        if kept is None or kept[0] != facts:
            kept = self._made[guest.vmid] = (facts, self._compiled_guest(facts))
        return dict(kept[1])

    def _compiled_guest(self, facts: rules.Guest) -> State:
        piece = rules.compile_guest(facts)
        if piece is None:
            return {}
        below: list[Resource] = [*(nft.sysctls(self._design) if piece.chains else ()), nft.base(self._design)]
        owned = (one.model_copy(update={"owner": f"vm:{facts.vmid}"}) for one in below)
        return state([*owned, nft.chains(piece, self._design)])

    async def usable(self, guest: Guest, had: State) -> Rules:
        """Return what *guest* is filtered by: what the files say, or the last good rules where they are broken.

        *had* is what it wanted before; after a restart of the daemon the kernel knows its rules.
        """
        try:
            return Rules(self.guest(guest))
        except ConfigError as error:
            problems = error.problems
        key = ("chains", f"vm:{guest.vmid}")
        kept: dict[Key, Resource] = {one.key: one for one in had.values() if isinstance(one, Chains | Sysctl)}
        if key not in kept:
            kept |= await self._engine.look({key})
        loaded = kept.get(key)
        text = loaded.text if isinstance(loaded, Chains) else ""
        barred = {
            index: problems
            for index, nic in guest.nics.items()
            if nic.firewall and not nft.is_filtered(guest.device(index), text)
        }
        return Rules(kept, problems, barred)

    def host(self, local: str | None = None) -> dict[Key, Resource]:
        """Return what belongs to no guest: the base, the host's chains, the kernel settings they stand on.

        *local* is the network the host is managed from.  Raises `ConfigError`.
        """
        if not self._store.cluster_fw().require().flag("enable", default=False):
            return {}
        resources = nft.pieces(self._ruleset([], local), self._design)
        return state([*nft.sysctls(self._design), nft.base(self._design), *resources])

    def compiled(self, vmid: int | None = None, others: Iterable[Resource] = ()) -> str:
        """Return the ruleset as text that ``nft -f`` takes, with *others* last; of one guest alone with *vmid*.

        Raises `ConfigError`.
        """
        guests = [guest for guest in self._store.guests() if vmid in (None, guest.vmid)]
        resources = nft.pieces(self._ruleset(guests), self._design)
        if vmid is not None:
            resources = [one for one in resources if isinstance(one, Chains) and one.name in ("base", f"vm:{vmid}")]
        else:
            resources += others
        return nft.render({one.key: one for one in resources}.values())

    async def load_host(self) -> tuple[Op, ...]:
        """Load what belongs to no guest; what is broken stays as it is.  Raises `ConfigError`, `KernelError`."""
        local = _local_network(await self._engine.observe())
        ops = await self._engine.desire(OWNER, self.host(local))
        self._loaded_for = local
        return ops

    async def follow(self, changed: Collection[Key] | None = None) -> None:
        """Load the host's chains anew where the network it is managed from is another: nobody is to be locked out.

        *changed* is what has changed in the kernel, None where that may be anything.
        """
        if changed is not None and not any(key[0] in _OF_NETWORK for key in changed):
            return
        if _local_network(await self._engine.observe()) != self._loaded_for:
            await self.load_host()

    async def status(self) -> dict[str, Any]:
        """Return what is loaded, and what differs from the files."""
        live = await self._engine.observe()
        loaded = {key[1]: one.digest for key, one in live.items() if isinstance(one, Chains)}
        enabled = self._store.cluster_fw().flag("enable", default=False)
        drift = self._drift(loaded, _local_network(live))
        return {
            "enabled": int(enabled),
            "backend": "nftables",
            "design": self._design,
            "loaded": sorted(loaded),
            "drift": drift,
        }

    def _drift(self, loaded: dict[str, str], local: str | None) -> list[str]:
        """Return the pieces that are not loaded as the files have them; a broken file has none."""
        wanted: dict[Key, Resource] = {}
        with suppress(ConfigError):
            wanted |= self.host(local)
        for guest in self._store.guests():
            with suppress(ConfigError):
                wanted |= self.guest(guest)
        return sorted(
            one.name for one in wanted.values() if isinstance(one, Chains) and loaded.get(one.name) != one.digest
        )

    def _ruleset(self, guests: Iterable[Guest], local: str | None = None) -> Ruleset:
        return rules.compile_ruleset(
            self._store.cluster_fw(),
            self._store.host_fw(),
            [self._facts(guest) for guest in guests],
            local_network=self._settings.firewall.local_network or local,
            cluster_nodes=self._settings.firewall.cluster_nodes,
        )

    def _facts(self, guest: Guest) -> rules.Guest:
        nics = {
            index: rules.Nic(guest.device(index), nic.firewall, nic.mac or "")
            for index, nic in guest.nics.items()
            if nic.bridge
        }
        return rules.Guest(guest.vmid, self._store.guest_fw(guest.vmid), nics)


def _local_network(live: State) -> str | None:
    """Return the network of the host's own address: on the link of the default route, else the first there is."""
    uplinks = [one.dev for one in live.values() if isinstance(one, Route) and one.dst == "default"]
    addresses = [one for one in live.values() if isinstance(one, Address) and not interface(one.address).is_loopback]
    addresses.sort(key=lambda one: one.dev not in uplinks)
    return str(interface(addresses[0].address).network) if addresses else None
