"""What iptables and ipset are to have of one piece: chains, the jumps that lead to them, sets; as text and back.

Each chain ends in its seal, a rule that does nothing and whose comment names the piece, the digest of the rules
before it, and how many they are: so what a kernel lists tells whose it is, and whether somebody has changed it.

Sources: iptables-save(8), ipset(8).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

Family = Literal[4, 6]
Table = Literal["raw", "mangle", "filter"]

FAMILIES: tuple[Family, ...] = (4, 6)
TABLES: tuple[Table, ...] = ("raw", "mangle", "filter")
OURS = "pvenetd"
"""What the comments of seals and jumps begin with."""

_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))')
_TARGET = re.compile(r" -[jg] (\S+)")
_SETS = re.compile(r"--match-set (\S+)")
_SIZE = 64
"""Entries that a set has room for at least, as Proxmox VE's have."""


@dataclass(frozen=True, slots=True)
class IpChain:
    """A chain of one piece, *rules* as iptables-restore takes them (``-A NAME …``), the seal last."""

    family: Family
    table: Table
    name: str
    rules: tuple[str, ...]

    @property
    def state(self) -> str:
        """Return what tells it from any other, and from itself where somebody has changed it."""
        words = comment(self.rules[-1]).split() if self.rules else []
        whole = len(words) == 4 and words[-1] == str(len(self.rules) - 1)
        return f"{self.family} {self.table} {self.name} {words[2] if whole else 'changed'}"


@dataclass(frozen=True, slots=True)
class IpJump:
    """A rule in a chain that pieces share, or in one of the kernel's own: what leads to a piece's chains."""

    family: Family
    table: Table
    chain: str
    rule: str
    """``-A CHAIN …``, or ``-I CHAIN …`` for one that goes before all others."""

    @property
    def state(self) -> str:
        """Return what tells it from others, however a listing orders its words."""
        return f"{self.family} {self.table} {self.chain} {comment(self.rule)} {target(self.rule)}"


@dataclass(frozen=True, slots=True)
class IpSet:
    """A set of networks, *entries* as ipset lists them."""

    family: Family
    name: str
    entries: tuple[str, ...]

    @property
    def state(self) -> str:
        """Return what tells it from others."""
        return f"{self.family} set {self.name} {digest(sorted(self.entries))}"

    def create(self, name: str = "") -> list[str]:
        """Return the commands that make it, called *name*, and fill it."""
        name = name or self.name
        room = max(_SIZE, 1 << (max(1, len(self.entries)) - 1).bit_length())
        family = "inet" if self.family == 4 else "inet6"
        head = f"create {name} hash:net family {family} hashsize {min(room, 1 << 16)} maxelem {room}"
        return [head, *(f"add {name} {entry}" for entry in self.entries)]


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a ruleset: ``base``, ``sets``, ``groups``, ``host``, ``bridge:vmbr0``, ``vm:100``."""

    name: str
    chains: tuple[IpChain, ...] = ()
    jumps: tuple[IpJump, ...] = ()
    sets: tuple[IpSet, ...] = ()

    @property
    def digest(self) -> str:
        """Return a digest of all of it, which a listing of the kernel's has too while nobody has touched it."""
        states = [chain.state for chain in self.chains] + [jump.state for jump in self.jumps]
        return digest(sorted([*states, *(one.state for one in self.sets)]))

    @property
    def text(self) -> str:
        """Return all of it to read, in the languages of ipset and iptables-restore."""
        lines = [f"# {self.name}"]
        for one in self.sets:
            lines += one.create()
        for family in FAMILIES:
            for table in TABLES:
                lines += self._table(family, table)
        return "".join(f"{line}\n" for line in lines)

    def _table(self, family: Family, table: Table) -> list[str]:
        chains = [one for one in self.chains if (one.family, one.table) == (family, table)]
        jumps = [one.rule for one in self.jumps if (one.family, one.table) == (family, table)]
        if not chains and not jumps:
            return []
        declared = [declaration(one.name) for one in chains]
        return [f"*{table} # v{family}", *declared, *(rule for one in chains for rule in one.rules), *jumps, "COMMIT"]


def parse_part(text: str) -> Part:
    """Return the part whose text it is."""
    name, chains, jumps, sets = "", dict[tuple[Family, Table, str], list[str]](), list[IpJump](), dict[str, IpSet]()
    family: Family = 4
    table: Table = "filter"
    for line in text.splitlines():
        words = line.split(" ")
        if line.startswith("# "):
            name = line[2:]
        elif words[0] == "create":
            sets[words[1]] = IpSet(6 if words[4] == "inet6" else 4, words[1], ())
        elif words[0] == "add":
            one = sets[words[1]]
            sets[words[1]] = IpSet(one.family, one.name, (*one.entries, words[2]))
        elif line.startswith("*"):
            family, table = (6 if words[2] == "v6" else 4), cast("Table", words[0][1:])
        elif line.startswith(":"):
            chains[family, table, words[0][1:]] = []
        elif (family, table, words[1] if len(words) > 1 else "") in chains:
            chains[family, table, words[1]].append(line)
        elif line != "COMMIT":
            jumps.append(IpJump(family, table, words[1], line))
    found = tuple(IpChain(*key, tuple(rules)) for key, rules in chains.items())
    return Part(name, found, tuple(jumps), tuple(sets.values()))


def sealed(part: str, family: Family, table: Table, name: str, rules: Iterable[str]) -> IpChain:
    """Return a chain of *part* with its seal; *rules* without ``-A NAME``."""
    lines = [f"-A {name} {rule}" for rule in rules]
    return IpChain(family, table, name, (*lines, seal(part, name, lines)))


def seal(part: str, name: str, lines: Iterable[str]) -> str:
    """Return the rule that tells whose the chain *name* is, behind its other *lines*."""
    listed = list(lines)
    return f'-A {name} -m comment --comment "{OURS} {part} {digest(listed)} {len(listed)}"'


def declaration(chain: str) -> str:
    """Return the line that makes a chain, or empties it."""
    return f":{chain} - [0:0]"


def comment(rule: str) -> str:
    """Return a rule's comment, nothing where it has none."""
    found = _COMMENT.search(rule)
    return (found[1] or found[2] or "") if found else ""


def target(rule: str) -> str:
    """Return what a rule jumps to or does, nothing for a seal."""
    found = _TARGET.search(_COMMENT.sub("", rule))
    return found[1] if found else ""


def sets_of(rule: str) -> list[str]:
    """Return the names of the sets that a rule asks."""
    return _SETS.findall(rule) if "--match-set" in rule else []


def digest(lines: Iterable[str]) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of *lines*."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
