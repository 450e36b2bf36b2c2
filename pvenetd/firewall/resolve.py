"""Names and macros → what the kernel compares: the addresses of aliases and sets, each family on its own.

A name without a scope is the guest's own first, then the cluster's (Proxmox VE's administration guide,
chapter "Firewall", sections "IP Aliases" and "IP Sets").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pvenetd.errors import ConfigError, Problem, Severity
from pvenetd.firewall.rule import RuleLine
from pvenetd.firewall.ruleset import Addresses, IcmpType, NamedSet, SetRef, Span, merge
from pvenetd.firewall.syntax import Config, Entry, Group, IpSet
from pvenetd.firewall.values import Ref, Wrong, near

LOCAL_NETWORK = "local_network"
"""The alias of the network that holds the host's address; one of this name in cluster.fw comes before."""

MAX_NAME = 15
"""Bytes in the name of an interface (IFNAMSIZ in linux/if.h is 16)."""

Operand = Addresses | SetRef
_VERSIONS = (4, 6)
_CLUSTER_SET = "dc-"


@dataclass(frozen=True, slots=True)
class Match:
    """What a packet has to be; a field that is empty or None matches everything."""

    version: int | None
    """The one IP version it is about."""
    proto: int | None = None
    source: Operand | None = None
    dest: Operand | None = None
    sport: tuple[Span, ...] = ()
    dport: tuple[Span, ...] = ()
    icmp: tuple[IcmpType, ...] = ()


class Names:
    """What the names in a file mean: in a guest's with *guest*, elsewhere without.

    *local* is what ``local_network`` stands for where no file says so: nobody, on a host without a network.
    *devices* has the kernel's own names of interfaces by their alternative ones.
    """

    def __init__(
        self,
        cluster: Config,
        guest: Config | None = None,
        *,
        local: Addresses | None = None,
        devices: Mapping[str, str] | None = None,
    ) -> None:
        self._cluster = cluster
        self._guest = guest
        self._local = local
        self._devices = devices or {}
        self._known: dict[Ref, tuple[Operand, ...]] = {}

    def expand(self, rule: RuleLine) -> tuple[Match, ...]:
        """Return what a rule matches: packets of any of these; none where its sets are empty.  Raises `Wrong`."""
        source, dest = rule.source, rule.dest
        if rule.macro or isinstance(source, Ref) or isinstance(dest, Ref):
            return tuple(self._matches(rule))
        return (Match(rule.version, rule.proto, source, dest, rule.sport, rule.dport, rule.icmp),)

    def resolve(self, ref: Ref) -> tuple[Operand, ...]:
        """Return what a name stands for, each family on its own; a family without an address is left out.

        A set of the cluster's is only referred to, in both families.  Raises `Wrong`.
        """
        known = self._known.get(ref)
        if known is None:
            known = self._known[ref] = self._alias(ref) if ref.kind == "alias" else self._set(ref)
        return known

    def group(self, name: str) -> Group:
        """Return a security group.  Raises `Wrong`."""
        try:
            return self._cluster.groups[name]
        except KeyError:
            raise Wrong(f"there is no security group '{name}'", near(name, self._cluster.groups)) from None

    def has(self, ref: Ref) -> bool:
        """Return whether a file has what *ref* names, whatever may be wrong with it."""
        if ref.kind == "alias" and ref.name == LOCAL_NETWORK and ref.scope in ("", "dc"):
            return True
        return any(ref.name in (one.aliases if ref.kind == "alias" else one.sets) for one in self._configs(ref))

    def common(self) -> Names:
        """Return what names mean in cluster.fw: its groups are the same, whoever asks them."""
        return Names(self._cluster, local=self._local, devices=self._devices)

    def device(self, name: str) -> str | None:
        """Return what the kernel calls an interface of the host's that a rule names, None where none can be meant."""
        found = self._devices.get(name, name)
        return found if len(found) <= MAX_NAME else None

    def cluster_set(self, name: str) -> tuple[Addresses, ...]:
        """Return what is in the cluster's set that the ruleset calls *name*.  Raises `Wrong`."""
        return self.addresses(self._cluster.sets[name.removeprefix(_CLUSTER_SET)])

    def addresses(self, found: IpSet) -> tuple[Addresses, ...]:
        """Return what is in a set, each family on its own.  Raises `Wrong`."""
        entries = [(entry, one) for entry in found.entries for one in self._entry(entry)]
        sides = ((version, _spans(entries, version)) for version in _VERSIONS)
        return tuple(Addresses(version, spans) for version, spans in sides if spans)

    def problems(self, config: Config) -> tuple[Problem, ...]:
        """Return every line of *config*, the guest's or a file without names of its own, that names what is missing."""
        return tuple(self._problems(config))

    def require(self, config: Config) -> Config:
        """Return *config*, or raise all its problems as one `ConfigError`."""
        found = (*config.problems, *self.problems(config))
        if any(problem.severity == "error" for problem in found):
            raise ConfigError(found)
        return config

    def _matches(self, rule: RuleLine) -> Iterator[Match]:
        sources, dests = self._side(rule.source), self._side(rule.dest)
        versions = self._versions(rule, sources, dests)
        for one in rule.services:
            for version in [one.version] if sources is None and dests is None else versions:
                if one.version in (None, version):
                    source, dest = _of(sources, version), _of(dests, version)
                    yield Match(version, one.proto, source, dest, one.sport, one.dport, one.icmp)

    def _side(self, side: Addresses | Ref | None) -> dict[int, Operand] | None:
        """Return what one end of a rule is, by family, None for anybody."""
        if side is None:
            return None
        found = self.resolve(side) if isinstance(side, Ref) else (side,)
        return {one.version: one for one in found}

    def _versions(
        self, rule: RuleLine, sources: dict[int, Operand] | None, dests: dict[int, Operand] | None
    ) -> list[int]:
        """Return the families of a rule with addresses; `Wrong` where one of its words rules out another's.

        A set may be empty, and the host's network is what it is: with these a rule is right, and matches nothing.
        """
        services = {one.version for one in rule.services}
        said = set(_VERSIONS) if None in services else services
        for side, found in ((rule.source, sources), (rule.dest, dests)):
            if found and not (isinstance(side, Ref) and (side.kind == "set" or side.name == LOCAL_NETWORK)):
                said &= set(found)
        if not said:
            raise Wrong("IPv4 and IPv6 mixed in one rule")
        return [
            version
            for version in _VERSIONS
            if version in said and all(found is None or version in found for found in (sources, dests))
        ]

    def _alias(self, ref: Ref) -> tuple[Operand, ...]:
        known = [name for config in self._configs(ref) for name in config.aliases]
        for config in self._configs(ref):
            if found := config.aliases.get(ref.name):
                return (found.addresses,)
        if ref.name == LOCAL_NETWORK and ref.scope in ("", "dc"):
            return (self._local,) if self._local else ()
        raise Wrong(f"there is no alias '{ref}'", near(ref.name, known))

    def _set(self, ref: Ref) -> tuple[Operand, ...]:
        known = [name for config in self._configs(ref) for name in config.sets]
        for config in self._configs(ref):
            if found := config.sets.get(ref.name):
                if config is self._cluster:
                    return tuple(SetRef(set_name(ref.name), version) for version in _VERSIONS)
                return self.addresses(found)
        raise Wrong(f"there is no IP set '{ref}'", near(ref.name, known))

    def _configs(self, ref: Ref) -> list[Config]:
        """Return the files that may have the name, in the order they are asked."""
        found = [(config, scope) for config, scope in ((self._guest, "guest"), (self._cluster, "dc")) if config]
        return [config for config, scope in found if ref.scope in ("", scope)]

    def _entry(self, entry: Entry) -> tuple[Addresses, ...]:
        if isinstance(entry.value, Addresses):
            return (entry.value,)
        return tuple(one for one in self.resolve(entry.value) if isinstance(one, Addresses))

    def _problems(self, config: Config) -> Iterator[Problem]:
        for one in config.sets.values():
            yield from self._set_problems(config, one)
        grouped = (rule for group in config.groups.values() for rule in group.rules)
        for rule in (*config.rules, *grouped):
            try:
                if rule.iface and config.scope != "guest" and not self.device(rule.iface):
                    message = f"never matches: no interface has the alternative name {rule.iface}"
                    yield Problem(config.path, rule.line, "unknown-name", message, "warning")
                if rule.direction == "group":
                    self.group(rule.group)
                elif isinstance(rule.source, Ref) or isinstance(rule.dest, Ref):
                    self.expand(rule)
            except Wrong as error:
                severity: Severity = "error" if rule.enabled else "warning"
                yield Problem(config.path, rule.line, "unknown-name", str(error), severity, error.hint)

    def _set_problems(self, config: Config, found: IpSet) -> Iterator[Problem]:
        for entry in found.entries:
            try:
                self._entry(entry)
            except Wrong as error:
                yield Problem(config.path, entry.line, "unknown-name", str(error), "error", error.hint)


def _of(side: dict[int, Operand] | None, version: int | None) -> Operand | None:
    return None if side is None or version is None else side[version]


def set_name(name: str) -> str:
    """Return what a set of the cluster's is called in the ruleset."""
    return f"{_CLUSTER_SET}{name}"


def named_sets(names: Names, cluster: Config) -> tuple[NamedSet, ...]:
    """Return the cluster's sets, each in both families.  Raises `Wrong`."""
    return tuple(
        NamedSet(set_name(one.name), version, spans.get(version, ()))
        for one in cluster.sets.values()
        for spans in [{found.version: found.spans for found in names.addresses(one)}]
        for version in _VERSIONS
    )


def _spans(entries: Iterable[tuple[Entry, Addresses]], version: int) -> tuple[Span, ...]:
    ours = [(span, entry.excluded) for entry, found in entries if found.version == version for span in found.spans]
    if not any(excluded for _, excluded in ours):
        return merge(tuple(span for span, _ in ours))
    return _painted([(net, excluded) for span, excluded in ours for net in _networks(span)])


def _networks(span: Span) -> Iterator[Span]:
    """Yield the fewest networks (CIDRs) that make up a span."""
    first = span.first
    while first <= span.last:
        size = first & -first or 1 << 128
        while first + size - 1 > span.last:
            size >>= 1
        yield Span(first, first + size - 1)
        first += size


def _painted(networks: list[tuple[Span, bool]]) -> tuple[Span, ...]:
    """Return what is left where of the networks that hold an address the smallest decides, excluded or not.

    Networks lie in each other or apart, so a stack holds those that are open; of two that are the
    same, the excluded one decides.
    """
    found: list[Span] = []
    stack: list[tuple[int, bool]] = []  # where each ends, and whether it is excluded
    at = 0

    def fill(end: int) -> None:
        nonlocal at
        if stack and not stack[-1][1] and at <= end:
            found.append(Span(at, end))
        at = max(at, end + 1)

    for span, excluded in sorted(networks, key=lambda one: (one[0].first, -one[0].last, one[1])):
        while stack and stack[-1][0] < span.first:
            fill(stack[-1][0])
            stack.pop()
        fill(span.first - 1)
        at = span.first
        stack.append((span.last, excluded))
    while stack:
        fill(stack[-1][0])
        stack.pop()
    return merge(tuple(found))
