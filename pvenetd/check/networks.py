"""Networks: each behind one interface, or a host does not know where to send."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pvenetd.check.addresses import real, table
from pvenetd.check.scene import Scene
from pvenetd.cidr import Cidr
from pvenetd.devices import Device
from pvenetd.errors import Problem
from pvenetd.interfaces.stanza import Line


def overlaps(scene: Scene) -> Iterator[Problem]:
    """Find networks that lie in another interface's: an admin may mean it, so it is only told."""
    of: defaultdict[tuple[str, int], list[tuple[Cidr, Line, Device]]] = defaultdict(list)
    for device in scene.devices.values():
        for address, line in real(device):
            if address.host_bits and not address.is_link_local:
                of[table(device, scene), address.version].append((address, line, device))
    for found in of.values():
        # Networks lie in each other or apart: sorted so, those around one are on a stack.
        found.sort(key=lambda entry: (entry[0].network, entry[0].length))
        around: list[tuple[Cidr, Device]] = []
        for address, line, device in found:
            while around and not around[-1][0].has(address):
                around.pop()
            other = next((entry for entry in reversed(around[-4:]) if entry[1].base != device.base), None)
            if other and address.ip != other[0].ip:
                mine, theirs = address.network_text, other[0].network_text
                message = f"network {mine} of {device.name} overlaps {theirs} of {other[1].name}"
                hint = "answers may leave by the other; networks of their own, or a VRF"
                yield Problem(
                    line.path, line.line, "overlapping-networks", message, "warning", hint, device.name, line.name
                )
            around.append((address, device))
