"""An interface as the API shows it: Proxmox VE's keys and types, its live state beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_interface
from typing import Any, NotRequired, cast

from typing_extensions import TypedDict

from pvenetd.devices import Device
from pvenetd.edits.keys import is_nic_name, type_of
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.edit import Draft
from pvenetd.interfaces.stanza import Iface
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import Link
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vlan import Vlan
from pvenetd.option import ZeroOne
from pvenetd.resource import Resource
from pvenetd.state import Address, Route, State

_RENAMED = {
    "slaves": "slaves",
    "bond-slaves": "slaves",
    "bond-ports": "slaves",
    "bond-mode": "bond_mode",
    "bond-miimon": "bond_miimon",
    "bond-xmit-hash-policy": "bond_xmit_hash_policy",
    "bridge-ports": "bridge_ports",
    "bridge-stp": "bridge_stp",
    "bridge-fd": "bridge_fd",
    "bridge-vids": "bridge_vids",
    "bridge-vlan-aware": "bridge_vlan_aware",
    "ovs-type": "ovs_type",
    "ovs-bridge": "ovs_bridge",
    "ovs-ports": "ovs_ports",
    "ovs-bonds": "ovs_bonds",
    "ovs-options": "ovs_options",
    "ovs-mtu": "mtu",
}
"""Options whose key in Proxmox VE's records has another spelling."""
_PLAIN = frozenset(
    """
    bond-primary bridge-access bridge-arp-nd-suppress bridge-disable-mac-learning bridge-learning
    bridge-multicast-flood bridge-unicast-flood broadcast link-type mtu uplink-id vlan-id vlan-protocol
    vlan-raw-device vxlan-id vxlan-local-tunnelip vxlan-physdev vxlan-remoteip vxlan-svcnodeip
    """.split()  # noqa: SIM905 - twenty quoted words are harder to read
)
"""Options that are keys by their own names."""
_ADDRESSING = frozenset({"address", "netmask", "gateway"})


_Spelled = TypedDict(
    "_Spelled",
    {
        "bond-primary": str,
        "bridge-access": str,
        "bridge-arp-nd-suppress": str,
        "bridge-disable-mac-learning": str,
        "bridge-learning": str,
        "bridge-multicast-flood": str,
        "bridge-unicast-flood": str,
        "link-type": str,
        "uplink-id": str,
        "vlan-id": str,
        "vlan-protocol": str,
        "vlan-raw-device": str,
        "vxlan-id": str,
        "vxlan-local-tunnelip": str,
        "vxlan-physdev": str,
        "vxlan-remoteip": str,
        "vxlan-svcnodeip": str,
    },
    total=False,
)
"""Keys that no Python name can be."""


class _Options(_Spelled, total=False):
    """What a stanza may say, by Proxmox VE's keys."""

    address: str
    netmask: str
    """The length of the prefix."""
    cidr: str
    gateway: str
    address6: str
    netmask6: str
    cidr6: str
    gateway6: str
    broadcast: str
    mtu: str
    comments: str
    """Lines, each ended."""
    comments6: str
    slaves: str
    bond_mode: str
    bond_miimon: str
    bond_xmit_hash_policy: str
    bridge_ports: str
    bridge_stp: str
    bridge_fd: str
    bridge_vids: str
    bridge_vlan_aware: ZeroOne | str
    ovs_type: str
    ovs_bridge: str
    ovs_ports: str
    ovs_bonds: str
    ovs_options: str
    ovs_tag: str
    options: list[str]
    """Lines of other options, of IPv4 or of both families."""
    options6: list[str]


class Interface(_Options):
    """An interface as Proxmox VE has it."""

    iface: str
    type: str
    method: str
    method6: str
    families: list[str]
    autostart: ZeroOne
    exists: ZeroOne
    """Whether the kernel has it."""
    active: ZeroOne
    """Whether it is up."""
    priority: int
    """Its place in the configuration."""
    altnames: NotRequired[list[str]]
    """Other names the kernel knows it by."""
    digest: NotRequired[str]
    """Of the files: an edit that names it is refused where they have changed since."""


class LiveRecord(TypedDict, total=False):
    """An interface as the kernel has it; empty where it has none."""

    kind: str
    up: ZeroOne
    mtu: int | None
    mac: str | None
    master: str
    """The bridge, bond or VRF it belongs to."""
    addresses: list[str]
    gateways: list[str]


class InterfaceRecord(Interface):
    """An interface as configured, its live state beside it."""

    origin: NotRequired[str]
    """Its line, ``FILE:LINE``; a NIC that no stanza names has none."""
    live: NotRequired[LiveRecord]


def records(config: Config, devices: Mapping[str, Device], live: State) -> list[InterfaceRecord]:
    """Return every interface of *config*, and the NICs that are in none of its stanzas."""
    drafts = {file.path: Draft(file) for file in config.files}
    autos = {*config.autos, *config.hotplug}
    carried = _carried(live)
    links = {key[1]: link for key, link in live.items() if isinstance(link, Link)}
    answering = {other: link for link in links.values() for other in link.altnames} | links
    found = [
        _record(device, answering.get(device.base), carried, auto=name in autos)
        | {"priority": number}
        | _comments(device, drafts)
        for number, (name, device) in enumerate(devices.items(), 1)
    ]
    others = [link for name, link in links.items() if _is_nic(link) and not _named(link, devices)]
    found += [
        {
            "iface": nic.name,
            "type": "eth",
            "method": "manual",
            "method6": "manual",
            "families": ["inet"],
            "exists": 1,
            "active": int(nic.up),
            "autostart": 0,
            "priority": number,
        }
        | _altnames(nic)
        for number, nic in enumerate(others, len(found) + 1)
    ]
    return cast("list[InterfaceRecord]", found)


def _record(
    device: Device, there: Resource | None, carried: Mapping[str, Sequence[Resource]], *, auto: bool
) -> dict[str, Any]:
    """Return *device* with Proxmox VE's keys and types (booleans as 0 and 1), its live state beside it."""
    physical = isinstance(there, Ethernet)
    found: dict[str, Any] = {
        "iface": device.name,
        "type": type_of(device.name, {key: line.value for key, line in device.lines.items()}, physical=physical),
        "autostart": int(auto),
        "exists": int(there is not None),
        "active": int(isinstance(there, Link) and there.up),
        "families": [stanza.family or "inet" for stanza in device.stanzas],
        "method": "manual",
        "method6": "manual",
        "origin": device.head.origin,
        "live": _live(there, carried.get(device.base, ())),
    } | _altnames(there)
    for stanza in device.stanzas:
        found["method6" if stanza.family == "inet6" else "method"] = stanza.method or "static"
    return found | _addressing(device) | _options(device.stanzas) | _by_kind(device)


def _is_nic(link: Link) -> bool:
    return isinstance(link, Ethernet) or (isinstance(link, Veth) and is_nic_name(link.name))


def _named(link: Link, devices: Mapping[str, Device]) -> bool:
    return not devices.keys().isdisjoint((link.name, *link.altnames))


def _altnames(link: Resource | None) -> dict[str, Any]:
    return {"altnames": list(link.altnames)} if isinstance(link, Link) and link.altnames else {}


def _addressing(device: Device) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for address, _ in device.addresses:
        interface = ip_interface(address.address)
        suffix = "6" if interface.version == 6 else ""
        found.setdefault(f"cidr{suffix}", str(interface))
        found.setdefault(f"address{suffix}", str(interface.ip))
        found.setdefault(f"netmask{suffix}", str(interface.network.prefixlen))
    for route, _ in device.gateways:
        found.setdefault("gateway6" if route.family == "inet6" else "gateway", route.via)
    return found


def _options(stanzas: Collection[Iface]) -> dict[str, Any]:
    """Return each known option under its key, and the lines of all others, by family."""
    found: dict[str, Any] = {}
    for stanza in stanzas:
        others = "options6" if stanza.family == "inet6" else "options"
        for option in stanza.options:
            key = _RENAMED.get(option.key) or (option.key if option.key in _PLAIN else "")
            if key:
                found[key] = option.value
            elif option.key not in _ADDRESSING:
                found.setdefault(others, []).append(f"{option.name} {option.value}")
    if "ovs_options" in found:
        words = found["ovs_options"].split()
        found["ovs_options"] = " ".join(word for word in words if not word.startswith("tag="))
        if tags := [word.removeprefix("tag=") for word in words if word.startswith("tag=")]:
            found["ovs_tag"] = tags[-1]
    return found


def _by_kind(device: Device) -> dict[str, Any]:
    """Return what an interface has though nobody said it, and what is said in several ways."""
    match device.link:
        case Bridge() as bridge:
            found: dict[str, Any] = {
                "bridge_ports": " ".join(bridge.ports),
                "bridge_stp": "on" if bridge.stp else "off",
                "bridge_fd": str(bridge.forward_delay),
            }
            return found | (
                {"bridge_vlan_aware": int(bridge.vlan_aware)} if "bridge-vlan-aware" in device.lines else {}
            )
        case Bond() as bond:
            return {"slaves": " ".join(bond.slaves), "bond_mode": bond.mode, "bond_miimon": str(bond.miimon)}
        case Vlan() as vlan:
            return {"vlan-raw-device": vlan.raw_device, "vlan-id": str(vlan.vlan_id), "vlan-protocol": vlan.protocol}
    return {}


def _comments(device: Device, drafts: Mapping[str, Draft]) -> dict[str, str]:
    """Return the comment lines of each family, each ended; those of a lone inet6 stanza are the interface's."""
    found: dict[str, str] = {}
    alone = all(stanza.family == "inet6" for stanza in device.stanzas)
    for stanza in device.stanzas:
        key = "comments6" if stanza.family == "inet6" and not alone else "comments"
        if texts := drafts[stanza.path].comments(stanza):
            found[key] = found.get(key, "") + "".join(f"{text}\n" for text in texts)
    return found


def _carried(live: State) -> dict[str, list[Resource]]:
    """Return the addresses and default routes of each link."""
    found: dict[str, list[Resource]] = {}
    for one in live.values():
        if isinstance(one, Address) or (isinstance(one, Route) and one.dst == "default"):
            found.setdefault(one.dev, []).append(one)
    return found


def _live(link: Resource | None, carried: Sequence[Resource]) -> dict[str, Any]:
    if not isinstance(link, Link):
        return {}
    return {
        "kind": link.kind,
        "up": int(link.up),
        "mtu": link.mtu,
        "mac": link.mac,
        "master": link.master or "",
        "addresses": [one.address for one in carried if isinstance(one, Address)],
        "gateways": [one.via for one in carried if isinstance(one, Route)],
    }
