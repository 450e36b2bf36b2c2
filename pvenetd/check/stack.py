"""What stands on what: parents that are there and can carry it, and nothing on itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pvenetd.check.scene import MAX_NESTING, Scene, implied, members_option
from pvenetd.devices import Device
from pvenetd.errors import Problem
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.vlan import Vlan

_NO_VLANS = ("vxlan", "vrf", "gre", "ipip", "sit", "ip6tnl", "vti", "vti6", "ip6gre", "wireguard", "loopback")
"""Kinds that carry no VLANs: no Ethernet in them, or a VXLAN's segments, which have no tags (RFC 7348 6.1)."""
_SHOWN = 16
"""Links of a circle that are named."""


def parents(scene: Scene) -> Iterator[Problem]:
    """Find parents that are not there, or cannot be parents."""
    for device in scene.devices.values():
        link = device.link
        for field in link.lower_fields if link else ():
            parent = getattr(link, field)
            if not parent or not link:
                continue
            if not scene.has(parent):
                message = f"{device.name} stands on {parent}, which does not exist"
                yield device.problem(
                    device.spelling(field), "missing-parent", message, "no stanza and no NIC has that name"
                )
            elif link.carriers and (reason := _unfit(scene, link.kind, parent)):
                message = f"{device.name} cannot stand on {parent}{reason}"
                yield device.problem(device.spelling(field), "parent-type", message, link.carriers)
            elif isinstance(link, Vlan) and isinstance(getattr(scene.master_of.get(parent), "link", None), Bond):
                message = f"{device.name} stands on {parent}, a slave of {scene.master_of[parent].name}"
                hint = f"vlan-raw-device {scene.master_of[parent].name}: a slave's frames are the bond's"
                yield device.problem(device.spelling(field), "parent-type", message, hint, severity="warning")
        if ":" in device.name:
            yield from _alias(scene, device)


def _unfit(scene: Scene, kind: str, parent: str) -> str:
    """Return what *parent* is, in words, where it carries no link of *kind*; empty where it may."""
    found = scene.devices.get(parent)
    if ":" in parent:
        return ", an alias"
    if parent == "lo":
        return ", the loopback interface"
    if kind == "vlan" and found and found.ovs:
        return ", which is Open vSwitch's"
    if kind == "vlan" and found and found.link and found.link.kind in _NO_VLANS:
        return f", a {found.link.kind}"
    return ""


def _alias(scene: Scene, device: Device) -> Iterator[Problem]:
    if not scene.has(device.base):
        message = f"alias {device.name} stands on {device.base}, which does not exist"
        yield device.problem("", "missing-parent", message, "no stanza and no NIC has that name")
    elif device.base not in scene.devices:
        message = f"alias {device.name} stands on {device.base}, which has no stanza"
        hint = f"iface {device.base} inet manual, and auto {device.base}"
        yield device.problem("", "missing-parent", message, hint, severity="warning")


def same_vlan(scene: Scene) -> Iterator[Problem]:
    """Find two links that are the same VLAN of the same parent: the kernel makes one."""
    first: dict[tuple[str, int, str], str] = {}
    for link, device, option in scene.vlans:
        other = first.setdefault((link.raw_device, link.vlan_id, link.protocol), link.name)
        if other != link.name:
            message = f"{link.name} is VLAN {link.vlan_id} of {link.raw_device}, and so is {other}"
            yield device.problem(option, "duplicate-vlan", message, f"use {other}, or another vlan-id", word=link.name)


def loops(scene: Scene) -> Iterator[Problem]:
    """Find devices that stand on themselves, through ports, slaves and raw devices of any depth."""
    below = _standing(_below(scene))
    for circle in _circles(below):
        for device in filter(None, map(scene.devices.get, circle)):
            path = [] if len(circle) > _SHOWN else _way_back(device.name, below, circle)
            shown = " → ".join(path) or f"a circle of {len(circle)} links"
            lower = device.link.lower_fields if device.link else ()
            option = device.spelling(lower[0]) if lower else members_option(device)
            word = path[1] if path else ""
            yield device.problem(option, "loop", f"{device.name} stands on itself: {shown}", word=word)


def _below(scene: Scene) -> dict[str, set[str]]:
    """Return by name what each link stands on, its ports and members too."""
    below: dict[str, set[str]] = {}
    for port in scene.ports:
        below.setdefault(port.master.name, set()).add(port.name)
        if port.name not in scene.devices:
            for vlan in implied(port.name):
                below.setdefault(vlan.name, set()).add(vlan.raw_device)
    for device in scene.devices.values():
        if (link := device.link) is None:
            continue
        if link.master:
            below.setdefault(link.master, set()).add(device.name)
        if lower := link.lower:
            below.setdefault(device.name, set()).update(lower)
            for parent in lower:
                for vlan in implied(parent) if parent not in scene.devices else ():
                    below.setdefault(vlan.name, set()).add(vlan.raw_device)
    return below


def _standing(below: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return *below* without nearly all that is in no circle: what it stands on stands on nothing."""
    for _ in range(MAX_NESTING):
        below = {name: lower for name, lower in below.items() if not below.keys().isdisjoint(lower)}
    return below


def _circles(below: Mapping[str, set[str]]) -> list[set[str]]:
    """Return the strongly connected parts that are circles (Tarjan 1972, without recursion)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    on_path: dict[str, None] = {}
    found: list[set[str]] = []
    for root in below:
        if root in number:
            continue
        number[root] = low[root] = len(number)
        on_path[root] = None
        work = [(root, iter(sorted(below[root])))]
        while work:
            name, rest = work[-1]
            for other in rest:
                if other not in number:
                    number[other] = low[other] = len(number)
                    on_path[other] = None
                    work.append((other, iter(sorted(below.get(other, ())))))
                    break
                if other in on_path:
                    low[name] = min(low[name], number[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == number[name]:
                    part = _taken(on_path, name)
                    if len(part) > 1 or name in below.get(name, ()):
                        found.append(part)
    return found


def _taken(on_path: dict[str, None], name: str) -> set[str]:
    part: set[str] = set()
    while name not in part:
        part.add(on_path.popitem()[0])
    return part


def _way_back(name: str, below: Mapping[str, set[str]], circle: set[str]) -> list[str]:
    """Return a shortest way from *name* to itself within *circle*."""
    ways = [[name]]
    seen: set[str] = set()
    for way in ways:
        for other in sorted(below.get(way[-1], set()) & circle):
            if other == name:
                return [*way, other]
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []
