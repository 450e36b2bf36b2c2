"""An interface as the API shows it: Proxmox VE's keys and types, its live state beside it."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

from pvenetd.devices import Device
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet, Loopback
from pvenetd.kinds.link import Link
from pvenetd.kinds.vlan import Vlan
from pvenetd.state import Address, Route, State

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
