"""Addresses and gateways of a stanza: ``address`` and the lines that say more of it.

Sources: interfaces(5), ifupdown2's ifupdown-addons-interfaces(5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Network, ip_address, ip_interface
from typing import Any

from pvenetd.errors import Problem, Severity
from pvenetd.interfaces.syntax import Iface, Line
from pvenetd.state import INTERFACES, Address, Route

OPTIONS = frozenset(
    ("address", "netmask", "gateway", "broadcast", "pointopoint", "scope", "metric", "network", "label")
)
_STATIC = ("static", "loopback", None)


def read(
    name: str, stanza: Iface, problems: list[Problem]
) -> tuple[list[tuple[Address, Line]], list[tuple[Route, Line]]]:
    """Return the addresses and gateways of one *stanza* of the interface *name*, each with its line."""
    at = {option.key: option for option in stanza.options}
    lines = [option for option in stanza.options if option.key == "address" and option.value]
    if stanza.method == "static" and stanza.family in ("inet", "inet6") and not lines and "address" not in at:
        message = f"{stanza.name} {stanza.family} static has no address"
        problems.append(
            Problem(stanza.path, stanza.line, "address", message, "error", "address A.B.C.D/LEN", stanza.name)
        )
    if stanza.method not in _STATIC:
        if lines and stanza.method == "manual":
            message = "an address in a manual stanza is not applied"
            problems.append(_at(lines[0], "unknown-value", message, stanza, "inet static", severity="warning"))
        return [], []
    prefix = _prefix(at.get("netmask"), stanza, problems)
    found = [(address, line) for line in lines if (address := _address(name, stanza, line, prefix, at, problems))]
    routes = [
        (route, line)
        for line in stanza.options
        if line.key == "gateway" and line.value and (route := _gateway(name, stanza, line, at, problems))
    ]
    return found, routes


def _at(line: Line, code: str, message: str, stanza: Iface, hint: str = "", *, severity: Severity = "error") -> Problem:
    return Problem(line.path, line.line, code, message, severity, hint, stanza.name, line.name)


def _prefix(line: Line | None, stanza: Iface, problems: list[Problem]) -> str:
    """Return the prefix length that a netmask line gives, empty where there is none or a wrong one."""
    if line is None or not line.value:
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


def _address(
    name: str, stanza: Iface, line: Line, prefix: str, at: Mapping[str, Line], problems: list[Problem]
) -> Address | None:
    text, _, own_prefix = line.value.partition("/")
    if own_prefix and not own_prefix.isdigit() and not re.fullmatch(r"[\d.]+", own_prefix):
        own_prefix = "?"
    try:
        parsed = ip_interface(f"{text}/{own_prefix or prefix}" if own_prefix or prefix else text)
    except ValueError as error:
        code = "netmask" if own_prefix and _is_ip(text) else "address"
        problems.append(_at(line, code, f"address: {error}", stanza, "192.0.2.1/24 or 2001:db8::1/64"))
        return None
    if stanza.family in ("inet", "inet6") and (parsed.version == 6) != (stanza.family == "inet6"):
        message = f"address: '{line.value}' in an {stanza.family} stanza"
        problems.append(_at(line, "address", message, stanza, "iface NAME inet6 static for IPv6"))
        return None
    values: dict[str, Any] = {
        "dev": name.partition(":")[0],
        "address": str(parsed),
        "owner": INTERFACES,
        "origin": line.origin,
    }
    if ":" in name and parsed.version == 4:
        values["label"] = name
    for option, field in (("broadcast", "broadcast"), ("pointopoint", "peer")):
        other = at.get(option)
        if not other or not other.value or other.value in "+-":
            continue
        if not _is_ip(other.value.partition("/")[0]):
            problems.append(_at(other, "address", f"{option}: '{other.value}' is no address", stanza))
        elif ip_address(other.value.partition("/")[0]).version == parsed.version:
            values[field] = other.value.partition("/")[0]
    return Address.model_validate(values)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _gateway(name: str, stanza: Iface, line: Line, at: Mapping[str, Line], problems: list[Problem]) -> Route | None:
    if not _is_ip(line.value):
        message = f"gateway: '{line.value}' does not appear to be an IPv4 or IPv6 address"
        problems.append(_at(line, "address", message, stanza))
        return None
    metric = at.get("metric")
    if metric and not metric.value.isdigit():
        problems.append(_at(metric, "unknown-value", f"metric: '{metric.value}' should be a whole number", stanza))
        return None
    gateway = ip_address(line.value)
    return Route(
        family="inet6" if gateway.version == 6 else "inet",
        metric=int(metric.value) if metric else 0,
        dev=name.partition(":")[0],
        via=str(gateway),
        owner=INTERFACES,
        origin=line.origin,
    )
