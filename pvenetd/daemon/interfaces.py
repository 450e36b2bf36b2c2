"""Interfaces: list, check, plan, apply, confirm, roll back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict
from ipaddress import ip_interface
from typing import Any

from pvenetd.compile import Compiled, compile_interfaces
from pvenetd.daemon.store import ACTIVE, STAGED, Store
from pvenetd.devices import Device
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Conflict, NotFound, Problem
from pvenetd.firewall.nft_base import Design
from pvenetd.interfaces.config import Config, single
from pvenetd.interfaces.syntax import parse
from pvenetd.journal import Journal, content, versions
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet, Loopback
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.vlan import Vlan
from pvenetd.plan import Op, waiting
from pvenetd.state import INTERFACES, Address, Route, State


class Interfaces:
    """The host's own interfaces."""

    def __init__(self, store: Store, engine: Engine, journal: Journal, design: Design) -> None:
        self._store = store
        self._engine = engine
        self._journal = journal
        self._design = design
        self.applied: Callable[[], Awaitable[object]] = self._nothing
        """Called when the host's addresses may have changed."""

    async def check(self, config: Config | None = None, *, nics: Collection[str] | None = None) -> tuple[Problem, ...]:
        """Return all that is wrong with *config*, or what would be applied; *nics* replace the kernel's links."""
        try:
            return (await self.compiled(config, nics=nics)).problems
        except ConfigError as error:
            return error.problems

    async def compiled(
        self, config: Config | None = None, *, staged: bool = True, nics: Collection[str] | None = None
    ) -> Compiled:
        """Return *config*, or the staged configuration, or the active one, compiled.

        Raises `ConfigError` for an unreadable file.
        """
        config = config or self._store.interfaces(staged=staged)
        return self.compile(config, await self._nics() if nics is None else nics)

    def compile(self, config: Config, nics: Collection[str]) -> Compiled:
        """Return *config* compiled."""
        return compile_interfaces(config, nics, self._design)

    async def plan(self) -> tuple[Op, ...]:
        """Return what `apply` would do.  Raises `ConfigError`."""
        wanted = (await self.compiled()).checked()
        return await self._engine.plan(INTERFACES, wanted)

    async def waiting(self) -> list[str]:
        """Return the links that are configured, and cannot be before their device turns up."""
        wanted = (await self.compiled(staged=False)).state
        keys = waiting(wanted, await self._engine.observe())
        return [key[1] for key in keys if key[0] == "link"]

    async def apply(self, confirm: float | None = None) -> tuple[Op, ...]:
        """Make the staged configuration active and bring the kernel to it.

        With *confirm*, seconds within which `confirm` has to come.  Raises `ConfigError`,
        `KernelError`, `VerifyError`, `Conflict`.
        """
        if self._engine.pending:
            raise Conflict("an apply waits to be confirmed: pvenetctl confirm, or pvenetctl rollback")
        wanted = (await self.compiled()).checked()
        await self._keep_guests(await self._engine.plan(INTERFACES, wanted))
        try:
            ops = await self._engine.apply(wanted, self._versions(), confirm)
        finally:
            await self.applied()
        return ops

    async def confirm(self) -> None:
        """Keep what was applied.  Raises `Conflict` where nothing waits."""
        await self._engine.confirm()

    async def roll_back(self) -> tuple[Op, ...]:
        """Undo what waits to be confirmed; where nothing does, return to the configuration before the last apply."""
        if self._engine.pending or self._engine.stuck():
            ops = self._engine.pending.ops if self._engine.pending else ()
            await self._engine.roll_back()
            await self.applied()
            return ops
        record = self._journal.previous()
        before = content(record["files"][ACTIVE][0]) if record else None
        if before is None:
            raise Conflict("there is no configuration before this one")
        compiled = self.compile(single(parse(before, f"/{ACTIVE}")), await self._nics())
        now = self._store.files.read(ACTIVE)
        try:
            ops = await self._engine.apply(compiled.checked(), {ACTIVE: versions(now, before)})
        finally:
            await self.applied()
        return ops

    async def _keep_guests(self, ops: tuple[Op, ...]) -> None:
        """Raise `Conflict` where a bridge would go for good that guests are plugged into."""
        made = {op.resource.key for op in ops if op.verb == "+"}
        gone = {op.resource.key for op in ops if op.verb == "-"} - made
        live = await self._engine.observe()
        cut = [link for link in live.values() if isinstance(link, Tap) and link.owner and ("link", link.master) in gone]
        if cut:
            where = ", ".join(f"{tap.name} is plugged into {tap.master}" for tap in cut)
            raise Conflict(f"{where}, which would be deleted: unplug it, or give the guest another bridge")

    async def adopt(self) -> None:
        """Take the active configuration for what an earlier run of the daemon applied, where it did."""
        good = self._good()
        if good is not None and good == self._store.files.read(ACTIVE):
            await self._engine.adopt(INTERFACES, (await self.compiled(staged=False)).state)

    async def records(
        self, config: Config | None = None, *, nics: Collection[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return every configured interface beside its live state, and NICs without one, as Proxmox VE does.

        With *nics*, nothing is asked of the kernel.
        """
        config = config or self._store.interfaces()
        compiled = await self.compiled(config, nics=nics)
        live = {} if nics is not None else await self._engine.observe()
        autos = {*config.autos, *config.hotplug}
        records = [record(device, live, auto=name in autos) for name, device in compiled.devices.items()]
        others = [link for link in live.values() if isinstance(link, Ethernet) and link.name not in compiled.devices]
        return records + [
            {"iface": nic.name, "type": "eth", "method": "manual", "exists": 1, "active": int(nic.up), "autostart": 0}
            for nic in others
        ]

    async def show(
        self, name: str, config: Config | None = None, *, nics: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Return one interface's record.  Raises `NotFound`."""
        for found in await self.records(config, nics=nics):
            if found["iface"] == name:
                return found
        raise NotFound(f"no interface {name}")

    def _versions(self) -> dict[str, list[str | None]]:
        """Return the files an apply changes, each before and after.

        An edit made in place counts as staged: when it is rolled back, the last good text is active
        again and the edit waits in the staged file.
        """
        active, staged, good = self._store.files.read(ACTIVE), self._store.files.read(STAGED), self._good()
        if staged is not None:
            return {ACTIVE: versions(active, staged), STAGED: versions(staged, None)}
        if good is not None and good != active:
            return {ACTIVE: versions(good, active), STAGED: versions(active, None)}
        return {ACTIVE: versions(active, active)}

    def _good(self) -> bytes | None:
        """Return the text of the last committed apply, None where there was none."""
        record = self._journal.previous()
        return content(record["files"][ACTIVE][1]) if record else None

    async def _nothing(self) -> None:
        pass

    async def _nics(self) -> set[str]:
        """Return the links that are there whatever the configuration says."""
        live = await self._engine.observe()
        return {link.name for link in live.values() if isinstance(link, Link) and not (link.owner and link.deletable)}


_TYPES: dict[type[Link], str] = {Bridge: "bridge", Bond: "bond", Vlan: "vlan", Loopback: "loopback", Ethernet: "eth"}


def record(device: Device, live: State, *, auto: bool) -> dict[str, Any]:
    """Return *device* with Proxmox VE's keys and types (booleans as 0 and 1), its live state beside it."""
    link = device.link
    there = live.get(("link", device.base))
    found: dict[str, Any] = {
        "iface": device.name,
        "type": "alias" if ":" in device.name else _TYPES.get(type(link), link.kind) if link else "unknown",
        "autostart": int(auto),
        "exists": int(there is not None),
        "active": int(isinstance(there, Link) and there.up),
        "families": [stanza.family or "inet" for stanza in device.stanzas],
        "origin": device.head.origin,
        "live": _live(device.base, live),
    }
    for stanza in device.stanzas:
        found["method6" if stanza.family == "inet6" else "method"] = stanza.method or "static"
    for address, _ in device.addresses:
        interface = ip_interface(address.address)
        suffix = "6" if interface.version == 6 else ""
        found.setdefault(f"cidr{suffix}", str(interface))
        found.setdefault(f"address{suffix}", str(interface.ip))
        found.setdefault(f"netmask{suffix}", str(interface.network.prefixlen))
    for route, _ in device.gateways:
        found.setdefault("gateway6" if route.family == "inet6" else "gateway", route.via)
    if "mtu" in device.lines:
        found["mtu"] = device.lines["mtu"].value
    return found | _by_kind(device)


def _by_kind(device: Device) -> dict[str, Any]:
    match device.link:
        case Bridge() as bridge:
            found: dict[str, Any] = {
                "bridge_ports": " ".join(bridge.ports),
                "bridge_stp": "on" if bridge.stp else "off",
                "bridge_fd": str(bridge.forward_delay),
            }
            if bridge.vlan_aware:
                found |= (
                    {"bridge_vlan_aware": 1, "bridge_vids": device.lines["bridge-vids"].value}
                    if ("bridge-vids" in device.lines)
                    else {"bridge_vlan_aware": 1}
                )
            return found
        case Bond() as bond:
            return {
                "slaves": " ".join(bond.slaves),
                "bond_mode": bond.mode,
                "bond_miimon": str(bond.miimon),
                **({"bond-primary": bond.primary} if bond.primary else {}),
                **({"bond_xmit_hash_policy": bond.xmit_hash_policy} if "bond-xmit-hash-policy" in device.lines else {}),
            }
        case Vlan() as vlan:
            return {"vlan-raw-device": vlan.raw_device, "vlan-id": vlan.vlan_id, "vlan-protocol": vlan.protocol}
    return {}


def _live(name: str, live: State) -> dict[str, Any]:
    link = live.get(("link", name))
    if not isinstance(link, Link):
        return {}
    return {
        "kind": link.kind,
        "up": int(link.up),
        "mtu": link.mtu,
        "mac": link.mac,
        "master": link.master or "",
        "addresses": [one.address for one in live.values() if isinstance(one, Address) and one.dev == name],
        "gateways": [
            one.via for one in live.values() if isinstance(one, Route) and one.dev == name and one.dst == "default"
        ],
    }


def shown(op: Op) -> dict[str, str]:
    """Return an operation as the API shows it."""
    return {"op": str(op), "origin": op.resource.origin}


def problem_record(problem: Problem) -> dict[str, Any]:
    """Return a problem as ``interfaces check --json`` shows it."""
    return asdict(problem)
