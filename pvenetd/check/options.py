"""Options that fit each other, and the place they stand at: a bond's, a bridge's, a port's."""

from __future__ import annotations

from collections.abc import Iterator

from pvenetd.check.scene import Scene
from pvenetd.devices import Device
from pvenetd.errors import Problem
from pvenetd.kinds.bond import DELAYS, MODES, ONLY, Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.port import OPTIONS
from pvenetd.kinds.vrf import Vrf
from pvenetd.option import vlan_ranges, yes_no
from pvenetd.vocabulary import ALWAYS_OPTION, PORT_OPTIONS


def bonds(scene: Scene) -> Iterator[Problem]:
    """Find options of bonds that do not fit each other."""
    slaves: dict[str, list[str]] = {}
    for port in scene.ports:
        slaves.setdefault(port.master.name, []).append(port.name)
    for device in scene.devices.values():
        if (line := device.lines.get("bond-master")) and line.value != "none":
            master = scene.devices.get(line.value)
            if master is None or not isinstance(master.link, Bond):
                message = f"bond-master {line.value}: no stanza makes a bond of that name"
                yield device.problem(
                    "bond-master", "missing-member", message, f"iface {line.value} with bond-slaves none"
                )
        if isinstance(device.link, Bond):
            yield from _bond(device, device.link, slaves.get(device.name, []))


def _bond(device: Device, link: Bond, slaves: list[str]) -> Iterator[Problem]:
    if link.primary and link.primary not in slaves:
        message = f"bond-primary {link.primary} is no slave of {device.name}"
        yield device.problem("bond-primary", "bond-primary", message, f"slaves: {' '.join(slaves) or 'none'}")
    for field in sorted(link.model_fields_set & ONLY.keys()):
        option = device.spelling(field)
        if link.mode not in ONLY[field] and option in device.lines:
            message = f"{option} means nothing in mode {link.mode}"
            hint = f"it is for bond-mode {', '.join(mode for mode in MODES if mode in ONLY[field])}"
            code = "bond-primary" if field == "primary" else "bond-mode"
            yield device.problem(option, code, message, hint, severity="warning")
    if link.miimon and link.arp_interval and link.mode in ONLY["arp_interval"]:
        message = f"bond-arp-interval {link.arp_interval} beside bond-miimon {link.miimon}: the kernel does one of both"
        yield device.problem("bond-arp-interval", "unknown-value", message, "drop one of them")
    for field in DELAYS:
        option, delay = device.spelling(field), getattr(link, field)
        if delay % link.miimon if link.miimon else delay:
            message = f"{option} {delay} is no multiple of bond-miimon {link.miimon}"
            yield device.problem(option, "unknown-value", message, "the kernel rounds it down", severity="warning")


def bridges(scene: Scene) -> Iterator[Problem]:
    """Find options of bridges that do not fit each other."""
    members: dict[str, set[str]] = {}
    for port in scene.ports:
        members.setdefault(port.master.name, set()).add(port.name)
    for device in scene.devices.values():
        if isinstance(device.link, Bridge):
            yield from _bridge(device, device.link, members.get(device.name, set()))


def _bridge(device: Device, link: Bridge, members: set[str]) -> Iterator[Problem]:
    written = device.lines.get("bridge-fd") if "forward_delay" in link.model_fields_set else None
    if link.stp and written and float(written.value) != link.forward_delay:
        message = f"bridge-fd {written.value} with STP on: the kernel takes {link.forward_delay}"
        hint = "2 to 30 seconds, or bridge-stp off"
        yield device.problem("bridge-fd", "unknown-value", message, hint, severity="warning")
    if link.mcast_vlan_snooping and not link.vlan_aware:
        message = f"bridge-mcast-vlan-snooping: {device.name} is not VLAN-aware"
        yield device.problem("bridge-mcast-vlan-snooping", "unknown-value", message, "bridge-vlan-aware yes")
    for name, field, _ in link.port_settings:
        if name and name not in members:
            option = next(spelling for spelling in device.lines if OPTIONS.get(spelling) == field)
            message = f"{option} is for {name}, which is no port of {device.name}"
            yield device.problem(option, "port-option", message, f"ports: {' '.join(sorted(members)) or 'none'}")
    for option in ("bridge-vids", "bridge-pvid", "bridge-trunk"):
        if option in device.lines and not link.vlan_aware:
            message = f"{option} means nothing: {device.name} is not VLAN-aware"
            yield device.problem(option, "port-option", message, "bridge-vlan-aware yes", severity="warning")


def port_options(scene: Scene) -> Iterator[Problem]:
    """Find a bridge port's options where there is no such port, and its VLANs that are none."""
    bridge_of = {port.name: port.master for port in scene.ports if isinstance(port.master.link, Bridge)}
    for device in scene.devices.values():
        if isinstance(device.link, Bridge) or device.link is None:
            continue
        master = bridge_of.get(device.name)
        for option in (*PORT_OPTIONS, *OPTIONS):
            if option not in device.lines:
                continue
            if master is None:
                yield device.problem(option, "port-option", f"{option} on {device.name}, which is no bridge's port")
            elif option in PORT_OPTIONS and isinstance(master.link, Bridge) and not master.link.vlan_aware:
                message = f"{option} on {device.name}: {master.name} is not VLAN-aware"
                yield device.problem(option, "port-option", message, f"bridge-vlan-aware yes for {master.name}")
            elif option in PORT_OPTIONS and (wrong := _vlan_error(option, device.lines[option].value)):
                yield device.problem(option, "vlan-id-range", f"{option}: {wrong}")


def _vlan_error(option: str, text: str) -> str:
    """Return what is wrong with a port's VLANs: one id for access and pvid (0 for no pvid), ranges for vids."""
    if option == "bridge-allow-untagged":
        return ""
    if option != "bridge-vids" and not (text.isascii() and text.isdigit()):
        return f"{text!r} is no VLAN id"
    if option == "bridge-pvid" and int(text) == 0:
        return ""
    try:
        vlan_ranges(text)
    except ValueError as error:
        return str(error)
    return ""


def vrfs(scene: Scene) -> Iterator[Problem]:
    """Find VRFs that share a table, and members of VRFs that are none, or members of something else, too."""
    first: dict[int, str] = {}
    master_of = {port.name: port.master.name for port in scene.ports}
    for device in scene.devices.values():
        link = device.link
        if isinstance(link, Vrf) and (other := first.setdefault(link.table, device.name)) != device.name:
            message = f"vrf-table {link.table} is {other}'s, and {device.name}'s"
            yield device.problem("vrf-table", "unknown-value", message, "one table a VRF")
        if link is None or not link.master:
            continue
        vrf = scene.devices.get(link.master)
        if not scene.has(link.master):
            message = f"VRF {link.master} of {device.name} does not exist"
            yield device.problem("vrf", "missing-parent", message, f"a stanza for {link.master} with vrf-table auto")
        elif vrf and vrf.link and not isinstance(vrf.link, Vrf):
            yield device.problem("vrf", "parent-type", f"{link.master} is no VRF", "its stanza has vrf-table")
        elif device.name in master_of:
            message = f"{device.name} is a member of {master_of[device.name]} already"
            yield device.problem("vrf", "member-used-twice", message, "a link has one master")


def commands(scene: Scene) -> Iterator[Problem]:
    """Find a wrong word about when commands run."""
    for device in scene.devices.values():
        if line := device.lines.get(ALWAYS_OPTION):
            try:
                yes_no(line.value)
            except ValueError as error:
                yield device.problem(ALWAYS_OPTION, "unknown-value", f"{ALWAYS_OPTION}: '{line.value}' {error}")
