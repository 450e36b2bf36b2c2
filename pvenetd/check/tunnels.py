"""Tunnels: each network identifier once, one way to reach the others."""

from __future__ import annotations

from collections.abc import Iterator

from pvenetd.check.scene import Scene
from pvenetd.errors import Problem
from pvenetd.kinds.vxlan import Vxlan


def vxlans(scene: Scene) -> Iterator[Problem]:
    """Find tunnels that share a network identifier, or do not say how the others are reached."""
    first: dict[tuple[int, int, bool], str] = {}
    for device in scene.devices.values():
        link = device.link
        if not isinstance(link, Vxlan):
            continue
        if (other := first.setdefault((link.vni, link.dstport, link.over_ipv6), device.name)) != device.name:
            message = f"vxlan-id {link.vni} is {other}'s, and {device.name}'s"
            yield device.problem("vxlan-id", "vxlan", message, "one tunnel a network identifier")
        group = device.spelling("svcnode")
        if link.svcnode and link.remotes:
            message = f"{device.name} has {group} and vxlan-remoteip"
            yield device.problem(group, "vxlan", message, "a group, or the end points one by one")
        if link.svcnode and not link.physdev:
            message = f"{group} without vxlan-physdev"
            yield device.problem(group, "vxlan", message, "the link its packets leave by")
        if link.physdev and not link.svcnode and not link.remotes:
            message = "vxlan-physdev without vxlan-svcnodeip"
            yield device.problem("vxlan-physdev", "vxlan", message, "the group, or vxlan-remoteip, where packets go")
        if len({":" in text for text in (link.local, link.svcnode, *link.remotes) if text}) > 1:
            message = f"{device.name} has IPv4 and IPv6 addresses"
            yield device.problem("vxlan-local-tunnelip", "vxlan", message, "the outer packets are of one family")
