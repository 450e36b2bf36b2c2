"""Ports and slaves: there, fit to be one, of one master."""

from __future__ import annotations

from collections.abc import Iterator

from pvenetd.check.scene import Scene
from pvenetd.devices import Device
from pvenetd.errors import Problem, Severity
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Loopback
from pvenetd.kinds.vlan import Vlan
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.ports import Membership


def members(scene: Scene) -> Iterator[Problem]:
    """Find members that are not there, or cannot be members."""
    for port in scene.ports:
        option, what = role(port.master)
        if not scene.has(port.name):
            severity: Severity = "error" if port.certain else "warning"
            message = f"{what} {port.name} of {port.master.name} does not exist"
            hint = "no stanza and no NIC has that name"
            yield port.master.problem(option, "missing-member", message, hint, severity=severity)
        elif reason := _unfit(port, scene.devices.get(port.name)):
            message = f"{port.name} can be no {what} of {port.master.name}: it is {reason}"
            yield port.master.problem(option, "member-type", message)


def role(master: Device) -> tuple[str, str]:
    """Return the option that names *master*'s members, as it is spelt, and what they are called."""
    if isinstance(master.link, Bond):
        spelled = next(
            (name for name in ("bond-slaves", "bond-ports", "slaves") if name in master.lines), "bond-slaves"
        )
        return spelled, "slave"
    return "bridge-ports", "port"


def _unfit(port: Membership, device: Device | None) -> str:
    """Return what *device* is that cannot be a member there, empty where it can."""
    link = device.link if device else None
    if ":" in port.name:
        return "an alias"
    if isinstance(link, Loopback):
        return "the loopback interface"
    if isinstance(port.master.link, Bridge) and isinstance(link, Bridge) and port.name != port.master.name:
        return "a bridge"
    if isinstance(port.master.link, Bond) and isinstance(link, Bridge | Vlan | Vxlan):
        return f"a {link.kind}; NICs can"
    return ""


def used_twice(scene: Scene) -> Iterator[Problem]:
    """Find members of two masters."""
    first: dict[str, Membership] = {}
    for port in scene.ports:
        other = first.setdefault(port.name, port)
        if other.master.name != port.master.name:
            option, _ = role(port.master)
            message = f"{port.name} is a member of {other.master.name} already"
            yield port.master.problem(option, "member-used-twice", message, "a link has one master")
