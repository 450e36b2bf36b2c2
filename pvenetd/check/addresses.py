"""Addresses and gateways: once, where they belong, within reach."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from pvenetd.check.scene import Scene
from pvenetd.errors import Problem


def addresses(scene: Scene) -> Iterator[Problem]:
    """Find addresses on ports, and addresses twice."""
    master_of = {port.name: port.master.name for port in scene.ports}
    first: dict[str, str] = {}
    for device in scene.devices.values():
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


def gateways(scene: Scene) -> Iterator[Problem]:
    """Find default gateways that shut each other out, or that nothing reaches."""
    first: dict[tuple[str, int], str] = {}
    for device in scene.devices.values():
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
