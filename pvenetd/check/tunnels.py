"""Tunnels: each network identifier once, one way to reach the others."""

from __future__ import annotations

from collections.abc import Iterator

from pvenetd.check.scene import Scene
from pvenetd.errors import Problem
from pvenetd.kinds.vxlan import Vxlan

_GROUP = ("vxlan-svcnodeip", "vxlan-mcastgrp", "vxlan-mcastgrp6")
_WAYS = (*_GROUP, "vxlan-remoteip")


def vxlans(scene: Scene) -> Iterator[Problem]:
    """Find tunnels that share a network identifier, or do not say how the others are reached."""
    first: dict[int, str] = {}
    for device in scene.devices.values():
        if not isinstance(device.link, Vxlan):
            continue
        if (other := first.setdefault(device.link.vni, device.name)) != device.name:
            message = f"vxlan-id {device.link.vni} is {other}'s already"
            yield device.problem("vxlan-id", "vxlan", message, "one tunnel a network identifier")
        groups = [option for option in _GROUP if option in device.lines]
        if groups and "vxlan-remoteip" in device.lines:
            message = f"{device.name} has {groups[0]} and vxlan-remoteip"
            yield device.problem(groups[0], "vxlan", message, "a group, or the end points one by one")
        if groups and "vxlan-physdev" not in device.lines:
            message = f"{groups[0]} without vxlan-physdev"
            yield device.problem(groups[0], "vxlan", message, "the link its packets leave by")
        if "vxlan-physdev" in device.lines and not any(option in device.lines for option in _WAYS):
            message = "vxlan-physdev without vxlan-svcnodeip"
            yield device.problem("vxlan-physdev", "vxlan", message, "the group, or vxlan-remoteip, where packets go")
