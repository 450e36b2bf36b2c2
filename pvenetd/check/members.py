"""Ports and slaves: there, fit to be one, of one master."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from pvenetd.check.scene import Scene, is_vlan_id, members_option
from pvenetd.devices import Device
from pvenetd.errors import Problem, Severity
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Loopback
from pvenetd.kinds.vlan import Vlan
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.names import is_ifname
from pvenetd.ports import Membership

_NO_PORTS = ("macvlan", "vrf", "gre", "ipip", "sit", "ip6tnl", "vti", "vti6", "ip6gre", "wireguard")
"""Kinds that the kernel lets into no bridge and no bond: without Ethernet, or stacked already (IFF_DONT_BRIDGE)."""
_OVS_MODES = ("active-backup", "balance-slb", "balance-tcp")
"""Of an Open vSwitch bond (ovs-vswitchd.conf.db(5))."""


def members(scene: Scene) -> Iterator[Problem]:
    """Find members that are not there, or cannot be members."""
    for port in scene.ports:
        if not scene.has(port.name):
            option, what = members_option(port.master), _what(port.master)
            yield _missing(scene, port.master, option, what, port.name, certain=port.certain)
        elif port.name not in scene.devices and not is_ifname(port.name) and ":" not in port.name:
            message = f"the kernel takes no name like '{port.name}'"
            hint = "at most 15 bytes; a stanza of another name with vlan-id and vlan-raw-device"
            yield port.master.problem(members_option(port.master), "ifname", message, hint, word=port.name)
        elif port.name not in scene.devices and port.name not in scene.nics and (wrong := _no_vlan(port.name)):
            message = f"{port.name}: VLAN id {wrong} is outside 1-4094"
            yield port.master.problem(members_option(port.master), "vlan-id-range", message, word=port.name)
        elif reason := _unfit(port, scene.devices.get(port.name)):
            message = f"{port.name} can be no {_what(port.master)} of {port.master.name}: it is {reason}"
            yield port.master.problem(members_option(port.master), "member-type", message, word=port.name)


def _no_vlan(name: str) -> str:
    """Return the number in *name*, a VLAN's without a stanza, where none can have it."""
    number = Vlan.implied(name).get("vlan_id", "1")
    return "" if is_vlan_id(number) else number[:9]


def _what(master: Device) -> str:
    return "slave" if isinstance(master.link, Bond) else "port"


def _missing(scene: Scene, master: Device, option: str, what: str, name: str, *, certain: bool = True) -> Problem:
    severity: Severity = "error" if certain else "warning"
    message = f"{what} {name} of {master.name} does not exist"
    near = get_close_matches(name, [*list(scene.nics)[:64], *list(scene.devices)[:64]], 1, 0.8)
    near = [other for other in near if other not in (name, master.name)]
    hint = f"no stanza and no NIC has that name{f'; did you mean {near[0]}?' if near else ''}"
    return master.problem(option, "missing-member", message, hint, severity=severity, word=name)


def _unfit(port: Membership, device: Device | None) -> str:
    """Return what *device* is that cannot be a member there, empty where it can."""
    link = device.link if device else None
    if ":" in port.name:
        return "an alias"
    if isinstance(link, Loopback) or port.name == "lo":
        return "the loopback interface"
    if link and link.kind in _NO_PORTS:
        return f"a {link.kind}, which carries no others' frames"
    if isinstance(port.master.link, Bridge) and isinstance(link, Bridge) and port.name != port.master.name:
        return "a bridge"
    if isinstance(port.master.link, Bond) and isinstance(link, Bridge | Vlan | Vxlan):
        return f"a {link.kind}; NICs can"
    if isinstance(port.master.link, Bond) and device is None and Vlan.implied(port.name).get("raw_device"):
        return "a vlan; NICs can"
    if device and device.ovs:
        return "Open vSwitch's"
    return ""


def used_twice(scene: Scene) -> Iterator[Problem]:
    """Find members of two masters, and those named twice by one."""
    first: dict[str, Device] = {}
    named: set[tuple[str, str]] = set()
    for master, name, certain in _all(scene):
        other = first.setdefault(name, master)
        if other.name != master.name:
            message = f"{name} is a member of {other.name}, and of {master.name}"
            severity: Severity = "error" if certain else "warning"
            hint = "a link has one master"
            option = members_option(master)
            yield master.problem(option, "member-used-twice", message, hint, severity=severity, word=name)
        elif (master.name, name) in named and certain:
            message = f"{name} stands twice among the {_what(master)}s of {master.name}"
            option = members_option(master)
            yield master.problem(option, "member-used-twice", message, "once is enough", severity="warning")
        named.add((master.name, name))


def _all(scene: Scene) -> Iterator[tuple[Device, str, bool]]:
    place = {name: number for number, name in enumerate(scene.devices)}
    found = [(port.master, port.name, port.certain or port.name in scene.devices) for port in scene.ports]
    found += [(master, name, True) for master, name, _ in _of_open_vswitch(scene)]
    yield from sorted(found, key=lambda entry: place[entry[0].name])


def _of_open_vswitch(scene: Scene) -> Iterator[tuple[Device, str, str]]:
    for device in scene.devices.values():
        if device.ovs:
            for option in ("ovs-ports", "ovs-bonds"):
                words = device.lines[option].words if option in device.lines else ()
                yield from ((device, word, option) for word in dict.fromkeys(words) if word != "none")


def open_vswitch(scene: Scene) -> Iterator[Problem]:
    """Find what Open vSwitch would not take: members that are not there or unfit, modes it lacks, MTUs too large."""
    for master, name, option in _of_open_vswitch(scene):
        what = "slave" if option == "ovs-bonds" else "port"
        member = scene.devices.get(name)
        if not scene.has(name):
            yield _missing(scene, master, option, what, name)
        elif member and isinstance(member.link, Bridge | Bond if what == "port" else Bridge | Bond | Vlan):
            message = f"{name} can be no {what} of {master.name}: it is a {member.link.kind}"
            yield master.problem(option, "member-type", message, word=name)
        elif member and what == "port" and (own := _mtu(member)) > max(_mtu(master), 1500):
            message = f"{name} has ovs-mtu {own}, its bridge {master.name} only {max(_mtu(master), 1500)}"
            yield member.problem("ovs-mtu", "mtu", message, f"ovs-mtu {own} for {master.name}")
    for device in scene.devices.values():
        if device.ovs and "ovs-bonds" in device.lines and "ovs-options" in device.lines:
            mode = re.search(r"(?:^|\s)bond_mode=(\S*)", device.lines["ovs-options"].value)
            if mode and mode[1] not in _OVS_MODES:
                message = f"Open vSwitch has no bond mode '{mode[1]}'"
                yield device.problem("ovs-options", "bond-mode", message, f"one of {', '.join(_OVS_MODES)}")


def _mtu(device: Device) -> int:
    line = device.lines.get("ovs-mtu")
    return int(line.value) if line and re.fullmatch("[0-9]{1,9}", line.value) else 0
