"""Connections that stand, and that the rules would not let begin any more: they are cut, where the admin wants that.

What the kernel tracks is read, and asked again, beside the event loop; connections are cut some at a time, so that a
guest that is plugged meanwhile does not wait for 100,000 of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Protocol

from pvenetd.daemon.firewall import OWNER, Firewall
from pvenetd.daemon.interfaces import Interfaces
from pvenetd.daemon.places import Picture
from pvenetd.daemon.slices import in_slices
from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import PvenetError
from pvenetd.firewall.flow import Address, Flow
from pvenetd.firewall.judge import Judge, Where, refused
from pvenetd.firewall.nft import GUARD
from pvenetd.firewall.nft_cut import MOST
from pvenetd.firewall.ruleset import Ruleset
from pvenetd.firewall.simulate import Map, Place
from pvenetd.nat.rules import PIECE, piece
from pvenetd.state import State

log = logging.getLogger("pvenetd.firewall")

GATHERED = 0.05
"""Seconds for which pieces that are loaded one after the other are waited for."""
_BESIDE = frozenset({"base", GUARD, PIECE})
"""Pieces that say nothing about connections: those of forwards that are gone are forgotten by NAT itself."""


class Tracked(Protocol):
    """What the kernel tracks; asked by any thread.  Raises OSError."""

    def seen(self) -> dict[Address, set[str]]:
        """Return the ports at which addresses were seen."""

    def flows(self, addresses: Collection[Address] | None = None) -> list[Flow]:
        """Return the connections, those of *addresses* alone where some are named."""


class Cut:
    """Asks connections again when rules have changed."""

    def __init__(
        self, store: Store, engine: Engine, interfaces: Interfaces, firewall: Firewall, *, always: bool
    ) -> None:
        self._store, self._engine, self._interfaces, self._firewall = store, engine, interfaces, firewall
        self.always = always
        """Whether every change of rules cuts, by the settings."""
        self.source: Tracked | None = None
        self.total: Counter[str] = Counter()
        """What has refused how many since the start."""
        self._due: set[str] = set()
        self._lock = Lock()
        self._turn = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None

    def follow(self) -> None:
        """Follow the pieces that are loaded from now on, in this event loop."""
        if self.always:
            self._loop = asyncio.get_running_loop()
            self._engine.loaded = self._loaded

    def close(self) -> None:
        """Follow nothing any more."""
        self._engine.loaded = str
        if self._timer:
            self._timer.cancel()
        if self._running:
            self._running.cancel()

    def _loaded(self, name: str) -> None:
        """Note a piece; called in the applier thread."""
        if name in _BESIDE or self._loop is None:
            return
        with self._lock:
            self._due.add(name)
        self._loop.call_soon_threadsafe(self._wait)

    def _wait(self) -> None:
        if self._loop and self._timer is None:
            self._timer = self._loop.call_later(GATHERED, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self.now())
        else:
            self._wait()

    async def now(self, *, everything: bool = False) -> None:
        """Cut what the pieces that were loaded refuse; with *everything*, whatever any of the rules does.

        What goes wrong is told, and keeps no rule from being loaded.
        """
        async with self._turn:
            with self._lock:
                due, self._due = self._due, set()
            try:
                if self.source and (everything or due):
                    await self._run(self.source, None if everything else due)
            except (OSError, PvenetError) as error:
                log.error("connections that stand go on: %s", error)  # noqa: TRY400
                self._engine.told("failed", {"owner": OWNER, "error": str(error), "outcome": "connections go on"})

    async def _run(self, source: Tracked, names: Collection[str] | None) -> None:
        if not self._firewall.is_on():
            return
        seen = await asyncio.to_thread(source.seen)
        vmids = None if names is None else {int(name[3:]) for name in names if name.startswith("vm:")}
        addresses: set[Address] | None = None
        if names is not None and vmids is not None and len(vmids) == len(names):
            ports = self._ports(vmids)
            if not (addresses := {one for one, at in seen.items() if not ports.isdisjoint(at)}):
                return
        flows = await asyncio.to_thread(source.flows, addresses)
        if not flows:
            return
        about = await asyncio.to_thread(_taking_part, flows, seen)
        judge = await self._judge(about, seen)
        found = await asyncio.to_thread(refused, judge, flows)
        for at_host in (False, True):
            flows = [flow for flow, _ in found if judge.is_at_host(flow) == at_host]
            for at in range(0, len(flows), MOST):
                await self._engine.cut(flows[at : at + MOST], at_host=at_host)
        self.total.update(reason for _, reason in found)
        if found:
            reasons = dict(Counter(reason for _, reason in found).most_common())
            log.info("connections that are not allowed any more, and were cut: %d", len(found))
            self._engine.told("cut", {"connections": len(found), "rules": reasons})

    def _ports(self, vmids: Iterable[int]) -> set[str]:
        guests = filter(None, map(self._store.guest, vmids))
        return {guest.device(index) for guest in guests for index in guest.nics}

    async def _judge(self, about: Collection[Address], seen: Mapping[Address, Collection[str]]) -> Judge:
        """Return who judges flows of those addresses, by the rules of the host and of these guests alone."""
        live = await self._engine.observe()
        compiled = await self._interfaces.compiled(staged=False)
        state: State = {**live, **compiled.state}
        ports = sorted({port for one in about for port in seen[one]})
        nics = {port: nic for port in ports if (nic := self._store.definitions.holder(port))}
        vmids = sorted({vmid for vmid, _ in nics.values()})
        guests = {vmid: guest async for vmid in in_slices(vmids) if (guest := self._store.guest(vmid))}
        picture = Picture(state, guests)
        places = _Places(picture)
        known = {port: places.of(port, *nic) async for port, nic in in_slices(nics.items())}
        ruleset = await self._firewall.ruleset_of(guests.values(), live)
        nat = piece(compiled.nat)
        networks = picture.networks()
        where = Where(
            Map(
                own=[(one.version, int(one.ip)) for one in picture.addresses()],
                networks=networks,
                translates_first=self._firewall.design == "mark",
            ),
            # Somebody who was seen at a port that is nobody's now may be anywhere.
            {one: tuple(known[port] for port in sorted(seen[one])) for one in about if known.keys() >= set(seen[one])},
            {name: Place("outside", segment=(name, 0), link=name, at_uplink=True) for name in networks if name != "lo"},
        )
        return Judge(Ruleset((*ruleset.pieces, *([nat] if nat else []))), where)


def _taking_part(flows: Iterable[Flow], seen: Collection[Address]) -> set[Address]:
    """Return who of those that were *seen* have *flows*."""
    return {one for flow in flows for one in flow.addresses if one in seen}


class _Places:
    """Where guests' NICs are; those on one bridge in one VLAN are looked for once."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._known: dict[tuple[str | None, int | None], Place] = {}

    def of(self, port: str, vmid: int, index: int) -> Place:
        """Return the place of one NIC."""
        nic, zone = self._picture.guests[vmid].nics.get(index), f"vm/{vmid}/net{index}"
        if nic is None or not nic.bridge:
            return Place(zone, port=port)
        key = (nic.bridge, nic.tag)
        if key not in self._known:
            self._known[key] = self._picture.places(zone, "host", 4)[0]
        return replace(self._known[key], zone=zone, port=port)
