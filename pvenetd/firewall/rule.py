"""One line of a [RULES] section: its words, and what they mean.

Source: Proxmox VE's administration guide, chapter "Firewall", section "Firewall Rules".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypedDict

from pvenetd.firewall.options import LEVELS, Scope
from pvenetd.firewall.ruleset import ICMP, ICMP6, WITH_PORTS, Addresses, IcmpType, Span
from pvenetd.firewall.values import Unsupported, addresses, icmp_type, ports, protocol

Direction = Literal["in", "out"]
Action = Literal["ACCEPT", "DROP", "REJECT"]

_ACTIONS: tuple[Action, ...] = ("ACCEPT", "DROP", "REJECT")
_GUEST_NIC = re.compile(r"net([0-9]|[12][0-9]|3[01])")
_IFNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,14}")
"""Device names a rule may hold: no quotes, blanks or wildcards, which mean something to a backend."""


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule, with what its values mean; a field that is empty or None matches everything."""

    line: int
    direction: Direction
    action: Action
    enabled: bool = True
    iface: str = ""
    proto: int | None = None
    source: Addresses | None = None
    dest: Addresses | None = None
    sport: tuple[Span, ...] = ()
    dport: tuple[Span, ...] = ()
    icmp: tuple[IcmpType, ...] = ()
    log: str = ""
    comment: str = ""

    @property
    def version(self) -> int | None:
        """Return the one IP version it can match, None where it can both."""
        return next(iter(_versions(self)), None)


def parse_rule(number: int, text: str, scope: Scope, *, enabled: bool = True) -> RuleLine:
    """Return the rule *text*; ValueError tells all but where, `Unsupported` what is right and can't be done yet."""
    body, _, comment = text.partition("#")
    words = body.split()
    if len(words) < 2:
        raise ValueError(f"'{text}' is not DIRECTION ACTION [OPTIONS]")
    direction, action, options = words[0].lower(), words[1], words[2:]
    if direction == "group":
        raise Unsupported(f"security group '{action}'")
    if direction == "forward" and scope != "guest":
        raise Unsupported("direction FORWARD")
    if direction not in ("in", "out"):
        raise ValueError(f"unknown direction '{words[0]}' (IN or OUT)")
    if re.fullmatch(r"[\w/.-]+\((ACCEPT|DROP|REJECT)\)", action):
        raise Unsupported(f"macro {action}")
    known = next((verdict for verdict in _ACTIONS if verdict == action), None)
    if known is None:
        raise ValueError(f"unknown action '{action}' (ACCEPT, DROP or REJECT)")
    values = dict(_options(options))
    rule = RuleLine(
        number,
        "in" if direction == "in" else "out",
        known,
        enabled,
        iface=_iface(values.get("i", ""), scope),
        proto=protocol(values["p"]) if "p" in values else None,
        source=addresses(values["source"]) if "source" in values else None,
        dest=addresses(values["dest"]) if "dest" in values else None,
        log=_level(values.get("log", "")),
        comment=comment.strip(),
        **_transport(values),
    )
    if len(_versions(rule)) > 1:
        raise ValueError("IPv4 and IPv6 mixed in one rule")
    return rule


_OPTION = re.compile(r"(?:--?(p|proto|source|dest|sport|dport|icmp-type|log)|-(i))")


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of a rule's options: one or two dashes, -i only one."""
    seen = set()
    for at in range(0, len(words), 2):
        found = _OPTION.fullmatch(words[at])
        if not found:
            raise ValueError(f"unknown option '{words[at]}' in a rule")
        if at + 1 == len(words):
            raise ValueError(f"'{words[at]}' has no value")
        name = (found[1] or found[2]).replace("proto", "p")
        if name in seen:
            raise ValueError(f"'{words[at]}' stands twice in a rule")
        seen.add(name)
        yield name, words[at + 1]


class _Transport(TypedDict, total=False):
    sport: tuple[Span, ...]
    dport: tuple[Span, ...]
    icmp: tuple[IcmpType, ...]


def _transport(values: dict[str, str]) -> _Transport:
    """Return the ports and the ICMP type; -dport holds the type too, as it did before -icmp-type came."""
    proto = protocol(values["p"]) if "p" in values else 0
    named = [name for name in ("sport", "dport") if name in values]
    if proto in (ICMP, ICMP6) and named == ["dport"] and "icmp-type" not in values:
        return {"icmp": icmp_type(values["dport"], proto)}
    if "icmp-type" in values:
        if named:
            raise ValueError(f"-icmp-type and -{named[0]} in one rule")
        return {"icmp": icmp_type(values["icmp-type"], proto)}
    if named and proto not in WITH_PORTS:
        raise ValueError(f"-{named[0]} needs -proto tcp, udp, udplite, sctp or dccp")
    found: _Transport = {}
    if "sport" in values:
        found["sport"] = ports(values["sport"], proto)
    if "dport" in values:
        found["dport"] = ports(values["dport"], proto)
    return found


def _iface(name: str, scope: Scope) -> str:
    if name and scope == "guest" and not _GUEST_NIC.fullmatch(name):
        raise ValueError(f"-i {name}: a guest's interfaces are net0 to net31")
    if name and not _IFNAME.fullmatch(name):
        raise ValueError(f"-i {name}: not the name of a network interface")
    return name


def _level(name: str) -> str:
    if name and name not in LEVELS:
        raise ValueError(f"-log {name}: not one of {', '.join(LEVELS)}")
    return name


def _versions(rule: RuleLine) -> set[int]:
    found = {side.version for side in (rule.source, rule.dest) if side}
    if rule.proto in (ICMP, ICMP6):
        found.add(4 if rule.proto == ICMP else 6)
    return found
