"""What the kernel lists → parts; parts that are wanted → what iptables-restore and ipset have to be told.

Only chains that differ are written, so the counters of all others stay.  A chain that is to go while another still
leads to it stays, with a seal that says it is a remainder; the next commit that can takes it away.

Sources: iptables-restore(8) (``--noflush``: only the chains that are declared are emptied), ipset(8) (``swap``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pvenetd.firewall.iptables_base import BASE, SHARED
from pvenetd.firewall.iptables_names import is_clusters
from pvenetd.firewall.iptables_parts import (
    FAMILIES,
    OURS,
    TABLES,
    Family,
    IpChain,
    IpJump,
    IpSet,
    Part,
    Table,
    comment,
    declaration,
    seal,
    sets_of,
    target,
)

_REST = "remainder"
"""The piece of chains that others still lead to."""
_SIDE = "PVEFW-new-{}"
"""A set that is filled before it changes places with the one it replaces."""
_OURS = "PVEFW-"
"""What the names of our sets begin with."""

Key = tuple[Family, Table]


@dataclass(frozen=True, slots=True)
class Commit:
    """What to run, in this order; an empty text need not be."""

    sets: str
    """For ``ipset restore``."""
    v4: str
    """For ``iptables-restore --noflush``."""
    v6: str
    """For ``ip6tables-restore --noflush``."""
    left: str
    """For ``ipset restore``: it takes away what nothing asks any more."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel has."""

    chains: Mapping[Key, Mapping[str, tuple[str, ...]]]
    """Every chain of the tables we write in, others' too, with its rules."""
    sets: Mapping[str, IpSet]
    parts: Mapping[str, Part] = field(default_factory=dict)
    """Ours, by their names."""


def read(v4: str, v6: str, sets: str) -> Seen:
    """Return what ``iptables-save``, ``ip6tables-save`` and ``ipset save`` list; counters may stand in it."""
    chains = {key: rules for family, text in ((4, v4), (6, v6)) for key, rules in _saved(family, text)}
    found = _sets(sets)
    own: defaultdict[str, list[IpChain]] = defaultdict(list)
    jumps: defaultdict[str, list[IpJump]] = defaultdict(list)
    for (family, table), listed in chains.items():
        for chain, rules in listed.items():
            for place, rule in enumerate(rules, 1):
                if not (owner := _owner(rule)):
                    continue
                if target(rule):
                    jumps[owner].append(IpJump(family, table, chain, rule))
                else:
                    own[owner] += [IpChain(family, table, chain, rules)] if place == len(rules) else []
    parts = {name: _part(name, own[name], jumps[name], found) for name in {*own, *jumps} if name != _REST}
    return Seen(chains, found, parts)


def _saved(family: int, text: str) -> Iterator[tuple[Key, dict[str, tuple[str, ...]]]]:
    table, rules = "", dict[str, list[str]]()
    for line in text.splitlines():
        if line.startswith("*"):
            table, rules = line[1:].strip(), {}
        elif line.startswith(":"):
            rules[line[1:].split(" ", 1)[0]] = []
        elif line.startswith(("-A ", "[")):
            rule = line.partition("] ")[2] if line.startswith("[") else line
            rules[rule.split(" ", 2)[1]].append(rule)
        elif line == "COMMIT":
            for name in TABLES:
                if name == table:
                    yield (6 if family == 6 else 4, name), {chain: tuple(listed) for chain, listed in rules.items()}


def _sets(text: str) -> dict[str, IpSet]:
    families: dict[str, Family] = {}
    entries: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["create"] and words[1].startswith(_OURS):
            families[words[1]] = 6 if "inet6" in words else 4
            entries[words[1]] = []
        elif words[:1] == ["add"] and words[1] in entries:
            entries[words[1]].append(" ".join(words[2:]))
    return {name: IpSet(family, name, tuple(entries[name])) for name, family in families.items()}


def _part(name: str, own: Collection[IpChain], jumps: Iterable[IpJump], sets: Mapping[str, IpSet]) -> Part:
    asked = dict.fromkeys(one for chain in own for rule in chain.rules for one in sets_of(rule))
    its = (sets[one] for one in asked if one in sets and (name == "sets" or not is_clusters(one)))
    return Part(name, tuple(own), tuple(jumps), tuple(its))


def _owner(rule: str) -> str:
    words = comment(rule).split() if OURS in rule else []
    return words[1] if len(words) > 1 and words[0] == OURS else ""


def commit(seen: Seen, wanted: Iterable[Part], gone: Iterable[str] = ()) -> Commit:
    """Return what brings the parts that are *wanted* to what they are, and takes those called *gone* away."""
    parts, names = tuple(wanted), frozenset(gone)
    texts: dict[Family, str] = {}
    asked: set[str] = set()
    for family in FAMILIES:
        tables = [_Table(seen, (family, table), parts, names) for table in TABLES]
        texts[family] = "".join(one.text() for one in tables)
        asked.update(*(one.asked() for one in tables))
    made = [one for part in parts for one in part.sets]
    asked.update(one.name for one in made)
    left = [name for name in seen.sets if name not in asked]
    return Commit("".join(_made(seen, made)), texts[4], texts[6], "".join(f"destroy {name}\n" for name in left))


def _made(seen: Seen, wanted: Iterable[IpSet]) -> Iterator[str]:
    """Yield the commands that bring sets to what they are to hold; those in use change places with new ones."""
    for number, one in enumerate(wanted):
        there, side = seen.sets.get(one.name), _SIDE.format(number)
        if there and there.state == one.state:
            continue
        if side in seen.sets:
            yield f"destroy {side}\n"
        yield from (f"{line}\n" for line in one.create(side if there else ""))
        if there:
            yield f"swap {side} {one.name}\ndestroy {side}\n"


class _Table:
    """One table of one family: what of it is written, and what is taken away."""

    def __init__(self, seen: Seen, key: Key, parts: Iterable[Part], gone: frozenset[str]) -> None:
        self.there = dict(seen.chains.get(key, {}))
        family, table = key
        parts = tuple(parts)
        self.table = table
        names = {part.name for part in parts}
        before = [seen.parts[name] for name in (*names, *gone) if name in seen.parts]
        chains = {one.name: one for part in parts for one in part.chains if (one.family, one.table) == key}
        self.written = {
            name: one.rules
            for name, one in chains.items()
            if one.state != IpChain(family, table, name, self.there.get(name, ())).state
        }
        self.added, self.deleted = _jumps(key, parts, before)
        self.shared = [name for name in SHARED if table == "filter" and BASE in names and name not in self.there]
        old = [one.name for part in before for one in part.chains if (one.family, one.table) == key]
        old += [name for name, rules in self.there.items() if rules and _owner(rules[-1]) == _REST]
        if BASE in gone and table == "filter":
            old += [name for name in SHARED if name in self.there]
        self._take_away([name for name in dict.fromkeys(old) if name not in chains])

    def _take_away(self, candidates: list[str]) -> None:
        """Settle which of *candidates* go; those that are still led to from elsewhere are left as remainders."""
        self.removed: list[str] = []
        if not candidates:
            return
        staying = {name: rules for name, rules in self.after().items() if name not in candidates}
        queue = [target(rule) for rules in staying.values() for rule in rules]
        held: set[str] = set()
        while queue:
            name = queue.pop()
            if name in candidates and name not in held:
                held.add(name)
                queue += [target(rule) for rule in self.there[name]]
        self.removed = [name for name in candidates if name not in held]
        for name in sorted(held):
            rules = self.there[name]
            if rules and _owner(rules[-1]) != _REST:
                lines = rules[:-1]
                self.written[name] = (*lines, seal(_REST, name, lines))

    def after(self) -> dict[str, tuple[str, ...]]:
        """Return the chains as they will be."""
        found = {name: tuple(rule for rule in rules if rule not in self.deleted) for name, rules in self.there.items()}
        found |= self.written
        for jump in self.added:
            found[jump.chain] = (*found.get(jump.chain, ()), jump.rule)
        return found

    def asked(self) -> set[str]:
        """Return the sets that rules will ask."""
        removed = {*self.removed}
        return {
            one
            for name, rules in self.after().items()
            if name not in removed
            for rule in rules
            for one in sets_of(rule)
        }

    def text(self) -> str:
        """Return the table's part of what iptables-restore is given."""
        lines = [declaration(name) for name in (*self.shared, *self.written)]
        lines += [f"-D{rule[2:]}" for rule in self.deleted]
        lines += [rule for rules in self.written.values() for rule in rules]
        lines += [jump.rule for jump in self.added]
        lines += [f"-F {name}" for name in self.removed]
        lines += [f"-X {name}" for name in self.removed]
        return "".join(f"{line}\n" for line in (f"*{self.table}", *lines, "COMMIT")) if lines else ""


def _jumps(key: Key, parts: Iterable[Part], before: Iterable[Part]) -> tuple[list[IpJump], list[str]]:
    """Return the jumps to add, and those to take away as they are listed."""
    wanted = [one for part in parts for one in part.jumps if (one.family, one.table) == key]
    there = [one for part in before for one in part.jumps if (one.family, one.table) == key]
    states, known = {one.state for one in wanted}, {one.state for one in there}
    return [one for one in wanted if one.state not in known], [one.rule for one in there if one.state not in states]
