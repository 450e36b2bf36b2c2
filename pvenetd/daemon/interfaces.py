"""Interfaces: list, check, show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from ipaddress import ip_interface
from typing import Any

from pvenetd.daemon.applies import Applies
from pvenetd.devices import Device
from pvenetd.errors import ConfigError, NotFound, Problem
from pvenetd.interfaces.config import Config
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet, Loopback
from pvenetd.kinds.link import Link
from pvenetd.kinds.vlan import Vlan
from pvenetd.state import Address, Route, State


class Interfaces(Applies):
    """The host's own interfaces."""

    async def check(self, config: Config | None = None, *, nics: Collection[str] | None = None) -> tuple[Problem, ...]:
        """Return all that is wrong with *config*, or what would be applied; *nics* replace the kernel's links."""
        try:
            return (await self.compiled(config, nics=nics)).problems
        except ConfigError as error:
            return error.problems

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


def problem_record(problem: Problem) -> dict[str, Any]:
    """Return a problem as ``interfaces check --json`` shows it."""
    return asdict(problem)
