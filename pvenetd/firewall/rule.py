"""One line of rules: its words, and what they mean.

Source: Proxmox VE's administration guide, chapter "Firewall", section "Firewall Rules".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from pvenetd.firewall.macros import Service, macro, merged
from pvenetd.firewall.options import LEVELS, Scope
from pvenetd.firewall.ruleset import ICMP, ICMP6, WITH_PORTS, Addresses, IcmpType, Span
from pvenetd.firewall.values import Ref, Wrong, icmp_type, near, operand, ports, protocol

Direction = Literal["in", "out", "forward"]
Action = Literal["ACCEPT", "DROP", "REJECT"]
Place = Scope | Literal["group"]
"""Whose rule it is: a file's, or a security group's."""

ACTIONS: tuple[Action, ...] = ("ACCEPT", "DROP", "REJECT")
DIRECTIONS: dict[Place, tuple[Direction | Literal["group"], ...]] = {
    "cluster": ("in", "out", "forward", "group"),
    "host": ("in", "out", "forward", "group"),
    "guest": ("in", "out", "group"),
    "bridge": ("forward", "group"),
    "group": ("in", "out", "forward"),
}
_GUEST_NIC = re.compile(r"net([0-9]|[12][0-9]|3[01])")
_IFNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,126}")
"""Device names a rule may hold: no quotes, blanks or wildcards, which mean something to a backend.

As long as an alternative name may be (ALTIFNAMSIZ in linux/if.h is 128); `Names.device` tells whose it is.
"""
_GROUP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,17}")


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule, with what its values mean; a field that is empty or None matches everything."""

    line: int
    direction: Direction | Literal["group"]
    action: Action | Literal[""]
    """Nothing for a group, which has its own."""
    enabled: bool = True
    iface: str = ""
    proto: int | None = None
    source: Addresses | Ref | None = None
    dest: Addresses | Ref | None = None
    sport: tuple[Span, ...] = ()
    dport: tuple[Span, ...] = ()
    icmp: tuple[IcmpType, ...] = ()
    log: str = ""
    """A level; nothing, or ``nolog``, logs nothing."""
    comment: str = ""
    macro: str = ""
    """As `MACROS` spells it; the fields beside are what the rule says itself."""
    group: str = ""
    """In lower case."""

    @property
    def version(self) -> int | None:
        """Return the one IP version it can match by its own fields, None where it can both."""
        for side in (self.source, self.dest):
            if isinstance(side, Addresses):
                return side.version
        return {ICMP: 4, ICMP6: 6}.get(self.proto or 0)

    @property
    def services(self) -> tuple[Service, ...]:
        """Return what it matches beside addresses: a packet of any of these."""
        own = Service(self.proto, self.sport, self.dport, self.icmp, self.version)
        return merged(self.macro, own) if self.macro else (own,)


def parse_rule(number: int, text: str, place: Place, *, enabled: bool = True) -> RuleLine:
    """Return the rule *text*.  Raises `Wrong`, which tells all but where."""
    body, _, comment = text.partition("#")
    rule = _parsed(body, place)
    return replace(rule, line=number, enabled=enabled, comment=comment.strip())


@lru_cache(maxsize=4096)
def _parsed(body: str, place: Place) -> RuleLine:
    """Return a rule without what belongs to its line alone: guests' rules are often the same."""
    words = body.split()
    if len(words) < 2:
        raise Wrong(f"'{body.strip()}' is not DIRECTION ACTION [OPTIONS]")
    known = {direction: direction for direction in DIRECTIONS[place]}
    direction = next((known[one] for one in known if one == words[0].lower()), None)
    if direction is None:
        raise Wrong(_direction(words[0], place), _these([one.upper() for one in known]))
    if direction == "group":
        return _group(words, place)
    name, action = _action(words[1], direction)
    values = dict(_options(words[2:]))
    rule = RuleLine(
        0,
        direction,
        action,
        macro=name,
        iface=_iface(values.get("i", ""), place, direction),
        source=_side(values.get("source"), place),
        dest=_side(values.get("dest"), place),
        log=_level(values.get("log", "")),
        **_transport(values, name),
    )
    if len(_versions(rule)) > 1:
        raise Wrong("IPv4 and IPv6 mixed in one rule")
    if name and not rule.services:  # asked for what it raises
        raise Wrong(f"macro {name} matches nothing")
    return rule


def _direction(word: str, place: Place) -> str:
    if word.lower() in DIRECTIONS["cluster"]:
        return f"{word} cannot stand in {'a' if place != 'group' else 'a security'} {_PLACES[place]}"
    return f"unknown direction '{word}'"


_PLACES: dict[Place, str] = {
    "cluster": "cluster's file",
    "host": "host's file",
    "guest": "guest's file",
    "bridge": "bridge's file",
    "group": "group",
}


def _these(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _group(words: list[str], place: Place) -> RuleLine:
    values = dict(_options(words[2:]))
    if others := [f"-{name}" for name in values if name != "i"]:
        raise Wrong(f"GROUP takes no {others[0]}", "only -i")
    return RuleLine(0, "group", "", group=group_name(words[1]), iface=_iface(values.get("i", ""), place, "group"))


def group_name(text: str) -> str:
    """Return the name of a security group, in lower case.  Raises `Wrong`."""
    if not _GROUP_NAME.fullmatch(text):
        raise Wrong(f"'{text}' is not the name of a security group", "2 to 18 letters, digits, - and _, a letter first")
    return text.lower()


def _action(word: str, direction: Direction) -> tuple[str, Action]:
    """Return the macro's name, if there is one, and the action."""
    name, paren, verdict = word.partition("(")
    if not paren:
        name, verdict = "", word
    elif not verdict.endswith(")"):
        raise Wrong(f"'{word}' is not MACRO(ACTION)")
    verdict = verdict.removesuffix(")") if paren else verdict
    action = next((one for one in ACTIONS if one == verdict), None)
    if action is None:
        raise Wrong(*_no_action(verdict, direction))
    if action == "REJECT" and direction == "forward":
        raise Wrong("FORWARD has no REJECT", "DROP")
    return (macro(name).name if paren else ""), action


def _no_action(word: str, direction: Direction) -> tuple[str, str]:
    choice = (
        f"unknown action '{word}' ({_these([one for one in ACTIONS if direction != 'forward' or one != 'REJECT'])})"
    )
    try:
        return choice, f"did you mean {macro(word).name}(ACCEPT)?"
    except Wrong:
        return choice, "did you mean DROP?" if word.upper() == "DENY" else near(word, ACTIONS)


_NAMES = ("p", "source", "dest", "sport", "dport", "icmp-type", "log", "iface")
_SAME = {"proto": "p", "iface": "i"}
_OPTIONS = {f"{dash}{name}": _SAME.get(name, name) for name in (*_NAMES, "proto") for dash in ("-", "--")} | {"-i": "i"}
"""Options as they are written: one or two dashes, ``-i`` only one."""


def option_name(word: str) -> str:
    """Return what a rule's option is called (``p`` for ``--proto``), nothing where it is none."""
    return _OPTIONS.get(word, "")


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of a rule's options: one or two dashes, -i only one."""
    seen = set()
    for at in range(0, len(words), 2):
        name = option_name(words[at])
        if not name:
            raise Wrong(f"unknown option '{words[at]}' in a rule", near(words[at], [f"-{one}" for one in _NAMES]))
        if at + 1 == len(words):
            raise Wrong(f"'{words[at]}' has no value")
        if name in seen:
            raise Wrong(f"'{words[at]}' stands twice in a rule")
        seen.add(name)
        yield name, words[at + 1]


def _transport(values: dict[str, str], macro_name: str) -> dict[str, Any]:
    """Return proto, ports and ICMP type; -dport holds the type too, as it did before -icmp-type came.

    Protocol 0 (``ip``) is every protocol, as iptables(8) has it.
    """
    proto = protocol(values["p"]) if "p" in values else 0
    named = [name for name in ("sport", "dport") if name in values]
    found: dict[str, Any] = {"proto": proto or None}
    if proto in (ICMP, ICMP6) and named == ["dport"] and "icmp-type" not in values:
        return found | {"icmp": icmp_type(values["dport"], proto)}
    if "icmp-type" in values:
        if named:
            raise Wrong(f"-icmp-type and -{named[0]} in one rule")
        return found | {"icmp": icmp_type(values["icmp-type"], proto)}
    if named and proto not in WITH_PORTS and (proto or not macro_name):
        raise Wrong(f"-{named[0]} needs -proto tcp, udp, udplite, sctp or dccp")
    return found | {name: ports(values[name], proto) for name in named}


def _side(text: str | None, place: Place) -> Addresses | Ref | None:
    if text is None:
        return None
    found = operand(text)
    if isinstance(found, Ref) and found.scope == "guest" and place != "guest":
        raise Wrong(f"'{text}': guest/ means something in a guest's file alone")
    return found


def _iface(name: str, place: Place, direction: Direction | Literal["group"]) -> str:
    if name and place in ("group", "bridge"):
        raise Wrong(f"-i cannot stand in a {'security group' if place == 'group' else 'bridge'}'s rule")
    if name and direction == "forward":
        raise Wrong("FORWARD takes no -i", "-source and -dest, or the bridge's own file")
    if name and place == "guest" and not _GUEST_NIC.fullmatch(name):
        raise Wrong(f"-i {name}: a guest's interfaces are net0 to net31")
    if name and not _IFNAME.fullmatch(name):
        raise Wrong(f"-i {name}: not the name of a network interface")
    return name


def _level(name: str) -> str:
    if name and name.lower() not in LEVELS:
        raise Wrong(f"-log {name}: not one of {', '.join(LEVELS)}", near(name, LEVELS))
    return name.lower()


def _versions(rule: RuleLine) -> set[int]:
    found = {side.version for side in (rule.source, rule.dest) if isinstance(side, Addresses)}
    if rule.proto in (ICMP, ICMP6):
        found.add(4 if rule.proto == ICMP else 6)
    return found
