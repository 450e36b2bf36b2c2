"""Guests: whoever tells of one, what it is to have follows from what is (`pvenetd.guests.wanted`).

Hooks, requests and notifications leave a definition or a choice, and then ask for the same thing: that one guest
be brought to what it is to have.  So it makes no difference which of them came twice, late or not at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

from pvenetd.daemon.firewall import Firewall
from pvenetd.daemon.guest_records import GuestRecord, GuestRecords
from pvenetd.daemon.guest_rules import GuestRules
from pvenetd.daemon.made import Made
from pvenetd.daemon.retry import Retry
from pvenetd.daemon.sight import Sight
from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Conflict, NotFound, Problem, PvenetError
from pvenetd.guests.guest import Guest, Source
from pvenetd.guests.vlan_bridge import held
from pvenetd.guests.wanted import Seen, is_port, wanted
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.plan import Op
from pvenetd.resource import Key
from pvenetd.state import GUESTS

log = logging.getLogger("pvenetd.guests")


@dataclass(frozen=True, slots=True)
class _Done:
    """What has become of a guest."""

    ops: tuple[Op, ...]
    refused: dict[int, tuple[Problem, ...]]
    """NICs that should be plugged and cannot."""
    problems: tuple[Problem, ...]
    """All that is wrong, of its rules too."""


class Guests:
    """The guests of this host, defined or running."""

    def __init__(self, store: Store, engine: Engine, firewall: Firewall) -> None:
        self._store = store
        self._engine = engine
        self._firewall = firewall
        self._sight = Sight(store.definitions, engine)
        self.rules = GuestRules(store, engine, firewall)
        self._records = GuestRecords(store.definitions, engine)
        self._made = Made(store.files)
        self._retry = Retry(self._again)
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One look and what follows from it at a time: else what was seen earlier could be done later."""
        self._adopted: set[int] = set()
        """Guests that had something of ours when the daemon started."""
        self._looked_at: set[int] = set()
        """Guests that were brought to their definition since the start."""
        self._told: dict[int, str] = {}
        """VMID → the error that was told last."""
        self.brought: Callable[[int], object] = lambda _: None
        """Is called with the VMID of a guest that was brought to its definition: not all of it is the kernel's."""
        self.moved: Callable[[int], object] = lambda _: None
        """Is called with the VMID of a guest whose NICs may be others now, or gone."""

    def close(self) -> None:
        """Try nothing any more."""
        self._retry.close()

    async def plug(self, vmid: int, index: int | None = None, *, made_here: bool = True) -> tuple[Op, ...]:
        """Plug one NIC of a guest, or all of them; its chains come first.

        With *made_here*, a tap that is not there is made.  Raises `NotFound`, `ConfigError` (what it is about
        stays as it is), `Conflict` for a device that is not there, `KernelError`, `VerifyError`.
        """
        async with self._turns[vmid]:
            guest = self._guest(vmid)
            if index is not None and index not in guest.lines:
                raise NotFound(f"guest {vmid} has no net{index} in {guest.path}")
            asked = frozenset(guest.lines if index is None else [index])
            seen = await self._sight.look(guest, self._made.of(vmid))
            absent = {one for one in asked if is_port(guest, one) and guest.device(one) not in seen.devices}
            if absent and (not made_here or guest.source == "lxc"):
                missing = ", ".join(sorted(guest.device(one) for one in absent))
                raise Conflict(
                    f"{missing} is not there: {_MAKER[guest.source]} makes it before it asks for its network"
                )
            before, stay = self._made.of(vmid), self._made.of(vmid)
            self._made.put(vmid, before | absent)
            try:
                done = await self._bring(
                    guest, replace(seen, made=before | absent, asked=asked, pulled=seen.pulled - asked)
                )
                stay |= absent - done.refused.keys()
            finally:
                self._made.put(vmid, stay)
        if wrong := [problem for one in sorted(asked & done.refused.keys()) for problem in done.refused[one]]:
            raise ConfigError(dict.fromkeys(wrong))
        return done.ops

    async def unplug(self, vmid: int, index: int | None = None) -> tuple[Op, ...]:
        """Unplug one NIC of a guest, or all; doing it twice is fine.

        It stays so until its device is gone, or it is plugged again.  Raises `KernelError`, `VerifyError`.
        """
        async with self._turns[vmid]:
            guest = self._store.guest(vmid)
            if guest is None:
                return await self._leave(vmid)
            asked = frozenset(one for one in guest.lines if index in (None, one) and is_port(guest, one))
            seen = await self._sight.look(guest, self._made.of(vmid))
            done = await self._bring(guest, replace(seen, pulled=seen.pulled | asked))
            self._made.put(vmid, self._made.of(vmid) - asked)
        return done.ops

    async def reconcile(self, vmid: int) -> tuple[Op, ...]:
        """Bring one guest to what it is to have.

        Raises `ConfigError` for what is broken, after all else has been done; `KernelError`, `VerifyError`, `Conflict`.
        """
        async with self._turns[vmid]:
            guest = self._store.guest(vmid)
            if guest is None:
                return await self._leave(vmid)
            self._made.put(vmid, self._made.of(vmid) & guest.lines.keys())
            done = await self._bring(guest, await self._sight.look(guest, self._made.of(vmid)))
        if done.problems:
            raise ConfigError(done.problems)
        return done.ops

    async def doubts(self, guest: Guest, *, starting: bool = False) -> tuple[Problem, ...]:
        """Return what would keep *guest* from what it is to have as it is defined; nothing is done.

        That is about the NICs that are plugged, about all of them where it is *starting*.
        """
        seen = await self._sight.look(guest, self._made.of(guest.vmid))
        if starting:
            every = frozenset(index for index in guest.lines if is_port(guest, index))
            seen = replace(seen, made=every, pulled=frozenset())
        had = self._engine.wants(f"vm:{guest.vmid}")
        rules = await self._firewall.usable(guest, had)
        apart = self._firewall.apart(guest, rules.state)
        found = wanted(guest, replace(seen, had=had, barred=rules.barred, fwbr=apart))
        broken = () if starting else rules.problems  # it may start with the last good ones
        errors = [problem for problem in guest.problems if problem.severity == "error"]
        return tuple(dict.fromkeys([*errors, *broken, *(one for some in found.refused.values() for one in some)]))

    async def prepare(self, vmid: int) -> tuple[Op, ...]:
        """Load a guest's chains before it starts.

        Raises `NotFound`, `ConfigError` where one of its NICs could not be plugged, `KernelError`, `VerifyError`.
        """
        if wrong := await self.doubts(self._guest(vmid), starting=True):
            raise ConfigError(wrong)
        with suppress(ConfigError):  # its rules are broken: the last good ones hold
            return await self.reconcile(vmid)
        return ()

    async def define(self, xml: str, name: str = "") -> dict[str, str]:
        """Take a libvirt domain's XML for what it is now, and bring its guest to it; return owner → error.

        Raises `ConfigError`, `Conflict` (`Definitions.define`); then what was told of it before stands.
        """
        _, about = self._store.definitions.define(xml, name)
        return await self.load(sorted(about))

    async def undefine(self, uuid: str) -> dict[str, str]:
        """Forget a libvirt domain; return owner → error of the guests that this is about."""
        return await self.load(sorted(self._store.definitions.undefine(uuid)))

    def take_stanzas(self, links: Iterable[Link]) -> None:
        """Take what *links*, as the file has them, say of the ports of bridges that another program makes."""
        self._sight.stanzas = {link.name: link for link in links if isinstance(link, Bridge)}

    def running(self) -> list[int]:
        """Return the guests with a NIC that is plugged, or should be."""
        return self._sight.running()

    def known(self) -> list[int]:
        """Return the guests that are defined, or were."""
        had = {int(owner[3:]) for owner in self._engine.owners() if owner.startswith("vm:")}
        return sorted({*self._store.guest_ids(), *self._made.vmids(), *self._adopted, *had})

    async def load(self, vmids: Iterable[int]) -> dict[str, str]:
        """Bring guests to what they are to have; return owner → error of those that failed.

        One broken file keeps its own guest's last good chains, and nobody else's.
        """
        return {f"vm:{vmid}": error for vmid in vmids if (error := await self._again(vmid))}

    async def refilter(self, vmids: Iterable[int]) -> dict[str, str]:
        """Bring guests to their rules as they are now, many at once; return owner → error of those that failed.

        Where something is wrong, or was, all of the guest is looked at.
        """
        vmids = list(vmids)
        alone = [one for one in vmids if one in self._looked_at and f"vm:{one}" not in self._engine.failed]
        if self._firewall.design == "iptables":  # who is filtered from now on stands in another bridge, too
            alone = []
        async with AsyncExitStack() as turns:
            for vmid in alone:
                await turns.enter_async_context(self._turns[vmid])
            failed = await self.rules.load(alone)
        return await self.load(one for one in vmids if one not in alone or f"vm:{one}" in failed)

    async def adopt(self) -> None:
        """Take over what carries a guest's mark: an earlier run of the daemon has done that."""
        live = await self._engine.observe()
        for key, one in live.items():
            owner = one.owner if isinstance(one, Link) else key[1] if key[0] == "chains" else ""
            if owner.startswith("vm:") and owner[3:].isdecimal():
                self._adopted.add(int(owner[3:]))
                nic = self._store.definitions.holder(key[1])
                if isinstance(one, Tap) and one.made_here and nic:
                    self._made.put(nic[0], self._made.of(nic[0]) | {nic[1]})

        for owner, state in held(live).items():
            await self._engine.adopt(owner, state)

    async def sweep(self) -> None:
        """Take away what the last guest to share it has left while nobody looked."""
        try:
            await self._engine.desire(GUESTS, {})
        except PvenetError as error:
            log.error("%s", error)  # noqa: TRY400

    async def follow(self, changed: Collection[Key]) -> None:
        """Put right what somebody has done to guests' devices and bridges, and plug devices that have appeared."""
        await self.load(sorted(await self._sight.concerned(changed)))

    async def records(self) -> list[GuestRecord]:
        """Return every guest with its NICs."""
        return await self._records.all()

    async def show(self, vmid: int) -> GuestRecord:
        """Return one guest with its NICs.  Raises `NotFound`."""
        return await self._records.one(self._guest(vmid))

    def _guest(self, vmid: int) -> Guest:
        guest = self._store.guest(vmid)
        if guest is None:
            raise NotFound(f"no guest {vmid}: neither a file below /etc/pvenetd nor a libvirt domain defines it")
        return guest

    async def _bring(self, guest: Guest, seen: Seen) -> _Done:
        """Bring a guest to what it is to have by what was *seen*; what cannot be is told, and tried again."""
        owner = f"vm:{guest.vmid}"
        had = self._engine.wants(owner)
        rules = await self._firewall.usable(guest, had)
        apart = self._firewall.apart(guest, rules.state)
        found = wanted(guest, replace(seen, had=had, barred=rules.barred, fwbr=apart))
        self._sight.follow(guest, seen)
        try:
            ops = await self._engine.desire(owner, {**found.state, **rules.state})
        except PvenetError as error:
            self._failed(guest.vmid, error)
            raise
        if rules.good:
            self._firewall.loaded(guest.vmid, rules.good)
        told = dict.fromkeys([*rules.problems, *(problem for one in found.refused.values() for problem in one)])
        if told:
            self._engine.failed[owner] = str(ConfigError(told))
        if found.refused:
            self._retry.failed(guest.vmid)
        else:
            self._retry.done(guest.vmid)
        self._looked_at.add(guest.vmid)
        self.moved(guest.vmid)
        self.brought(guest.vmid)
        return _Done(ops, found.refused, tuple(told))

    async def _leave(self, vmid: int) -> tuple[Op, ...]:
        """Take from a guest that nothing defines all that it has."""
        try:
            ops = await self._engine.desire(f"vm:{vmid}", {})
        except PvenetError as error:
            self._failed(vmid, error)
            raise
        self._firewall.loaded(vmid, None)
        self._looked_at.discard(vmid)
        self._made.put(vmid, ())
        self._sight.forget(vmid)
        self._retry.done(vmid)
        self._adopted.discard(vmid)
        self.moved(vmid)
        return ops

    def _failed(self, vmid: int, error: PvenetError) -> None:
        if isinstance(error, Conflict):  # of the others the engine tells, with what has become of the host
            self._engine.failed[f"vm:{vmid}"] = str(error)
        self._retry.failed(vmid)

    async def _again(self, vmid: int) -> str:
        """Bring a guest to what it is to have, and return its error, which is logged once."""
        try:
            await self.reconcile(vmid)
        except PvenetError as error:
            text = str(error)
            if isinstance(error, ConfigError):
                self._engine.failed[f"vm:{vmid}"] = text
            if self._told.get(vmid) != text:
                log.error("guest %s: %s", vmid, text, extra={"owner": f"vm:{vmid}"})  # noqa: TRY400
            self._told[vmid] = text
            return text
        self._told.pop(vmid, None)
        return ""


_MAKER: dict[Source, str] = {"file": "QEMU", "libvirt": "libvirt", "lxc": "LXC"}
"""Who makes the devices of a guest."""
