"""What a stanza's method and its ``dns-`` lines ask other programs for: a DHCP client, a resolver's entry.

Sources: interfaces(5), resolvconf(8), resolvconf.conf(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any

from pvenetd.errors import Problem, Severity
from pvenetd.interfaces.stanza import Iface, Line
from pvenetd.state import INTERFACES, Client, Dns

OPTIONS = {
    "hostname": "the name the DHCP client tells the server",
    "leasetime": "seconds of the lease that it asks for",
    "leasehours": "hours of the lease that it asks for",
    "vendor": "its vendor class",
    "client": "its client identifier; no for none of its own",
    "request-prefix": "ask for a prefix to delegate, too (DHCPv6)",
    "dhcp": "with the method auto: ask for DNS servers and the like by DHCPv6",
    "ll-attempts": "how often to look for a link-local address before DHCPv6 begins (60)",
    "ll-interval": "seconds between two looks (0.1)",
    "dns-nameservers": "name servers, handed to resolvconf or systemd-resolved where one is installed",
    "dns-nameserver": "one name server; several lines are several",
    "dns-search": "domains that short names are looked up in",
    "dns-domain": "the local domain",
    "dns-sortlist": "networks whose addresses are preferred (resolv.conf(5))",
    "dns-options": "options of the resolver (resolv.conf(5))",
}
"""Option → what it is."""
NOT_APPLIED = frozenset({"bootp", "ppp", "wvdial", "ipv4ll", "6to4"})
"""Methods that are kept and told of."""
APPLIED = ("static", "manual", "dhcp", "dhcp6", "auto", "loopback", "tunnel", "v4tunnel")
_FAMILIES = ("inet", "inet6")
"""Families whose methods are known here."""
_YES = ("yes", "on", "1", "true")
_HOUR = 3600
_NUMBERS = ("leasetime", "leasehours", "metric", "ll-attempts")


def untold(name: str, stanzas: Sequence[Iface]) -> Iterator[Problem]:
    """Yield a warning for each method that is not applied, or not known, or not there."""
    for stanza in stanzas:
        method, hint = stanza.method, ""
        if stanza.family not in _FAMILIES or method in APPLIED:
            continue
        if method in NOT_APPLIED:
            message = f"method {method} is not applied by this version: its addresses stay as they are"
        elif method is None:
            message, hint = (
                f"{name} {stanza.family} has no method, and is taken for static",
                "say it: ifupdown wants one",
            )
        else:
            near = get_close_matches(method, [*APPLIED, *sorted(NOT_APPLIED)], 1)
            message = f"unknown method '{method}': nothing is done for it"
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(APPLIED)}"
        yield Problem(stanza.path, stanza.line, "unknown-value", message, "warning", hint, name)


def clients(name: str, stanzas: Sequence[Iface], problems: list[Problem]) -> tuple[Client, ...]:
    """Return the DHCP clients of the interface *name*, one a family at most."""
    found: dict[str, Client] = {}
    for stanza in stanzas:
        at = {line.key: line for line in stanza.options if line.value}
        if not (family := _family(stanza, at)):
            continue
        if ":" in name:
            message = f"a DHCP client for {name}: an alias has none"
            problems.append(Problem(stanza.path, stanza.line, "unknown-value", message, "warning", "", name))
            continue
        wrong = [at[key] for key in _NUMBERS if key in at and not _is_number(at[key].value)]
        problems += [_problem(line, name, "should be a whole number") for line in wrong]
        if "ll-interval" in at and not _is_number(at["ll-interval"].value.replace(".", "", 1)):
            problems.append(_problem(at["ll-interval"], name, "should be a number of seconds"))
        elif not wrong:
            values = {"iface": name, "family": family, "owner": INTERFACES, "origin": stanza.head.origin}
            found.setdefault(family, Client.model_validate(values | _values(stanza, at)))
    return tuple(found.values())


def _family(stanza: Iface, at: dict[str, Line]) -> str:
    """Return the family of the DHCP client that *stanza* asks for, empty where it asks for none."""
    if stanza.method == "dhcp6" or (stanza.method == "dhcp" and stanza.family == "inet6"):
        return "inet6"
    if stanza.method == "auto" and "dhcp" in at and at["dhcp"].value.lower() in _YES:
        return "inet6"
    return "inet" if stanza.method == "dhcp" else ""


def _values(stanza: Iface, at: dict[str, Line]) -> dict[str, Any]:
    texts = {"hostname": "hostname", "vendor": "vendor", "client": "client_id", "hwaddress": "mac"}
    found: dict[str, Any] = {field: at[key].value for key, field in texts.items() if key in at}
    if "leasehours" in at:
        found["leasetime"] = int(at["leasehours"].value) * _HOUR
    if "leasetime" in at:
        found["leasetime"] = int(at["leasetime"].value)
    if "metric" in at:
        found["metric"] = int(at["metric"].value)
    if "request-prefix" in at:
        found["prefix"] = at["request-prefix"].value.lower() in _YES
    if stanza.method == "auto":
        found["stateless"] = True
    if attempts := at.get("ll-attempts"):
        found["attempts"] = int(attempts.value)
    if interval := at.get("ll-interval"):
        found["interval"] = float(interval.value)
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _problem(line: Line, name: str, text: str, *, severity: Severity = "error") -> Problem:
    message = f"{line.name}: '{line.value}' {text}"
    return Problem(line.path, line.line, "unknown-value", message, severity, "", name, line.name)


def dns(name: str, stanzas: Sequence[Iface], problems: list[Problem]) -> Dns | None:
    """Return what is to be told to the resolver for the interface *name*, None where its stanzas say nothing."""
    lines = [line for stanza in stanzas for line in stanza.options if line.key.startswith("dns-") and line.value]
    words: dict[str, list[str]] = {}
    for line in lines:
        key = "dns-nameservers" if line.key == "dns-nameserver" else line.key
        if key not in OPTIONS:
            continue
        for word in line.value.split():
            if key == "dns-nameservers" and not _is_server(word):
                text = f"names '{word}', which is no address: it is left out"
                problems.append(_problem(line, name, text, severity="warning"))
            elif word not in words.setdefault(key, []):
                words[key].append(word)
    said = {key.removeprefix("dns-"): tuple(found) for key, found in words.items() if found}
    if not said:
        return None
    return Dns(iface=name.partition(":")[0], owner=INTERFACES, origin=lines[0].origin, **said)


def _is_server(word: str) -> bool:
    try:
        ip_address(word)
    except ValueError:
        return False
    return True
