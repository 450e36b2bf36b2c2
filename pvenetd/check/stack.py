"""What stands on what: parents that are there and can carry it, and nothing on itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pvenetd.check.members import role
from pvenetd.check.scene import Scene, implied_parent
from pvenetd.errors import Problem


def parents(scene: Scene) -> Iterator[Problem]:
    """Find parents that are not there, or cannot be parents."""
    for device in scene.devices.values():
        link = device.link
        for field in link.lower_fields if link else ():
            option, parent = device.spelling(field), getattr(link, field)
            if parent and not scene.has(parent):
                message = f"{device.name} stands on {parent}, which does not exist"
                yield device.problem(option, "missing-parent", message, "no stanza and no NIC has that name")
            elif parent and link and link.carriers and (parent == "lo" or ":" in parent):
                yield device.problem(option, "parent-type", f"{device.name} cannot stand on {parent}", link.carriers)
        if ":" in device.name and not scene.has(device.base):
            message = f"alias {device.name} stands on {device.base}, which does not exist"
            yield device.problem("", "missing-parent", message)


def loops(scene: Scene) -> Iterator[Problem]:
    """Find scene.devices that stand on themselves, through ports, slaves and raw scene.devices of any depth."""
    below: dict[str, set[str]] = {}
    for port in scene.ports:
        below.setdefault(port.master.name, set()).add(port.name)
        if port.name not in scene.devices and (parent := implied_parent(port.name)):
            below.setdefault(port.name, set()).add(parent)
    for device in scene.devices.values():
        if device.link and device.link.lower:
            below.setdefault(device.name, set()).update(device.link.lower)
    for device in scene.devices.values():
        if path := _way_back(device.name, below):
            lower = device.link.lower_fields if device.link else ()
            option = device.spelling(lower[0]) if lower else role(device)[0]
            yield device.problem(option, "loop", f"{device.name} stands on itself: {' → '.join(path)}")


def _way_back(name: str, below: Mapping[str, set[str]]) -> list[str]:
    seen: set[str] = set()
    stack = [[name]]
    while stack:
        path = stack.pop()
        for member in sorted(below.get(path[-1], ())):
            if member == name:
                return [*path, member]
            if member not in seen:
                seen.add(member)
                stack.append([*path, member])
    return []
