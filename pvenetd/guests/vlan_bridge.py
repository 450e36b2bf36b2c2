"""A tag on a bridge that is not VLAN-aware: ``vmbr0v20``, a bridge of its own, made of VLAN 20 of vmbr0's NICs.

Several guests share it: it is in the State of each of them, owned by `GUESTS`, and goes with the last.

Sources: Proxmox VE's documentation, "Network Configuration", VLAN on a traditional Linux bridge; its names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pvenetd.guests.nic import Wrong
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import Link
from pvenetd.kinds.vlan import Vlan
from pvenetd.names import is_ifname
from pvenetd.resource import Key, Resource
from pvenetd.state import GUESTS, State

_SETTINGS = (
    "ageing",
    "stp",
    "priority",
    "forward_delay",
    "hello",
    "max_age",
    "mcast_snooping",
    "mcast_querier",
)
"""What it has from its bridge, beside the MTU."""
_DEFAULTS = Bridge.model_fields


@dataclass(frozen=True, slots=True)
class Switch:
    """The bridge that a guest's port is to be in, and what has to be there for it."""

    bridge: Bridge
    shared: Mapping[Key, Resource] = field(default_factory=dict)
    """The bridge and its ports, where they are made for guests; empty where it is there anyway."""


def name_of(bridge: str, tag: int) -> str:
    """Return the name of the bridge for VLAN *tag* of *bridge*."""
    return f"{bridge}v{tag}"


def about(bridge: str, tag: int) -> set[Key]:
    """Return the keys to look at before a NIC with *tag* is plugged into *bridge*, the bridge's own apart."""
    return {("link", name_of(bridge, tag)), ("ports", bridge), ("vlans", str(tag))}


def for_vlan(bridge: Bridge, tag: int, links: State, origin: str) -> tuple[Switch | None, list[Wrong]]:
    """Return the bridge for VLAN *tag* of *bridge*, None where there can be none, and what keeps it from being.

    *links* are those there are or will be: ports of *bridge*, VLANs with that number, a bridge of that name.
    """
    name = name_of(bridge.name, tag)
    there = links.get(("link", name))
    if isinstance(there, Bridge) and there.owner not in ("", GUESTS):
        return Switch(there), []
    ports = [link for link in links.values() if isinstance(link, Link) and link.master == bridge.name]
    physical = [link for link in ports if isinstance(link, Ethernet | Bond | Vlan)]
    wrong = [*_impossible(bridge, tag, physical), *(one for port in physical for one in _taken(port, tag, name, links))]
    if wrong:
        return None, wrong
    vlans = [_vlan(port, tag, name, bridge.mtu, origin) for port in physical]
    settings = {name: value for name in _SETTINGS if (value := getattr(bridge, name)) != _DEFAULTS[name].default}
    made = Bridge(name=name, ports=tuple(vlan.name for vlan in vlans), disable_ipv6=True, owner=GUESTS, origin=origin)
    made = made.model_copy(update={**settings, "mtu": bridge.mtu, "disable_learning": bridge.disable_learning})
    return Switch(made, {one.key: one for one in (made, *vlans)}), []


def held(live: State) -> dict[str, dict[Key, Resource]]:
    """Return, by owner, what guests hold of what they share, each with the port by which it does.

    So a daemon that has just started knows who needs it, however broken that guest's configuration is by now.
    """
    links = [link for link in live.values() if isinstance(link, Link)]
    shared = [link.model_copy(update={"mac": None}) for link in links if link.owner == GUESTS]
    bridges = {link.name: [link] for link in shared if link.kind == "bridge"}
    for link in shared:
        if link.master in bridges:
            bridges[link.master].append(link)
    found: dict[str, dict[Key, Resource]] = {}
    for link in links:
        if link.owner.startswith("vm:") and link.master in bridges:
            found.setdefault(link.owner, {}).update({one.key: one for one in (*bridges[link.master], link)})
    return found


def _vlan(port: Link, tag: int, master: str, mtu: int | None, origin: str) -> Vlan:
    """Return VLAN *tag* of *port*: of the bridge's MTU, as far as the port goes."""
    known = [size for size in (mtu, port.mtu) if size]
    vlan = Vlan(
        name=f"{port.name}.{tag}",
        raw_device=port.name,
        vlan_id=tag,
        master=master,
        disable_ipv6=True,
        owner=GUESTS,
        origin=origin,
    )
    return vlan.model_copy(update={"mtu": min(known, default=None)})


def _impossible(bridge: Bridge, tag: int, physical: Sequence[Link]) -> Iterator[Wrong]:
    """Yield why there can be no such bridge."""
    hint = f"bridge-vlan-aware yes for {bridge.name}"
    if not physical:
        message = f"tag: '{tag}' on {bridge.name}, which is not VLAN-aware and has no physical port"
        yield "port-option", "tag", message, hint
    for name in (name_of(bridge.name, tag), *(f"{port.name}.{tag}" for port in physical)):
        if not is_ifname(name):
            yield "ifname", "tag", f"tag: '{tag}' on {bridge.name}: {name} is longer than 15 letters", hint


def _taken(port: Link, tag: int, master: str, links: State) -> Iterator[Wrong]:
    """Yield what has VLAN *tag* of *port* already: a link has one of each number."""
    for link in links.values():
        if not isinstance(link, Link) or link.owner == GUESTS:
            continue
        same = isinstance(link, Vlan) and (link.raw_device, link.vlan_id) == (port.name, tag)
        if link.name != f"{port.name}.{tag}" and not (same and getattr(link, "protocol", "") == "802.1q"):
            continue
        if not same or link.owner or link.master != master:
            where = f" ({link.origin})" if link.origin else ""
            message = f"tag: '{tag}': VLAN {tag} of {port.name} is {link.name} already{where}"
            yield "member-used-twice", "tag", message, f"bridge-ports {link.name} for a bridge of its own"
