"""nft's listing of our tables → pieces: what the kernel has, and the text that would restore it.

Source: nft(8); the output of nft 1.0.6 and 1.1.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pvenetd.firewall.nft import FIREWALL, GUARD, count, element, seal
from pvenetd.firewall.nft_base import maps_text
from pvenetd.state import INTERFACES, Chains

_TABLE = re.compile(r"^table (inet|bridge) pvenetd \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^\t(chain|set|map) ([\w.-]+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_SEAL = re.compile(r'"([^"]+)" comment "([0-9a-f]{64}) ([0-9]+)"')
_LEAD = re.compile(r'"([^"]+)"((?: comment "([^"]+)")? : (?:(?:jump|goto) ([\w.-]+)|accept))')
"""Port, and what its frames are led to: the name of its piece in a comment, or a chain of it."""
_ADDED = re.compile(r"^add element bridge pvenetd (in|out) (.*)", re.MULTILINE)
_GUEST = re.compile(r"vm-([0-9]+)-.+")
_FIRST = {"host": "host", "nat": "nat", "group": "groups", "screen": "groups", GUARD: GUARD}
"""The first word of a chain's name → its piece."""

_JUMPED_TO = ("base", "groups", GUARD)
"""Pieces with chains that others jump to."""

_HIDDEN = (("arp saddr ", "arp"), ("icmp type ", "ip"), ("icmpv6 type ", "ip6"))
"""Matches whose ``meta protocol`` nft leaves out of a bridge's listing.  Read back without it, they
would ask for the ether type, which in a VLAN-tagged frame is the tag's."""


@dataclass(slots=True)
class Found:
    """What the kernel has of one piece, whole or not."""

    chains: dict[tuple[str, str], str] = field(default_factory=dict)
    """(table, chain) → its block of the listing."""
    elements: list[tuple[str, str, str]] = field(default_factory=list)
    """(map, port, what leads its frames on)."""
    digest: str = ""
    rules: int = 0
    """How many rules and elements there were when it was loaded."""
    _resource: Chains | None = None

    @property
    def whole(self) -> bool:
        """Return whether nothing of it was lost since."""
        here = sum(count(block) for block in self.chains.values()) + len(self.elements)
        return bool(self.digest) and here == self.rules

    def resource(self, name: str) -> Chains:
        """Return the piece; one that is damaged has no digest, so whatever is wanted differs from it."""
        if self._resource is None:
            self._resource = self._spelled(name)
        return self._resource

    def _spelled(self, name: str) -> Chains:
        digest = self.digest if self.whole else ""
        text = "".join(
            f"table {table} pvenetd {{\n\tchain {chain} {{\n{_explicit(block, table)}\t}}\n}}\n"
            for (table, chain), block in self.chains.items()
        )
        text += "".join(element(*one) for one in self.elements)
        if self.digest:
            text += seal(name, self.digest, self.rules)
        text = (maps_text() if name == "base" else "") + text
        return Chains(name=name, digest=digest, text=text, owner=_owner(name))

    def removal(self, name: str) -> str:
        """Return the commands that delete it; map elements first, and rules, for they hold chains.

        Guests' chains jump to those of the base that have no hook, the base to the guard's: emptied, they stay.
        """
        lines = [f'delete element bridge pvenetd {way} {{ "{port}" }}' for way, port, _ in self.elements]
        lines += [f"flush chain {table} pvenetd {chain}" for table, chain in self.chains]
        lines += [
            f"delete chain {table} pvenetd {chain}"
            for (table, chain), block in self.chains.items()
            if name not in _JUMPED_TO or " hook " in block
        ]
        if self.digest:
            lines.append(f'delete element bridge pvenetd pieces {{ "{name}" }}')
        return "".join(f"{line}\n" for line in lines)


def pieces(text: str) -> dict[str, Found]:
    """Return what a listing of our two tables holds, or a piece's own text, by the names of the pieces."""
    found: dict[str, Found] = {}
    for table, body in _TABLE.findall(text):
        for kind, name, block in _BLOCK.findall(body):
            if kind == "chain":
                found.setdefault(_piece(name), Found()).chains[table, name] = block
            elif kind == "map":
                _lead(found, name, block)
    for way, command in _ADDED.findall(text):
        _lead(found, way, command)
    for piece, digest, rules in _SEAL.findall(text):
        one = found.setdefault(piece, Found())
        one.digest, one.rules = digest, int(rules)
    if (guard := found.get(GUARD)) and not guard.digest and not any(guard.chains.values()):
        del found[GUARD]  # its empty chains are the base's
    return found


def _lead(found: dict[str, Found], way: str, text: str) -> None:
    """Add the elements that *text* has of the map *way*."""
    for port, lead, piece, chain in _LEAD.findall(text):
        found.setdefault(piece or _piece(chain), Found()).elements.append((way, port, lead))


def _piece(chain: str) -> str:
    """Return the piece a chain belongs to, by its name."""
    if found := _GUEST.fullmatch(chain):
        return f"vm:{found[1]}"
    first, _, rest = chain.partition("-")
    return f"bridge:{rest}" if first == "bridge" else _FIRST.get(first, "base")


def _owner(name: str) -> str:
    """Return who wants a piece: nobody else makes one of that name."""
    if name.startswith("vm:") or name == GUARD:
        return name
    return INTERFACES if name == "nat" else FIREWALL


def _explicit(block: str, table: str) -> str:
    """Return a chain's lines with what nft left out."""
    if table != "bridge":
        return block
    return "".join(f"{_spelt_out(line)}\n" for line in block.splitlines())


def _spelt_out(line: str) -> str:
    for word, protocol in _HIDDEN:
        if (found := re.search(rf"(?<!\S){word}", line)) and f"meta protocol {protocol} " not in line:
            return f"{line[: found.start()]}meta protocol {protocol} {line[found.start() :]}"
    return line
