"""Addresses and gateways of a stanza: ``address`` and the lines that say more of it.

In a stanza with several addresses, what stands behind one is that one's (as in ifupdown2); in one with a
single address it is the stanza's (as in ifupdown).  Of gateways and their metrics the same holds.
Sources: interfaces(5), ifupdown2's ifupdown-addons-interfaces(5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Network, ip_address
from typing import Any

from pvenetd.cidr import spelled
from pvenetd.errors import Problem, Severity
from pvenetd.interfaces.stanza import Iface, Line
from pvenetd.option import interface
from pvenetd.state import INTERFACES, Address, Route

OPTIONS = {
    "address": "an address with its prefix length, 192.0.2.1/24; several lines are several addresses",
    "netmask": "prefix length or dotted mask of an address without one",
    "broadcast": "its broadcast address; + is the last one of the network, - the first (IPv4)",
    "pointopoint": "the other end of a point-to-point link",
    "dstaddr": "the same, of method tunnel",
    "scope": "where it is valid: global, site, link, host or nowhere (IPv4)",
    "preferred-lifetime": "seconds new connections use it; 0 is never, forever the default",
    "dad-attempts": "0: do not look for duplicates of it first (IPv6)",
    "dad-interval": "kept: nobody waits for it",
    "label": "kept: the label is the alias's name",
    "network": "kept: it follows from the address",
    "address-purge": "kept: an address that is nobody's configuration always stays",
    "gateway": "where packets to everywhere go; several lines are several gateways",
    "metric": "of the gateway: the smallest is taken",
    "onlink": "take the gateway for reachable whatever the addresses are; the default where it is in no network",
}
"""Option → what it is."""
_OF_AN_ADDRESS = ("netmask", "broadcast", "pointopoint", "dstaddr", "scope", "preferred-lifetime", "dad-attempts")
_OF_A_GATEWAY = ("metric", "onlink")
_STATIC = ("static", "loopback", "tunnel", "v4tunnel", None)
_SCOPES = {"universe": "global", **{name: name for name in ("global", "site", "link", "host", "nowhere")}}
_YES = ("yes", "on", "1", "true")
_LENGTH = re.compile("[0-9.]+")

Lines = Mapping[str, Line]


def read(
    name: str, stanza: Iface, problems: list[Problem], *, inherited: bool = False
) -> tuple[list[tuple[Address, Line]], list[tuple[Route, Line]]]:
    """Return the addresses and gateways of one *stanza* of the interface *name*, each with its line.

    What others inherit from need not be whole itself.
    """
    given = [option for option in stanza.options if option.value]
    lines = [option for option in given if option.key == "address"]
    keys = [option.key for option in stanza.options]
    if "address-purge" in keys:
        _purge(stanza, given, problems)
    named = "address" in keys
    if stanza.method == "static" and stanza.family in ("inet", "inet6") and not named and not inherited:
        message = f"{stanza.name} {stanza.family} static has no address"
        hint = "address A.B.C.D/LEN"
        problems.append(Problem(stanza.path, stanza.line, "address", message, "error", hint, stanza.name))
    if stanza.method not in _STATIC:
        if lines and stanza.method in ("manual", "dhcp", "auto"):
            message = f"an address in a {stanza.method} stanza is not applied"
            problems.append(_at(lines[0], "unknown-value", message, stanza, "inet static", severity="warning"))
        return [], []
    found = [
        (address, line)
        for line, own in _grouped(given, "address", _OF_AN_ADDRESS)
        if (address := _address(name, stanza, line, own, problems))
    ]
    routes = [
        (route, line)
        for line, own in (_grouped(given, "gateway", _OF_A_GATEWAY) if "gateway" in keys else ())
        if (route := _gateway(name, stanza, line, own, problems))
    ]
    return found, routes


def _grouped(lines: list[Line], head: str, names: tuple[str, ...]) -> list[tuple[Line, Lines]]:
    """Return each line *head* with those of *names* that are its own."""
    found: list[tuple[Line, dict[str, Line]]] = []
    before: dict[str, Line] = {}
    for line in lines:
        if line.key == head:
            found.append((line, {} if found else before))
        elif line.key in names:
            (found[-1][1] if found else before)[line.key] = line
    return [(line, own) for line, own in found]


def _purge(stanza: Iface, lines: list[Line], problems: list[Problem]) -> None:
    for line in lines:
        if line.key == "address-purge" and line.value.lower() in _YES:
            message = "address-purge: addresses that others have added stay"
            hint = "only what this file asked for is ever deleted"
            problems.append(_at(line, "unknown-value", message, stanza, hint, severity="warning"))


def _at(line: Line, code: str, message: str, stanza: Iface, hint: str = "", *, severity: Severity = "error") -> Problem:
    return Problem(line.path, line.line, code, message, severity, hint, stanza.name, line.name)


def _prefix(line: Line | None, stanza: Iface, problems: list[Problem]) -> str:
    """Return the prefix length that a netmask line gives, empty where there is none or a wrong one."""
    if line is None:
        return ""
    try:
        if "." in line.value:
            return str(IPv4Network(f"0.0.0.0/{line.value}").prefixlen) if _is_mask(line.value) else _bad_mask()
        return (
            str(int(line.value)) if 0 <= int(line.value) <= (128 if stanza.family == "inet6" else 32) else _bad_mask()
        )
    except ValueError:
        hint = "255.255.255.0, or a prefix length"
        problems.append(_at(line, "netmask", f"netmask: '{line.value}' is no netmask", stanza, hint))
        return ""


def _is_mask(text: str) -> bool:
    number = int(ip_address(text))
    inverted = ~number & 0xFFFFFFFF
    return inverted & (inverted + 1) == 0


def _bad_mask() -> str:
    raise AddressValueError


def _address(name: str, stanza: Iface, line: Line, own: Lines, problems: list[Problem]) -> Address | None:
    prefix = _prefix(own.get("netmask"), stanza, problems)
    text, _, own_prefix = line.value.partition("/")
    if "/" in line.value and not _LENGTH.fullmatch(own_prefix):
        own_prefix = "?"
    try:
        address = spelled(f"{text}/{own_prefix or prefix}" if own_prefix or prefix else text)
    except ValueError:
        code = "netmask" if own_prefix and _is_ip(text) else "address"
        message = f"address: '{line.value}' does not appear to be an IPv4 or IPv6 interface"
        problems.append(_at(line, code, message, stanza, "192.0.2.1/24 or 2001:db8::1/64"))
        return None
    version = 6 if ":" in address else 4
    if stanza.family in ("inet", "inet6") and (version == 6) != (stanza.family == "inet6"):
        message = f"address: '{line.value}' in an {stanza.family} stanza"
        problems.append(_at(line, "address", message, stanza, "iface NAME inet6 static for IPv6"))
        return None
    values: dict[str, Any] = {"dev": name.partition(":")[0], "address": address, "owner": INTERFACES}
    values["origin"] = line.origin
    if ":" in name and version == 4:
        values["label"] = name
    if own:
        values |= _peer(address, own.get("pointopoint") or own.get("dstaddr"), stanza, problems)
        values |= _broadcast(address, own.get("broadcast"), stanza, problems)
        values |= _more(own, stanza, version, problems)
    return Address.model_validate(values)


def _peer(address: str, line: Line | None, stanza: Iface, problems: list[Problem]) -> dict[str, Any]:
    """Return the other end, which is what the prefix length is of (ip-address(8))."""
    if line is None:
        return {}
    mine = interface(address)
    try:
        peer = interface(line.value)
    except ValueError:
        problems.append(_at(line, "address", f"{line.key}: '{line.value}' is no address", stanza))
        return {}
    if peer.version != mine.version:
        return {}
    return {"peer": str(peer.ip), "address": f"{mine.ip}/{peer.network.prefixlen}"}


def _broadcast(address: str, line: Line | None, stanza: Iface, problems: list[Problem]) -> dict[str, Any]:
    network = interface(address).network
    if line is None or network.version == 6 or (line.value in "+-" and network.prefixlen > 30):
        return {}
    if line.value in "+-":
        return {"broadcast": str(network.broadcast_address if line.value == "+" else network.network_address)}
    if not _is_ip(line.value):
        problems.append(_at(line, "address", f"broadcast: '{line.value}' is no address", stanza, "A.B.C.D, + or -"))
        return {}
    return {"broadcast": line.value} if ip_address(line.value).version == network.version else {}


def _more(own: Lines, stanza: Iface, version: int, problems: list[Problem]) -> dict[str, Any]:
    """Return scope, lifetime, and whether to look for duplicates."""
    found: dict[str, Any] = {}
    if line := own.get("scope"):
        if line.value not in _SCOPES:
            hint = " ".join(_SCOPES)
            problems.append(_at(line, "unknown-value", f"scope: '{line.value}' does not exist", stanza, hint))
        elif version == 4:
            found["scope"] = _SCOPES[line.value]
    if (line := own.get("preferred-lifetime")) and line.value != "forever":
        found |= _number(line, stanza, problems, "preferred_lifetime", 0xFFFFFFFE)
    if line := own.get("dad-attempts"):
        attempts = _number(line, stanza, problems, "nodad", 0xFFFF)
        if version == 6 and attempts.get("nodad") == 0:
            found["nodad"] = True
    return found


def _number(line: Line, stanza: Iface, problems: list[Problem], field: str, most: int) -> dict[str, int]:
    if not re.fullmatch("[0-9]{1,19}", line.value) or int(line.value) > most:
        message = f"{line.key}: '{line.value}' should be a whole number, {most} at most"
        problems.append(_at(line, "unknown-value", message, stanza))
        return {}
    return {field: int(line.value)}


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _gateway(name: str, stanza: Iface, line: Line, own: Lines, problems: list[Problem]) -> Route | None:
    if not _is_ip(line.value):
        message = f"gateway: '{line.value}' does not appear to be an IPv4 or IPv6 address"
        problems.append(_at(line, "address", message, stanza))
        return None
    gateway = ip_address(line.value)
    values: dict[str, Any] = {"family": "inet6" if gateway.version == 6 else "inet", "via": str(gateway)}
    if metric := own.get("metric"):
        values |= _number(metric, stanza, problems, "metric", 0xFFFFFFFF)
    if (onlink := own.get("onlink")) and onlink.value.lower() in _YES:
        values["onlink"] = True
    return Route(dev=name.partition(":")[0], owner=INTERFACES, origin=line.origin, **values)
