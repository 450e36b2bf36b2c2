"""Addresses and gateways: once, where they belong, within reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

from pvenetd.check.scene import Scene
from pvenetd.cidr import Cidr, cidr
from pvenetd.devices import Device
from pvenetd.errors import Problem, Severity
from pvenetd.interfaces.stanza import Line
from pvenetd.option import interface


def real(device: Device) -> Iterator[tuple[Cidr, Line]]:
    """Yield the addresses of *device*; 0.0.0.0 and :: are an old way to say none."""
    for address, line in device.addresses:
        if not address.address.startswith(("0.0.0.0/", "::/")):
            yield cidr(address.address), line


def table(device: Device, scene: Scene) -> str:
    """Return the VRF that *device* is in, empty for the main one: what is the same in two of them is no clash."""
    base = scene.devices.get(device.base, device)
    return base.lines["vrf"].value if "vrf" in base.lines else ""


def _at(line: Line, code: str, message: str, device: Device, severity: Severity, hint: str = "") -> Problem:
    return Problem(line.path, line.line, code, message, severity, hint, device.name, line.name)


def on_ports(scene: Scene) -> Iterator[Problem]:
    """Find addresses where no packet reaches them: a port's are its master's."""
    for device in scene.devices.values():
        master = scene.master_of.get(device.base)
        if master is None:
            continue
        hint = f"give it to {master.name}"
        found = [*real(device)]
        for address, line in found:
            message = f"{device.name} has address {address} and is a port of {master.name}"
            yield _at(line, "address-on-port", message, device, "error", hint)
        if not found and "dhcp" in device.methods:
            message = f"{device.name} has a DHCP client and is a port of {master.name}"
            yield device.problem("address", "address-on-port", message, hint)


def hosts(scene: Scene) -> Iterator[Problem]:
    """Find addresses that are no host's: groups, and the first and last of a network (RFC 919, 3021, 4291)."""
    for device in scene.devices.values():
        for address, line in real(device):
            if address.is_multicast:
                message = f"address: {address.neighbour(0)} is a multicast group, no host's address"
                yield _at(line, "address", message, device, "error", "groups are joined by programs")
            elif address.host_bits <= 1:
                continue
            elif (host := address.host) == 0:
                message = f"address: {address.neighbour(0)} is the network {address.network_text} itself"
                yield _at(line, "address", message, device, "warning", f"the first host is {address.neighbour(1)}")
            elif address.version == 4 and host == (1 << address.host_bits) - 1:
                message = f"address: {address.neighbour(0)} is the broadcast address of {address.network_text}"
                yield _at(line, "address", message, device, "warning", f"the last host is {address.neighbour(-1)}")


def without_ipv6(scene: Scene) -> Iterator[Problem]:
    """Find IPv6 addresses where there is no IPv6: the kernel refuses them."""
    for device in scene.devices.values():
        off = [one for one in device.settings if one.name.endswith("/disable_ipv6") and one.value == "1"]
        for address, line in real(device) if off else ():
            if address.version == 6:
                message = f"address: {address} on {device.name}, which is to have no IPv6"
                yield _at(line, "address", message, device, "error", "without disable-ipv6")


def duplicates(scene: Scene) -> Iterator[Problem]:
    """Find addresses that two have; one for a host alone (/32, /128) may borrow another's (RFC 5309)."""
    first: dict[tuple[str, str, int, int], tuple[Device, Cidr, Line]] = {}
    for device in scene.devices.values():
        where = table(device, scene)
        for address, line in real(device):
            link = device.base if address.is_link_local else ""  # its reach is one link
            key = (where, link, address.version, address.ip)
            other, same, first_line = first.setdefault(key, (device, address, line))
            if first_line is line:
                continue
            borrowed = other.base != device.base and 0 in (address.host_bits, same.host_bits)
            place = "twice" if other is device else f"on {other.name}, and on {device.name}"
            message = f"address {address.neighbour(0)} is {place}"
            hint = f"meant where {device.name} borrows it" if borrowed else ""
            yield _at(line, "duplicate-address", message, device, "warning" if borrowed else "error", hint)


def gateways(scene: Scene) -> Iterator[Problem]:
    """Find default gateways that shut each other out, or that nothing reaches."""
    first: dict[tuple[str, str, int], str] = {}
    for device in scene.devices.values():
        if not device.gateways:
            continue
        networks = [interface(address.address).network for address, _ in device.addresses]
        own = {address.neighbour(0) for address, _ in real(device)}
        peers = {(address.peer or "").partition("/")[0] for address, _ in device.addresses}
        times = Counter(route.key for route, _ in device.gateways)
        for route, line in device.gateways:
            other = first.setdefault((table(device, scene), route.family, route.metric), device.name)
            if other != device.name or times[route.key] > 1:
                message = f"a second default gateway; {other} has one of the same metric"
                hint = "only one can hold: drop it, or give it a metric"
                yield _at(line, "duplicate-gateway", message, device, "warning", hint)
            via = ip_address(route.via or "")
            if str(via) in own:
                message = f"gateway {route.via} is {device.name}'s own address"
                yield _at(line, "gateway-unreachable", message, device, "error", "the address of the router")
            elif not via.is_link_local and route.via not in peers and not any(via in network for network in networks):
                message = f"gateway {route.via} is in none of {device.name}'s networks"
                yield _at(line, "gateway-unreachable", message, device, "warning", "it is taken to be on the link")
