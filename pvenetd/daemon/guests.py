"""Guests: which NICs are plugged, and the State that follows for each."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any

from pvenetd.daemon.firewall import Firewall
from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Conflict, NotFound, Problem, PvenetError
from pvenetd.guests.guest import Guest
from pvenetd.guests.nic import Nic
from pvenetd.guests.ports import bridges, neighbours, ports, scene
from pvenetd.kinds.tap import Tap
from pvenetd.names import parse_tap, tap_name
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.state import INTERFACES, State

log = logging.getLogger("pvenetd.guests")


class Guests:
    """The guests of this host, configured or running."""

    def __init__(self, store: Store, engine: Engine, firewall: Firewall) -> None:
        self._store = store
        self._engine = engine
        self._firewall = firewall
        self._plugged: dict[int, dict[int, bool]] = {}
        """VMID → index of each plugged NIC → whether the tap is made here."""

    async def plug(self, vmid: int, index: int | None = None, *, made_here: bool = True) -> tuple[Op, ...]:
        """Plug one NIC of a guest, or all of them; its chains come first.

        Raises `NotFound`, `ConfigError` (nothing is plugged), `Conflict` for a tap of QEMU's that is not
        there, `KernelError`, `VerifyError`.
        """
        guest = self._guest(vmid)
        if index is not None and index not in guest.nics and index not in guest.lines:
            raise NotFound(f"guest {vmid} has no net{index} in {guest.path}")
        errors = [problem for problem in guest.problems if problem.severity == "error"]
        if errors:
            raise ConfigError(errors)
        before = dict(self._plugged.get(vmid, {}))
        fresh = dict.fromkeys([index] if index is not None else guest.nics, made_here)
        if not made_here:
            await self._require({tap_name(vmid, number) for number in fresh})
        self._plugged[vmid] = {**fresh, **before} if index is None else {**before, **fresh}
        try:
            return await self._engine.desire(f"vm:{vmid}", await self._state(guest))
        except BaseException:
            self._plugged[vmid] = before
            raise

    async def unplug(self, vmid: int, index: int | None = None) -> tuple[Op, ...]:
        """Unplug one NIC of a guest, or all; doing it twice is fine.  Raises `KernelError`, `VerifyError`."""
        before = self._plugged.get(vmid, {})
        self._plugged[vmid] = {} if index is None else {n: made for n, made in before.items() if n != index}
        guest = self._store.guest(vmid)
        wanted = await self._state(guest) if guest else {}
        return await self._engine.desire(f"vm:{vmid}", wanted)

    async def reconcile(self, vmid: int) -> tuple[Op, ...]:
        """Bring one guest to what its files say, with the NICs that are plugged.  Raises as `plug` does."""
        guest = self._store.guest(vmid)
        return await self._engine.desire(f"vm:{vmid}", await self._state(guest) if guest else {})

    def running(self) -> list[int]:
        """Return the guests with a plugged NIC."""
        return sorted(vmid for vmid, nics in self._plugged.items() if nics)

    def known(self) -> list[int]:
        """Return the guests that have a configuration, or had."""
        had = {int(owner[3:]) for owner in self._engine.owners() if owner.startswith("vm:")}
        return sorted({*self._store.guest_ids(), *self._plugged, *had})

    async def load(self, vmids: Iterable[int]) -> dict[str, str]:
        """Bring guests to what the files say; return owner → error of those that failed.

        One broken file keeps its own guest's last good chains, and nobody else's.
        """
        failed: dict[str, str] = {}
        for vmid in vmids:
            try:
                await self.reconcile(vmid)
            except PvenetError as error:
                failed[f"vm:{vmid}"] = str(error)
                log.error("guest %s stays as it is: %s", vmid, error, extra={"owner": f"vm:{vmid}"})  # noqa: TRY400
        self._engine.failed |= failed
        return failed

    async def adopt(self) -> None:
        """Take the taps that carry a guest's mark for plugged: an earlier run of the daemon did that."""
        for link in (await self._engine.observe()).values():
            if isinstance(link, Tap) and link.owner.startswith("vm:") and (found := parse_tap(link.name)):
                self._plugged.setdefault(found[0], {})[found[1]] = link.made_here

    async def noticed(self) -> None:
        """Forget taps that QEMU took with it without a word; a tap made here that is gone is made again."""
        live = await self._engine.observe()
        for vmid, nics in list(self._plugged.items()):
            lost = [
                index
                for index, made_here in nics.items()
                if ("link", tap_name(vmid, index)) not in live and not made_here
            ]
            if lost:
                self._plugged[vmid] = {index: made for index, made in nics.items() if index not in lost}
                await self.reconcile(vmid)

    async def records(self) -> list[dict[str, Any]]:
        """Return every guest with its NICs."""
        live = await self._engine.observe()
        ids = sorted({*self._store.guest_ids(), *(vmid for vmid, nics in self._plugged.items() if nics)})
        return [self._record(vmid, live) for vmid in ids]

    async def show(self, vmid: int) -> dict[str, Any]:
        """Return one guest with its NICs.  Raises `NotFound`."""
        self._guest(vmid)
        return self._record(vmid, await self._engine.observe())

    def _guest(self, vmid: int) -> Guest:
        guest = self._store.guest(vmid)
        if guest is None:
            raise NotFound(f"no guest {vmid}: there is no /etc/pvenetd/qemu-server/{vmid}.conf")
        return guest

    async def _state(self, guest: Guest) -> State:
        """Return what *guest* wants: its chains, and a port for every plugged NIC.  Raises `ConfigError`."""
        wanted: dict[Key, Resource] = {}
        problems: list[Problem] = []
        try:
            wanted |= self._firewall.guest(guest)
        except ConfigError as error:
            problems += error.problems
        plugged = self._plugged.get(guest.vmid, {})
        links = await self._links([nic for index, nic in guest.nics.items() if index in plugged])
        for index, made_here in plugged.items():
            if index in guest.nics:
                try:
                    wanted |= ports(guest, index, links, made_here=made_here)
                except ConfigError as error:
                    problems += error.problems
        if problems:
            raise ConfigError(problems)
        return wanted

    async def _require(self, taps: set[str]) -> None:
        there = await self._engine.look({("link", name) for name in taps})
        if missing := sorted(taps - {key[1] for key in there}):
            raise Conflict(f"{', '.join(missing)} is not there: QEMU makes it before it asks for its network")

    async def _links(self, nics: Collection[Nic]) -> State:
        """Return the links that the ports of *nics* depend on: as configured, else as they are."""
        configured = self._engine.owners().get(INTERFACES, {})
        keys = bridges(nics)
        links = configured if keys <= configured.keys() else scene(configured, await self._engine.look(keys))
        if more := neighbours(nics, links):
            links = scene(configured, await self._engine.look(keys | more))
        return links

    def _record(self, vmid: int, live: State) -> dict[str, Any]:
        guest = self._store.guest(vmid)
        nics = []
        for index in sorted({*(guest.nics if guest else ()), *self._plugged.get(vmid, {})}):
            nic = guest.nics.get(index) if guest else None
            tap = live.get(("link", tap_name(vmid, index)))
            nics.append(
                {
                    "nic": f"net{index}",
                    "tap": tap_name(vmid, index),
                    "config": str(nic) if nic else "",
                    "bridge": (nic.bridge or "") if nic else "",
                    "tag": nic.tag if nic else None,
                    "trunks": nic.trunks if nic else "",
                    "mac": (nic.mac or "") if nic else "",
                    "firewall": int(nic.firewall) if nic else 0,
                    "filtered": int(("chains", f"vm:{vmid}") in live and bool(nic and nic.firewall)),
                    "rate": nic.rate if nic else None,
                    "link_down": int(nic.link_down) if nic else 0,
                    "plugged": int(isinstance(tap, Tap) and bool(tap.master)),
                    "up": int(isinstance(tap, Tap) and tap.up),
                    "mtu": tap.mtu if isinstance(tap, Tap) else None,
                    "source": "file" if self._plugged.get(vmid, {}).get(index, True) else "qemu",
                }
            )
        error = self._engine.failed.get(f"vm:{vmid}", "")
        return {"vmid": vmid, "name": guest.name if guest else "", "nics": nics, "error": error}
