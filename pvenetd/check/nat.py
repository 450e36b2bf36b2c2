"""NAT that cannot be, or that does something else than it seems to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pvenetd.check.scene import Scene
from pvenetd.commands import substituted
from pvenetd.devices import Device
from pvenetd.errors import Problem, Severity
from pvenetd.firewall.ruleset import TCP, Span
from pvenetd.interfaces.stanza import Line
from pvenetd.nat import command, gather, option
from pvenetd.nat.gather import Asked, Networks
from pvenetd.nat.model import PROTOCOLS, Address, Forward, Network, OneToOne, Outgoing
from pvenetd.option import interface

_OWN = {22: "SSH", 8006: "the web interface"}
"""TCP ports by which hosts are managed."""


def _at(
    line: Line, device: Device, code: str, message: str, hint: str = "", *, severity: Severity = "error"
) -> Problem:
    return Problem(line.path, line.line, code, f"{line.key}: {message}", severity, hint, device.name, line.key)


def wrong(scene: Scene) -> Iterator[Problem]:
    """Find lines that say nothing."""
    for device in scene.devices.values():
        for line in gather.lines(device):
            try:
                option.read(line.key, line.value, device.base, gather.meant(device, line))
            except option.Wrong as error:
                yield _at(line, device, error.code, str(error), error.hint)


class _Claim(NamedTuple):
    """What only one wish can have."""

    what: tuple[object, ...]
    """Of the same two, those whose ports overlap shut each other out."""
    ports: Span | None
    text: str


def duplicates(scene: Scene) -> Iterator[Problem]:
    """Find two that want the same packets: only the first would get any."""
    claimed: dict[tuple[object, ...], list[tuple[_Claim, Asked]]] = {}
    for one in scene.nat:
        for claim in _claims(one.nat):
            others = claimed.setdefault(claim.what, [])
            clash = next((other for mine, other in others if _overlap(mine.ports, claim.ports)), None)
            others.append((claim, one))
            if clash is None or _effect(clash.nat) == _effect(one.nat):
                continue
            where = "here" if clash.line is one.line else f"{clash.line.path}:{clash.line.line}"
            message = f"{claim.text} is taken by {where} already"
            severity: Severity = "warning" if one.line.key not in option.OPTIONS else "error"
            yield _at(
                one.line, one.device, "nat-duplicate", message, "the first that matches decides", severity=severity
            )


def _claims(nat: Forward | OneToOne | Outgoing) -> Iterator[_Claim]:
    if isinstance(nat, Forward):
        name = next((name for name, number in PROTOCOLS.items() if number == nat.protocol), "all")
        ports = (
            f" {nat.ports.first}" + (f"-{nat.ports.last}" if nat.ports.last != nat.ports.first else "")
            if nat.ports
            else ""
        )
        what: tuple[object, ...] = ("forward", nat.version, nat.protocol, nat.public, nat.way, nat.source)
        yield _Claim(what, nat.ports, f"{name}{ports}" + (f" of {_text(nat.public)}" if nat.public else ""))
    elif isinstance(nat, OneToOne):
        yield _Claim(("public", nat.public), None, str(nat.public))
        yield _Claim(("private", nat.private, nat.out), None, f"{nat.private} out by {nat.out}")
    else:
        what = ("outgoing", nat.version, nat.network, nat.out, nat.dest, nat.not_dest)
        yield _Claim(what, None, f"{_text(nat.network)} out by {nat.out}")


def _text(network: Network | None) -> str:
    if network is None:
        return "all"
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _overlap(one: Span | None, other: Span | None) -> bool:
    return one is None or other is None or (one.first <= other.last and other.first <= one.last)


def _effect(nat: Forward | OneToOne | Outgoing) -> tuple[object, ...]:
    """Return what comes of it: the same twice is no clash."""
    if isinstance(nat, Forward):
        return (nat.to, nat.ports, nat.to_ports)
    return (nat.public, nat.private, nat.out) if isinstance(nat, OneToOne) else (nat.kind, nat.to)


def places(scene: Scene) -> Iterator[Problem]:
    """Find interfaces that are not there, guests that nobody here has a way to, addresses that nobody answers for."""
    found = scene.nat
    networks = Networks(scene.devices.values()) if found else None
    for nat, device, line in found:
        for name in _interfaces(nat):
            if not scene.has(name):
                hint = "nothing is translated as long as it is not there"
                yield _at(line, device, "nat-interface", f"no stanza makes {name}", hint, severity="warning")
        if networks is None or isinstance(nat, Outgoing) or line.key not in option.OPTIONS:
            continue
        target = gather.target(nat)
        if networks.around(target, device.base) is None:
            own = " ".join(str(interface(text).network) for text in gather.own(device))
            message = f"{target} is in no network of the host's"
            yield _at(
                line, device, "nat-unreachable", message, f"{device.name} has {own or 'none'}", severity="warning"
            )
        yield from _unanswered(nat, device, line, networks, scene)


def _interfaces(nat: Forward | OneToOne | Outgoing) -> list[str]:
    name = nat.way if isinstance(nat, Forward) else nat.out
    return [name] if name else []


def _public(nat: Forward | OneToOne) -> Address | None:
    if isinstance(nat, OneToOne):
        return nat.public
    return nat.public.network_address if nat.public else None


def _unanswered(
    nat: Forward | OneToOne, device: Device, line: Line, networks: Networks, scene: Scene
) -> Iterator[Problem]:
    public = _public(nat)
    around = networks.around(public, device.base) if public is not None else None
    if public is None or around is None or public in _addresses(scene):
        return
    network, name = around
    message = f"{public} is in {network} of {name}, and no address of it: nobody answers for it there"
    yield _at(
        line,
        device,
        "nat-unreachable",
        message,
        f"address {public}/{public.max_prefixlen} in {name}'s stanza",
        severity="warning",
    )


def _addresses(scene: Scene) -> set[Address]:
    return {interface(text).ip for device in scene.devices.values() for text in gather.own(device)}


def own_ports(scene: Scene) -> Iterator[Problem]:
    """Find forwards that take the host's own management ports."""
    for nat, device, line in scene.nat:
        if isinstance(nat, OneToOne) and nat.public == _first_address(scene.devices.get(nat.out), nat.version):
            message = f"{nat.public} is {nat.out}'s first address: all that comes for the host goes to {nat.private}"
            hint = "an address of its own, beside the host's"
            yield _at(line, device, "nat-own-port", message, hint, severity="warning")
        if not isinstance(nat, Forward) or nat.protocol != TCP or nat.as_written or nat.ports is None:
            continue
        if nat.public is not None and nat.public.network_address not in _addresses(scene):
            continue
        for port, name in _OWN.items():
            if nat.ports.first <= port <= nat.ports.last:
                message = f"port {port} goes to {nat.to}, and {name} of the host is reached by it no more"
                yield _at(
                    line, device, "nat-own-port", message, "another port, or an address of its own", severity="warning"
                )


def _first_address(device: Device | None, version: int) -> Address | None:
    found = (interface(text).ip for text in (gather.own(device) if device else ()))
    return next((address for address in found if address.version == version), None)


def forwarding(scene: Scene) -> Iterator[Problem]:
    """Find NAT where the host is told not to route."""
    options = {4: "ip-forward", 6: "ip6-forward"}
    for nat, device, line in scene.nat:
        for name in dict.fromkeys([device.base, *_interfaces(nat)]):
            other = scene.devices.get(name)
            off = other.lines.get(options[nat.version]) if other else None
            if off is not None and off.value.lower() in ("no", "off", "0", "false"):
                message = f"{off.key} no on {name}: what comes in there is not routed, so neither translated"
                yield _at(line, device, "nat-forwarding", message, f"without {off.key}", severity="warning")


def advertised(scene: Scene) -> Iterator[Problem]:
    """Find default routes that a host which routes IPv6 does not heed: DHCPv6 leaves them to advertisements."""
    first = next((one for one in scene.nat if one.nat.version == 6), None)
    for device in scene.devices.values() if first else ():
        leased = next((one for one in device.stanzas if (one.family, one.method) == ("inet6", "dhcp")), None)
        if first and leased and "accept-ra" not in device.lines:
            message = f"with it the host routes IPv6, and {device.name} heeds router advertisements no more"
            hint = f"accept-ra 2 in {device.name}'s stanza"
            yield _at(first.line, first.device, "nat-forwarding", message, hint, severity="warning")


def needless(scene: Scene) -> Iterator[Problem]:
    """Find the conntrack zone that Proxmox VE's firewall bridges need."""
    for device in scene.devices.values():
        for _, line in device.commands:
            if command.is_needless(substituted(line.value, device.name)):
                message = (
                    "the conntrack zone for fwbr+ is not needed, and not set: guests have no firewall bridges here"
                )
                yield _at(line, device, "nat-needless", message, "drop it", severity="warning")
