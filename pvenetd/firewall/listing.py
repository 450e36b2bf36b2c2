"""nft's listing of our tables → pieces: what the kernel has, and the text that would restore it.

Source: nft(8); the output of nft 1.0.6 and 1.1.3.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from pvenetd.firewall import leases, quota
from pvenetd.firewall.answer import ANSWER
from pvenetd.firewall.apart import MAP
from pvenetd.firewall.nft import BRIDGES, FIREWALL, GROUPS, GUARD, SENT, SETS, count, element, seal
from pvenetd.firewall.nft_base import ANSWERS, maps_text
from pvenetd.firewall.nft_cut import KEPT_SETS
from pvenetd.state import INTERFACES, Chains

_TABLE = re.compile(r"^table (inet|bridge|netdev) pvenetd \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^\t(chain|set|map|ct helper) ([\w.-]+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_SEAL = re.compile(r'"([^"]+)" comment "([0-9a-f]{64}) ([0-9]+)(?: ([^"]+))?"')
_LEAD = re.compile(
    r'(?:"([^"]+)"|\b((?:[0-9a-f]{2}:){5}[0-9a-f]{2}))((?: comment "([^"]+)")? : (?:(?:jump|goto) ([\w.-]+)|accept))'
)
"""Port or bridge, and what its frames are led to: the name of its piece in a comment, or a chain of it."""
_ADDED = re.compile(r"^add element (inet|bridge|netdev) pvenetd (in|out|apart|bridges|answers) (.*)", re.MULTILINE)
_GUEST = re.compile(r"vm-([0-9]+)-.+")
_FIRST = {"host": "host", "nat": "nat", "group": GROUPS, "screen": GROUPS, BRIDGES: BRIDGES, GUARD: GUARD, SENT: SENT}
"""The first word of a chain's name → its piece."""
_LASTING = (*KEPT_SETS, *leases.SETS.values(), *quota.SETS)
"""Sets that outlive every piece."""
_METER = re.compile(r"limit-(.*)-[0-9]+-v[46]")
_DEVICELESS = " hook egress priority "
_DECLARED = re.compile(r"^\t\t((?:type|flags|size|timeout) .*)", re.MULTILINE)
_REFERENCE = re.compile(r"(?:@|jump |goto )([\w.-]+)")

_HIDDEN = (("arp saddr ", "arp"), ("icmp type ", "ip"), ("icmpv6 type ", "ip6"))
"""Matches whose ``meta protocol`` nft leaves out of a bridge's listing.  Read back without it, they
would ask for the ether type, which in a VLAN-tagged frame is the tag's."""


_FIELDS = {
    "ip saddr": "@nh,96,32",
    "arp saddr ip": "@nh,112,32",
    "ip6 saddr": "@nh,64,128",
    "icmpv6 taddr": "@th,64,128",
    "@th,64,128": "@th,64,128",
}
_LEASED = re.compile(rf"iifname \. ether saddr \. ({'|'.join(map(re.escape, _FIELDS))}) != @")
"""What is looked up among leases, which nft lists in words of other types than the set's."""


@dataclass(slots=True)
class Found:
    """What the kernel has of one piece, whole or not."""

    chains: dict[tuple[str, str], str] = field(default_factory=dict)
    """(table, chain) → its block of the listing."""
    sets: dict[tuple[str, str], str] = field(default_factory=dict)
    """(table, ``set`` or ``ct helper`` and its name) → its block of the listing."""
    elements: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(table, map, port or bridge, what leads its frames on)."""
    digest: str = ""
    rules: int = 0
    """How many rules and elements there were when it was loaded."""
    listed: bool = False
    """Whether this is nft's spelling, not ours."""
    _resource: Chains | None = None

    @property
    def whole(self) -> bool:
        """Return whether nothing of it was lost since."""
        return bool(self.digest) and self.count == self.rules and not self._deviceless

    @property
    def _deviceless(self) -> bool:
        """Return whether a chain has lost its device, as it does when that is deleted (before Linux 6.16)."""
        return any(_DEVICELESS in block for (table, _), block in self.chains.items() if table == "netdev")

    @property
    def count(self) -> int:
        """Return how many rules and elements there are."""
        leads = [one for one in self.elements if one[1] != "answers"]
        return sum(map(count, (*self.chains.values(), *self.sets.values()))) + len(leads)

    def resource(self, name: str) -> Chains:
        """Return the piece; one that is damaged has no digest, so whatever is wanted differs from it."""
        if self._resource is None:
            self._resource = self._spelled(name)
        return self._resource

    def _spelled(self, name: str) -> Chains:
        digest = self.digest if self.whole else ""
        blocks = [(table, what, block) for (table, what), block in self.sets.items()]
        blocks += [(table, f"chain {chain}", _explicit(block, table)) for (table, chain), block in self.chains.items()]
        text = "".join(f"table {table} pvenetd {{\n\t{what} {{\n{block}\t}}\n}}\n" for table, what, block in blocks)
        text += "".join(element(*one) for one in self.elements)
        if self.digest:
            text += seal(name, self.digest, self.rules)
        if name == "base":
            text = maps_text() + (MAP if "@apart" in text else "") + (ANSWERS if "table netdev" in text else "") + text
        return Chains(name=name, digest=digest, text=text, owner=_owner(name))

    def references(self) -> Iterator[str]:
        """Yield the names of the chains and sets that its rules refer to."""
        for block in self.chains.values():
            yield from _REFERENCE.findall(block)

    def beside(self, new: Found, held: Collection[str]) -> Found:
        """Return what of it *new* does not have and others refer to, who are told by the names that are *held*."""
        return Found(
            {key: block for key, block in self.chains.items() if key not in new.chains and key[1] in held},
            {key: block for key, block in self.sets.items() if key not in new.sets and _name(key[1]) in held},
        )

    def add(self, other: Found) -> None:
        """Have the chains and sets of *other*, too."""
        self.rules += other.count if self.digest else 0
        self.chains |= other.chains
        self.sets |= other.sets

    def drop(self, other: Found) -> None:
        """Have the chains and sets of *other* no longer."""
        self.rules -= other.count if self.digest else 0
        self.chains = {key: block for key, block in self.chains.items() if key not in other.chains}
        self.sets = {key: block for key, block in self.sets.items() if key not in other.sets}
        self._resource = None

    def is_held(self, held: Collection[str]) -> bool:
        """Return whether it is nothing but what others refer to."""
        names = [*(name for _, name in self.chains), *(_name(what) for _, what in self.sets)]
        return not self.digest and not self.elements and all(name in held for name in names)


def _name(what: str) -> str:
    """Return the name in ``set dc-servers-v4``."""
    return what.rpartition(" ")[2]


def pieces(text: str, *, listed: bool = False) -> dict[str, Found]:
    """Return what a listing of our two tables holds, or a piece's own text, by the names of the pieces."""
    found: dict[str, Found] = {}
    for table, body in _TABLE.findall(text):
        for kind, name, block in _BLOCK.findall(body):
            if kind == "chain":
                found.setdefault(_piece(name), Found()).chains[table, name] = block
            elif kind == "map":
                _lead(found, table, name, block)
            elif name not in _LASTING:
                piece = _piece_of_set(name) if kind == "set" else "host"
                found.setdefault(piece, Found()).sets[table, f"{kind} {name}"] = _lasting(block)
    for table, way, command in _ADDED.findall(text):
        _lead(found, table, way, command)
    for key, digest, number, name in _SEAL.findall(text):
        one = found.setdefault(name or key, Found())
        one.digest, one.rules = digest, int(number)
    for one in found.values():
        one.listed = listed
    if (guard := found.get(GUARD)) and not guard.digest and not any(guard.chains.values()):
        del found[GUARD]  # its empty chains are the base's
    return found


def referred(found: Iterable[Found]) -> frozenset[str]:
    """Return the names of all chains and sets that rules refer to."""
    return frozenset(name for one in found for name in one.references())


def _lead(found: dict[str, Found], table: str, way: str, text: str) -> None:
    """Add the elements that *text* has of the map *way*."""
    for port, mac, lead, piece, chain in _LEAD.findall(text):
        found.setdefault(piece or _piece(chain), Found()).elements.append((table, way, port or mac, lead))


def _lasting(block: str) -> str:
    """Return what is declared of a set; what packets have put in is not kept."""
    if "flags dynamic" not in block:
        return block
    return "".join(f"\t\t{line}\n" for line in _DECLARED.findall(block))


def _piece(chain: str) -> str:
    """Return the piece a chain belongs to, by its name."""
    chain = chain.removeprefix(ANSWER)
    if found := _GUEST.fullmatch(chain):
        return f"vm:{found[1]}"
    first, _, rest = chain.partition("-")
    return f"bridge:{rest}" if first == "bridge" else _FIRST.get(first, "base")


def _piece_of_set(name: str) -> str:
    """Return the piece a set belongs to: the cluster's, or the one in whose chain sources are counted in it."""
    return _piece(found[1]) if (found := _METER.fullmatch(name)) else SETS


def _owner(name: str) -> str:
    """Return who wants a piece: nobody else makes one of that name."""
    if name.startswith("vm:"):
        return name
    if name in (GUARD, SENT):
        return GUARD
    return INTERFACES if name == "nat" else FIREWALL


def _explicit(block: str, table: str) -> str:
    """Return a chain's lines with what nft left out."""
    if table == "inet":
        return block
    return "".join(f"{_spelt_out(line)}\n" for line in block.splitlines())


def _spelt_out(line: str) -> str:
    if found := _LEASED.search(line):
        line = line.replace(found[0], f"iifname . @ll,48,48 . {_FIELDS[found[1]]} != @")
    for word, protocol in _HIDDEN:
        if (found := re.search(rf"(?<!\S){word}", line)) and f"meta protocol {protocol} " not in line:
            return f"{line[: found.start()]}meta protocol {protocol} {line[found.start() :]}"
    return line
