"""MTUs through the whole stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_interface

from pvenetd.check.scene import MAX_NESTING, Scene, implied_parent
from pvenetd.devices import Device
from pvenetd.errors import Problem
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.vxlan import Vxlan

_DEFAULT_MTU = 1500
_VXLAN_OVERHEAD = {4: 50, 6: 70}
"""Bytes around a frame: Ethernet 14, IP 20 or 40, UDP 8, VXLAN 8 (RFC 7348 section 5)."""


def mtu_of(name: str, devices: Mapping[str, Device]) -> int:
    """Return the MTU *name* has by the configuration alone: its own, its parent's, or Ethernet's 1500."""
    for _ in range(MAX_NESTING):  # a loop has its own problem
        device = devices.get(name)
        link = device.link if device else None
        if link is not None and link.mtu is not None:
            return link.mtu
        parent = (link.lower[0] if link.like_lower else None) if link is not None else implied_parent(name)
        if parent is None:
            break
        name = parent
    return _DEFAULT_MTU


def mtus(scene: Scene) -> Iterator[Problem]:
    """Find MTUs larger than what carries them."""
    for port in scene.ports:
        master, member = port.master, scene.devices.get(port.name)
        if isinstance(master.link, Bridge) and "mtu" in master.lines:
            own, theirs = master.link.mtu or 0, mtu_of(port.name, scene.devices)
            if own > theirs and port.certain:
                message = f"{master.name} has mtu {own}, its port {port.name} only {theirs}"
                yield master.problem("mtu", "mtu", message, f"at most {theirs}, or mtu {own} for {port.name}")
        elif isinstance(master.link, Bond) and member and member.link and "mtu" in member.lines:
            own, theirs = member.link.mtu or 0, mtu_of(master.name, scene.devices)
            if own > theirs and "mtu" in master.lines:
                message = f"{port.name} has mtu {own}, its bond {master.name} only {theirs}"
                yield member.problem("mtu", "mtu", message, f"mtu {own} for {master.name}; its slaves follow it")
    for device in scene.devices.values():
        if device.link and device.link.like_lower and "mtu" in device.lines:
            (lower,) = device.link.lower
            own, theirs = device.link.mtu or 0, mtu_of(lower, scene.devices)
            if own > theirs:
                message = f"{device.name} has mtu {own}, {lower} below it only {theirs}"
                yield device.problem("mtu", "mtu", message, f"at most {theirs}, or mtu {own} for {lower}")


def tunnels(scene: Scene) -> Iterator[Problem]:
    """Find VXLANs whose outer packets are larger than the link they leave by, as far as that can be told.

    An MTU that is written is wrong; one that is nobody's choice is only told of: the kernel fragments.
    """
    by_address = {
        str(ip_interface(address.address).ip): device.base
        for device in scene.devices.values()
        for address, _ in device.addresses
    }
    for device in scene.devices.values():
        link = device.link
        if not isinstance(link, Vxlan) or link.mtu is None:
            continue
        below = getattr(link, "physdev", "") or by_address.get(link.local or "")
        if not below:
            continue
        overhead = _VXLAN_OVERHEAD[6 if ":" in (link.local or "") else 4]
        room = mtu_of(below, scene.devices) - overhead
        if link.mtu > room:
            message = f"{device.name} has mtu {link.mtu}, its packets are {overhead} bytes longer, and {below} "
            message += f"takes {room + overhead}"
            yield device.problem(
                "mtu",
                "mtu",
                message,
                f"mtu {room}, or mtu {link.mtu + overhead} for {below}",
                severity="error" if "mtu" in device.lines else "warning",
            )
