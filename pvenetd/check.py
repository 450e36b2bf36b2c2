"""How devices stand to each other: members, parents, loops, MTUs, addresses, gateways.

Every problem is found, not only the first.  The codes are those of ``pvenetctl interfaces check``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address, ip_interface

from pvenetd import nat
from pvenetd.devices import ALWAYS_OPTION, NAT_OPTION, PORT_OPTIONS, Device
from pvenetd.errors import Problem, Severity
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Loopback
from pvenetd.kinds.vlan import Vlan
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.option import vlan_ranges, yes_no
from pvenetd.ports import Membership, memberships

_DEFAULT_MTU = 1500
_PORT_FIELDS = ("bridge-learning", "bridge-unicast-flood", "bridge-multicast-flood", "bridge-isolated")


def check(devices: Mapping[str, Device], nics: Collection[str]) -> list[Problem]:
    """Return all that is wrong between *devices*; *nics* are the links that are there without them."""
    ports = memberships(devices, nics)
    checks = (
        _members(devices, nics, ports),
        _used_twice(ports),
        _parents(devices, nics),
        _loops(devices, ports),
        _bonds(devices),
        _bridges(devices),
        _port_options(devices, ports),
        _mtus(devices, ports),
        _vxlans(devices),
        _addresses(devices, ports),
        _gateways(devices),
        _commands(devices),
        _masquerades(devices),
    )
    return [problem for found in checks for problem in found]


def implied_parent(name: str) -> str | None:
    """Return the raw device of a VLAN named ``eno1.5`` that needs no stanza, None where *name* is none."""
    values = Vlan.implied(name)
    return values.get("raw_device") if values.get("vlan_id", "").isdigit() else None


def exists(name: str, devices: Mapping[str, Device], nics: Collection[str]) -> bool:
    """Return whether *name* is there, or comes of itself as a dotted VLAN of something that is."""
    parent = implied_parent(name)
    return name in devices or name in nics or (parent is not None and exists(parent, devices, nics))


def _members(devices: Mapping[str, Device], nics: Collection[str], ports: list[Membership]) -> Iterator[Problem]:
    for port in ports:
        option, what = _role(port.master)
        if not exists(port.name, devices, nics):
            severity: Severity = "error" if port.certain else "warning"
            message = f"{what} {port.name} of {port.master.name} does not exist"
            hint = "no stanza and no NIC has that name"
            yield port.master.problem(option, "missing-member", message, hint, severity=severity)
        elif reason := _unfit(port, devices.get(port.name)):
            message = f"{port.name} can be no {what} of {port.master.name}: it is {reason}"
            yield port.master.problem(option, "member-type", message)


def _role(master: Device) -> tuple[str, str]:
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


def _used_twice(ports: list[Membership]) -> Iterator[Problem]:
    first: dict[str, Membership] = {}
    for port in ports:
        other = first.setdefault(port.name, port)
        if other.master.name != port.master.name:
            option, _ = _role(port.master)
            message = f"{port.name} is a member of {other.master.name} already"
            yield port.master.problem(option, "member-used-twice", message, "a link has one master")


def _parents(devices: Mapping[str, Device], nics: Collection[str]) -> Iterator[Problem]:
    for device in devices.values():
        link = device.link
        for field in link.lower_fields if link else ():
            option, parent = device.spelling(field), getattr(link, field)
            if parent and not exists(parent, devices, nics):
                message = f"{device.name} stands on {parent}, which does not exist"
                yield device.problem(option, "missing-parent", message, "no stanza and no NIC has that name")
            elif parent and link and link.carriers and (parent == "lo" or ":" in parent):
                yield device.problem(option, "parent-type", f"{device.name} cannot stand on {parent}", link.carriers)
        if ":" in device.name and not exists(device.base, devices, nics):
            message = f"alias {device.name} stands on {device.base}, which does not exist"
            yield device.problem("", "missing-parent", message)


def _loops(devices: Mapping[str, Device], ports: list[Membership]) -> Iterator[Problem]:
    """Find devices that stand on themselves, through ports, slaves and raw devices of any depth."""
    below: dict[str, set[str]] = {}
    for port in ports:
        below.setdefault(port.master.name, set()).add(port.name)
        if port.name not in devices and (parent := implied_parent(port.name)):
            below.setdefault(port.name, set()).add(parent)
    for device in devices.values():
        if device.link and device.link.lower:
            below.setdefault(device.name, set()).update(device.link.lower)
    for device in devices.values():
        if path := _way_back(device.name, below):
            lower = device.link.lower_fields if device.link else ()
            option = device.spelling(lower[0]) if lower else _role(device)[0]
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


def _bonds(devices: Mapping[str, Device]) -> Iterator[Problem]:
    for device in devices.values():
        if isinstance(device.link, Bond) and device.link.primary and device.link.primary not in device.link.slaves:
            message = f"bond-primary {device.link.primary} is no slave of {device.name}"
            yield device.problem(
                "bond-primary", "bond-primary", message, f"slaves: {' '.join(device.link.slaves) or 'none'}"
            )


def _bridges(devices: Mapping[str, Device]) -> Iterator[Problem]:
    for device in devices.values():
        if isinstance(device.link, Bridge) and device.link.stp and device.link.forward_delay in (0, 1):
            message = f"bridge-fd {device.link.forward_delay} with STP on"
            yield device.problem("bridge-fd", "unknown-value", message, "2 to 30 seconds, or bridge-stp off")


def _port_options(devices: Mapping[str, Device], ports: list[Membership]) -> Iterator[Problem]:
    bridge_of = {port.name: port.master for port in ports if isinstance(port.master.link, Bridge)}
    for device in devices.values():
        if isinstance(device.link, Bridge) or device.link is None:
            continue
        master = bridge_of.get(device.name)
        for option in (*PORT_OPTIONS, *_PORT_FIELDS):
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
    if option != "bridge-vids" and not (text.isascii() and text.isdigit()):
        return f"{text!r} is no VLAN id"
    if option == "bridge-pvid" and int(text) == 0:
        return ""
    try:
        vlan_ranges(text)
    except ValueError as error:
        return str(error)
    return ""


def mtu_of(name: str, devices: Mapping[str, Device]) -> int:
    """Return the MTU *name* has by the configuration alone: its own, its parent's, or Ethernet's 1500."""
    for _ in range(len(devices) + 1):  # a loop has its own problem
        device = devices.get(name)
        link = device.link if device else None
        if link is not None and link.mtu is not None:
            return link.mtu
        parent = (link.lower[0] if link.like_lower else None) if link is not None else implied_parent(name)
        if parent is None:
            break
        name = parent
    return _DEFAULT_MTU


def _mtus(devices: Mapping[str, Device], ports: list[Membership]) -> Iterator[Problem]:
    for port in ports:
        master, member = port.master, devices.get(port.name)
        if isinstance(master.link, Bridge) and "mtu" in master.lines:
            own, theirs = master.link.mtu or 0, mtu_of(port.name, devices)
            if own > theirs and port.certain:
                message = f"{master.name} has mtu {own}, its port {port.name} only {theirs}"
                yield master.problem("mtu", "mtu", message, f"at most {theirs}, or mtu {own} for {port.name}")
        elif isinstance(master.link, Bond) and member and member.link and "mtu" in member.lines:
            own, theirs = member.link.mtu or 0, mtu_of(master.name, devices)
            if own > theirs and "mtu" in master.lines:
                message = f"{port.name} has mtu {own}, its bond {master.name} only {theirs}"
                yield member.problem("mtu", "mtu", message, f"mtu {own} for {master.name}; its slaves follow it")
    for device in devices.values():
        if device.link and device.link.like_lower and "mtu" in device.lines:
            (lower,) = device.link.lower
            own, theirs = device.link.mtu or 0, mtu_of(lower, devices)
            if own > theirs:
                message = f"{device.name} has mtu {own}, {lower} below it only {theirs}"
                yield device.problem("mtu", "mtu", message, f"at most {theirs}")


def _vxlans(devices: Mapping[str, Device]) -> Iterator[Problem]:
    first: dict[int, str] = {}
    for device in devices.values():
        if isinstance(device.link, Vxlan) and (other := first.setdefault(device.link.vni, device.name)) != device.name:
            message = f"vxlan-id {device.link.vni} is {other}'s already"
            yield device.problem("vxlan-id", "vxlan", message, "one tunnel a network identifier")


def _addresses(devices: Mapping[str, Device], ports: list[Membership]) -> Iterator[Problem]:
    master_of = {port.name: port.master.name for port in ports}
    first: dict[str, str] = {}
    for device in devices.values():
        real = [
            (address, line) for address, line in device.addresses if not ip_interface(address.address).ip.is_unspecified
        ]
        if device.base in master_of and (real or "dhcp" in device.methods):
            what = f"address {real[0][0].address}" if real else "a DHCP client"
            message = f"{device.name} has {what} and is a port of {master_of[device.base]}"
            yield device.problem("address", "address-on-port", message, f"give it to {master_of[device.base]}")
        for address, line in real:
            ip = address.address.partition("/")[0]
            if ip in first:
                where = "twice" if first[ip] == device.name else f"on {first[ip]} already"
                message = f"address {ip} is {where}"
                yield Problem(line.path, line.line, "duplicate-address", message, "error", "", device.name, line.name)
            first.setdefault(ip, device.name)


def _gateways(devices: Mapping[str, Device]) -> Iterator[Problem]:
    first: dict[tuple[str, int], str] = {}
    for device in devices.values():
        networks = [ip_interface(address.address).network for address, _ in device.addresses]
        peers = {address.peer for address, _ in device.addresses}
        for route, line in device.gateways:
            other = first.setdefault((route.family, route.metric), device.name)
            if other != device.name or sum(
                found is not line and same.key == route.key for same, found in device.gateways
            ):
                message = f"a second default gateway; {other} has one of the same metric"
                hint = "only one can hold: drop it, or give it a metric"
                yield Problem(
                    line.path, line.line, "duplicate-gateway", message, "warning", hint, device.name, line.name
                )
            via = ip_address(route.via or "")
            if not via.is_link_local and route.via not in peers and not any(via in network for network in networks):
                message = f"gateway {route.via} is in none of {device.name}'s networks"
                hint = "it is taken to be on the link"
                yield Problem(
                    line.path, line.line, "gateway-unreachable", message, "warning", hint, device.name, line.name
                )


def _commands(devices: Mapping[str, Device]) -> Iterator[Problem]:
    for device in devices.values():
        if line := device.lines.get(ALWAYS_OPTION):
            try:
                yes_no(line.value)
            except ValueError as error:
                yield device.problem(ALWAYS_OPTION, "unknown-value", f"{ALWAYS_OPTION}: '{line.value}' {error}")


def _masquerades(devices: Mapping[str, Device]) -> Iterator[Problem]:
    for device in devices.values():
        if line := device.lines.get(NAT_OPTION):
            try:
                nat.of_option(line.value, (), line.origin)
            except ValueError as error:
                yield device.problem(NAT_OPTION, "unknown-value", str(error), "the interface it leaves by")
