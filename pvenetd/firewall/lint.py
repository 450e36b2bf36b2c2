"""What is right in the firewall files and does nothing: rules that are never asked, or never match; names nobody uses.

All of it are warnings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pvenetd.errors import Problem
from pvenetd.firewall.resolve import LOCAL_NETWORK, Match, Names, Operand
from pvenetd.firewall.rule import RuleLine
from pvenetd.firewall.ruleset import Addresses, IcmpType, SetRef, Span
from pvenetd.firewall.syntax import Config
from pvenetd.firewall.values import Ref, Wrong

_OF_ITSELF = ("management", "blacklist", LOCAL_NETWORK)
"""Names that mean something without anybody who refers to them, beside ``ipfilter-net0``."""
_ALL_PORTS = (Span(0, 65535),)
_MOST = 500
"""Rules of a list that are compared with each other: each with all before it."""

Nics = Mapping[int, bool]
"""A guest's NICs: whether each is to be filtered."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files as they are; those that are broken are looked at as far as they could be read."""

    cluster: Config
    host: Config
    guests: Mapping[int, Config] = field(default_factory=dict)
    bridges: Mapping[str, Config] = field(default_factory=dict)
    nics: Mapping[int, Nics] = field(default_factory=dict)
    """Guests that there are."""
    local: Addresses | None = None


def lint(files: Files) -> tuple[Problem, ...]:
    """Return a warning for each line that does nothing."""
    found = [*_unused(files)]
    names = Names(files.cluster, local=files.local)
    for config in (files.cluster, files.host, *files.bridges.values()):
        found += _rules(config, names, config.rules)
    for group in files.cluster.groups.values():
        found += _rules(files.cluster, names, group.rules)
    for vmid, config in files.guests.items():
        own = Names(files.cluster, config, local=files.local)
        found += [*_rules(config, own, config.rules), *_of_guest(config, files.nics.get(vmid))]
    return tuple(found)


def _unused(files: Files) -> Iterator[Problem]:
    """Yield the names that nobody refers to."""
    everybody = (files.cluster, files.host, *files.bridges.values(), *files.guests.values())
    used = {ref for config in everybody for ref in _refs(config)}
    groups = {rule.group for config in everybody for rule in config.rules if rule.direction == "group"}
    yield from _unused_names(files.cluster, used, ("", "dc"))
    for config in files.guests.values():
        yield from _unused_names(config, set(_refs(config)), ("", "guest"))
    for group in files.cluster.groups.values():
        if group.name not in groups:
            yield _warning(files.cluster, group.line, f"security group {group.name}: nobody uses it")


def _unused_names(config: Config, used: set[Ref], scopes: Sequence[str]) -> Iterator[Problem]:
    known = {(ref.kind, ref.name) for ref in used if ref.scope in scopes}
    for alias in config.aliases.values():
        if ("alias", alias.name) not in known and alias.name not in _OF_ITSELF:
            yield _warning(config, alias.line, f"alias {alias.name}: nobody uses it")
    for one in config.sets.values():
        if ("set", one.name) not in known and one.name not in _OF_ITSELF and not one.name.startswith("ipfilter-"):
            yield _warning(config, one.line, f"IP set {one.name}: nobody uses it")


def _refs(config: Config) -> Iterator[Ref]:
    """Yield the names that a file's rules and sets refer to, and its groups'."""
    groups = (rule for group in config.groups.values() for rule in group.rules)
    for rule in (*config.rules, *groups):
        yield from (side for side in (rule.source, rule.dest) if isinstance(side, Ref))
    for one in config.sets.values():
        yield from (entry.value for entry in one.entries if isinstance(entry.value, Ref))


def _of_guest(config: Config, nics: Nics | None) -> Iterator[Problem]:
    """Yield what a guest's file says to nobody."""
    if nics is None or not config.rules:
        return
    first = config.rules[0].line
    if not config.flag("enable", default=False):
        yield _warning(config, first, "the rules are not asked: [OPTIONS] has no enable: 1")
    elif not any(nics.values()):
        yield _warning(config, first, "the rules are not asked: no NIC of the guest has firewall=1")
    else:
        for rule in config.rules:
            if rule.enabled and rule.iface and not nics.get(int(rule.iface.removeprefix("net")), False):
                yield _warning(config, rule.line, f"never matches: the guest has no filtered NIC {rule.iface}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A rule that decides about what any of its matches is."""

    rule: RuleLine
    matches: tuple[Match, ...]


def _rules(config: Config, names: Names, rules: Iterable[RuleLine]) -> Iterator[Problem]:
    """Yield the rules of a list that match nothing, and those that come after one that decides all of theirs."""
    before: list[_Asked] = []
    for rule in rules:
        if not rule.enabled or rule.direction == "group":
            continue
        try:
            found = names.expand(rule)
            asked = _Asked(rule, tuple(match for match in found if not _is_empty(match, names)))
        except Wrong:
            continue  # told as an error
        if not asked.matches:
            yield _warning(config, rule.line, "never matches: the sets that it names are empty")
        elif earlier := next((one for one in before if _covers(one, asked, names)), None):
            yield _warning(config, rule.line, f"never decides: line {earlier.rule.line} matches all that it does")
        elif len(before) < _MOST:
            before.append(asked)


def _is_empty(match: Match, names: Names) -> bool:
    return any(side is not None and not _spans(side, names) for side in (match.source, match.dest))


def _covers(one: _Asked, other: _Asked, names: Names) -> bool:
    if one.rule.direction != other.rule.direction or one.rule.iface not in ("", other.rule.iface):
        return False
    return all(any(_contains(all_of, match, names) for all_of in one.matches) for match in other.matches)


def _contains(one: Match, other: Match, names: Names) -> bool:
    """Return whether *one* matches every packet that *other* does."""
    return (
        one.version in (None, other.version)
        and one.proto in (None, other.proto)
        and _within(other.sport, one.sport)
        and _within(other.dport, one.dport)
        and _has_types(one.icmp, other.icmp)
        and _has_side(one.source, other.source, names)
        and _has_side(one.dest, other.dest, names)
    )


def _has_side(one: Operand | None, other: Operand | None, names: Names) -> bool:
    if one is None or one == other:
        return True
    return other is not None and one.version == other.version and _inside(_spans(other, names), _spans(one, names))


def _spans(side: Operand, names: Names) -> tuple[Span, ...]:
    if isinstance(side, SetRef):
        return next((one.spans for one in names.cluster_set(side.name) if one.version == side.version), ())
    return side.spans


def _within(ports: tuple[Span, ...], of: tuple[Span, ...]) -> bool:
    return not of or _inside(ports or _ALL_PORTS, of)


def _inside(spans: tuple[Span, ...], of: tuple[Span, ...]) -> bool:
    return all(any(one.first <= span.first and span.last <= one.last for one in of) for span in spans)


def _has_types(one: tuple[IcmpType, ...], other: tuple[IcmpType, ...]) -> bool:
    return not one or (bool(other) and all(_has_type(one, found) for found in other))


def _has_type(types: tuple[IcmpType, ...], found: IcmpType) -> bool:
    return any(one.type == found.type and one.code in (None, found.code) for one in types)


def _warning(config: Config, line: int, message: str) -> Problem:
    return Problem(config.path, line, "no-effect", message, "warning")
