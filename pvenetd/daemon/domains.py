"""libvirt's domains: what its hook and its events tell of them, and how they are wired to us.

While a hook is answered libvirt is never asked: it waits for the hook, and would let nobody else at the domain.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from difflib import unified_diff
from typing import Protocol

from typing_extensions import TypedDict

from pvenetd.daemon.guard import Guard
from pvenetd.daemon.guests import Guests
from pvenetd.daemon.store import Store
from pvenetd.daemon.strangers import Strangers
from pvenetd.errors import ConfigError, Conflict, PvenetError, Unavailable
from pvenetd.guests import libvirt_set
from pvenetd.guests.guest import Guest
from pvenetd.guests.libvirt_adopt import Network, adopted, networks_of, parse_network
from pvenetd.guests.libvirt_xml import Domain, parse_domain
from pvenetd.guests.markup import MarkupError
from pvenetd.guests.wiring import names_us
from pvenetd.option import ZeroOne
from pvenetd.plan import Op

log = logging.getLogger("pvenetd.libvirt")

_FOLLOWED = frozenset({"prepare", "start", "started", "release", "reconnect"})
FIRST_VMID = 100


class Hypervisor(Protocol):
    """Who keeps domains' configurations."""

    async def xml(self, name: str) -> tuple[str, bool]:
        """Return the configuration of a domain, and whether it runs.  Raises `NotFound`, `Conflict`, `Unavailable`."""

    async def domains(self) -> dict[str, str]:
        """Return the configuration of every domain, by its name.  Raises `Unavailable`."""

    async def network(self, name: str) -> str:
        """Return the XML of a network.  Raises `NotFound`, `Unavailable`."""

    async def define(self, xml: str) -> None:
        """Keep *xml* as its domain's configuration.  Raises `Conflict`, `Unavailable`."""

    async def describe(self, name: str, element: str, *, live: bool) -> None:
        """Put *element*, our metadata, into a domain.  Raises `NotFound`, `Conflict`, `Unavailable`."""


def _is_known(heard: float) -> bool:
    del heard
    return False


class Adopted(TypedDict):
    """A domain that was wired to us."""

    vmid: int
    diff: str
    """What has changed in its XML, as a unified diff; empty where nothing has."""
    running: ZeroOne
    """Whether it runs: it has the wiring when it starts next."""


class Domains:
    """The domains that libvirt tells of."""

    def __init__(self, store: Store, guests: Guests, guard: Guard) -> None:
        self._store = store
        self._guests = guests
        self._strangers = Strangers(store.files, guard)
        self._marks: Counter[str] = Counter()
        """How often the hook has told of a domain, by its UUID."""
        self.connection = "off"
        """How the connection to libvirt is, for people."""
        self.hypervisor: Hypervisor | None = None
        self.hook_is_unknown: Callable[[float], bool] = _is_known
        """Returns whether libvirtd does not know our hook, by when (Unix time) it was *heard* last."""
        self._heard = 0.0

    def told(self) -> str:
        """Return how it stands with libvirt, for people."""
        if not self.hook_is_unknown(self._heard):
            return self.connection
        return (
            f"{self.connection}; libvirtd started before pvenetd's hook was installed, and does not call it: "
            "systemctl restart libvirtd (guests run on)"
        )

    async def hook(self, operation: str, name: str, xml: str) -> tuple[Op, ...]:
        """Follow what libvirt's hook tells of the domain *name*; return what was done.

        Raises what keeps a guest from starting: `ConfigError`, `Conflict`, `KernelError`, `VerifyError`.
        """
        self._heard = time.time()
        if operation not in _FOLLOWED:
            return ()
        try:
            if (domain := _told(xml, name)) is None:
                return ()
            self._marks[domain.uuid] += 1
            if operation == "prepare":
                return await self._prepare(domain, xml)
            if operation == "start":
                return await self._start(domain, xml)
            if operation == "release":
                await self._forget(domain.uuid)
            else:
                await self._define(domain, xml)
        except PvenetError as error:
            log.warning("domain %s: %s is refused: %s", name, operation, error)
            raise
        return ()

    async def _prepare(self, domain: Domain, xml: str) -> tuple[Op, ...]:
        """Load a guest's chains, and make the taps that libvirt is to find; none of the others is there yet."""
        _refuse_errors(domain)
        await self._define(domain, xml)
        return await self._plug(domain, domain.made_here)

    async def _start(self, domain: Domain, xml: str) -> tuple[Op, ...]:
        """Plug all that a guest has; QEMU does not run yet."""
        _refuse_errors(domain)
        await self._define(domain, xml)
        return await self._plug(domain, domain.attached)

    async def _define(self, domain: Domain, xml: str) -> None:
        try:
            await self._guests.define(xml, domain.name)
        except Conflict:
            if not await self._gone(domain):
                raise
            await self._guests.define(xml, domain.name)
        await self._strangers.put(domain.uuid, frozenset() if domain.guest else domain.devices)

    async def _gone(self, domain: Domain) -> bool:
        """Forget who else has the VMID of *domain* if none of its NICs is there: its end was not told."""
        vmid = domain.guest.vmid if domain.guest else 0
        known = self._store.definitions.domains().items()
        stale = [uuid for uuid, other in known if other.guest and other.guest.vmid == vmid and uuid != domain.uuid]
        if not stale or vmid in self._guests.running():
            return False
        for uuid in stale:
            await self._forget(uuid)
        return True

    async def _forget(self, uuid: str) -> None:
        await self._guests.undefine(uuid)
        await self._strangers.put(uuid, frozenset())

    async def _plug(self, domain: Domain, nics: frozenset[int]) -> tuple[Op, ...]:
        if domain.guest is None:
            return ()
        vmid = domain.guest.vmid
        guest = self._store.guest(vmid) or domain.guest
        ops: list[Op] = []
        for index in sorted(nics & guest.lines.keys()):
            ops += await self._guests.plug(vmid, index, made_here=index in domain.made_here)
        return tuple(ops)

    # what libvirt's events tell

    def running(self) -> set[str]:
        """Return the UUIDs of the domains that run, as far as is known."""
        return {*self._store.definitions.domains(), *self._strangers.known}

    def mark(self, uuid: str) -> int:
        """Return what `seen` compares: a domain that the hook tells of meanwhile is to be looked at again."""
        return self._marks[uuid]

    async def seen(self, uuid: str, xml: str | None, mark: int) -> bool:
        """Take the XML of a domain for how it is, None for that it does not run; return whether *mark* allows it.

        Raises `ConfigError`, `Conflict`.
        """
        if mark != self._marks[uuid]:
            return False
        if xml is None:
            await self._forget(uuid)
        else:
            await self._define(parse_domain(xml, uuid), xml)
        return True

    # what is changed

    async def describe(self, guest: Guest, xml: str) -> None:
        """Give the domain of *guest* the metadata that *xml* has, as it runs and as it is kept.

        Raises `NotFound`, `Conflict`, `Unavailable`, `ConfigError`.
        """
        if self.hypervisor is None:
            raise Unavailable(f"libvirt is not followed: {self.connection}")
        await self.hypervisor.describe(guest.name, libvirt_set.element(xml), live=True)
        domain, _ = self._store.definitions.define(xml, guest.name)
        self._marks[domain.uuid] += 1

    async def adopt(self, name: str, vmid: int | None = None) -> Adopted:
        """Wire the domain *name* to us, as guest *vmid*; return its VMID, what has changed, and whether it runs.

        Raises `NotFound`, `Conflict` where the VMID is another's or nothing tells one, `ConfigError`, `Unavailable`.
        """
        if self.hypervisor is None:
            raise Unavailable(f"libvirt is not followed: {self.connection}")
        before, runs = await self.hypervisor.xml(name)
        domain = _quietly(before)
        others = {other: found for other, xml in (await self.hypervisor.domains()).items() if (found := _quietly(xml))}
        number = self._number(name, vmid, domain, others)
        networks: dict[tuple[str, str], Network] = {}
        for network, portgroup in networks_of(before):
            try:
                networks[network, portgroup] = parse_network(await self.hypervisor.network(network), portgroup)
            except MarkupError as error:
                raise Conflict(f"network {network}: {error}") from error
        after = adopted(before, number, networks)
        if after != before:
            await self.hypervisor.define(after)
        diff = unified_diff(before.splitlines(), after.splitlines(), f"{name} before", f"{name} now", lineterm="")
        return {"vmid": number, "diff": "\n".join(diff), "running": int(runs)}

    def _number(self, name: str, vmid: int | None, domain: Domain | None, others: dict[str, Domain]) -> int:
        """Return the VMID that a domain is to have.  Raises `Conflict`."""
        taken = {
            found.guest.vmid: f"domain {other}" for other, found in others.items() if found.guest and other != name
        }
        for number in self._store.guest_ids():
            if (guest := self._store.guest(number)) and guest.source != "libvirt":
                taken[number] = guest.path
        wanted = vmid or (domain.guest.vmid if domain and domain.guest else None)
        if wanted is None:
            free = next(number for number in range(FIRST_VMID, FIRST_VMID + len(taken) + 1) if number not in taken)
            raise Conflict(f"nothing tells the VMID of domain {name}: say which it is to have (--vmid {free} is free)")
        if wanted in taken:
            raise Conflict(f"VMID {wanted} is taken by {taken[wanted]}")
        return wanted


def _refuse_errors(domain: Domain) -> None:
    """Raise `ConfigError` with all that is wrong with a guest."""
    problems = domain.guest.problems if domain.guest else ()
    if errors := [problem for problem in problems if problem.severity == "error"]:
        raise ConfigError(errors)


def _told(xml: str, name: str) -> Domain | None:
    """Return the domain in *xml*, None where it cannot be read and nothing in it is ours.  Raises `ConfigError`."""
    try:
        return parse_domain(xml, name)
    except ConfigError as error:
        if names_us(xml):
            raise
        log.warning("domain %s is let alone: %s", name, error)
        return None


def _quietly(xml: str) -> Domain | None:
    """Return the domain in *xml*, None where it is broken."""
    try:
        return parse_domain(xml)
    except ConfigError:
        return None
