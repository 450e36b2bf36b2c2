"""MTUs through the whole stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pvenetd.check.scene import MAX_NESTING, Scene, implied_parent
from pvenetd.devices import Device
from pvenetd.errors import Problem
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.option import interface

_DEFAULT_MTU = 1500


def mtu_of(name: str, devices: Mapping[str, Device]) -> int:
    """Return the MTU *name* has by the configuration alone: its own, its parent's, or Ethernet's 1500."""
    return _mtu_of(name, devices, MAX_NESTING) or _DEFAULT_MTU


def usual_mtu(link: Link, devices: Mapping[str, Device]) -> int | None:
    """Return the MTU that *link* has where its stanza says nothing, None where it keeps what it has."""
    return link.usual_mtu(mtu_of(link.lower[0], devices) if link.lower else None)


def _mtu_of(name: str, devices: Mapping[str, Device], deep: int) -> int | None:
    """Return the MTU of *name*, *deep* steps down at most: a loop has its own problem."""
    link = devices[name].link if name in devices else None
    if link is not None and link.mtu is not None:
        return link.mtu
    parent = implied_parent(name) if link is None else next(iter(link.lower), None)
    below = _mtu_of(parent, devices, deep - 1) or _DEFAULT_MTU if parent and deep else None
    return below if link is None else link.usual_mtu(below)


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
    """Find tunnels whose outer packets are larger than the link they leave by, as far as that can be told.

    An MTU that is written is wrong; one that is nobody's choice is only told of: the kernel fragments.
    """
    found = [(device, device.link) for device in scene.devices.values() if device.link and device.link.overhead]
    by_address = {
        str(interface(address.address).ip): device.base
        for device in (scene.devices.values() if found else ())
        for address, _ in device.addresses
    }
    for device, link in found:
        below = next(iter(link.lower), None) or by_address.get(getattr(link, "local", ""))
        own = link.mtu or usual_mtu(link, scene.devices)
        if not below or not own:
            continue
        overhead = link.overhead
        room = mtu_of(below, scene.devices) - overhead
        if own > room:
            message = f"{device.name} has mtu {own}, its packets are {overhead} bytes longer, and {below} "
            message += f"takes {room + overhead}"
            yield device.problem(
                "mtu",
                "mtu",
                message,
                f"mtu {room}, or mtu {own + overhead} for {below}",
                severity="error" if "mtu" in device.lines else "warning",
            )
