"""One piece in the place of another, in one transaction: what goes, what stays, what is counted on.

What both have stays, emptied, so that no packet is ever led to where there is nothing.  Sets and groups that others
still refer to stay, too, until nobody does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pvenetd.firewall import wire
from pvenetd.firewall.counters import Counters, written
from pvenetd.firewall.listing import Found, pieces, referred
from pvenetd.firewall.nft import GROUPS, GUARD, SETS, TABLES, element, element_key, piece_key, seal
from pvenetd.state import Chains


@dataclass(frozen=True, slots=True)
class Exchange:
    """*new* in the place of *old*; without a *new* one it only goes."""

    piece: Chains
    old: Found | None
    new: Found | None
    left: Found = field(default_factory=Found)
    """What stays of *old* although *new* does not have it."""
    taken: frozenset[tuple[str, str, str, str]] = frozenset()
    """Elements of *piece* that somebody else has: two guests may have one MAC address, and one of them answers."""
    counted: Counters = field(default_factory=dict)
    """What the rules of *new* begin to count at."""

    @property
    def messages(self) -> bytes | None:
        """Return what is sent for a guest's piece past nft's library; None where its messages cannot say it."""
        name, old, new = self.piece.name, self.old, self.new or Found()
        if not name.startswith("vm:") or (old and old.sets) or self.taken:
            return None
        added, found = self.piece.wire(self.piece.text) if self.new and self.piece.wire else b"", b""
        if self.new and not added:
            return None
        if old:
            emptied = list(old.chains)
            gone = [key for key in old.chains if key not in new.chains]
            elements = [one[:3] for one in old.elements if one not in new.elements]
            found += wire.remove(name, emptied, gone, elements, sealed=bool(old.digest))
        if self.new:
            found += wire.counting(added, self.counted) if self.counted else added
        return found

    @property
    def script(self) -> str:
        """Return the same, of any piece, as commands."""
        if not self.new and self.piece.name == "base":
            return "".join(f"table {table} pvenetd\ndelete table {table} pvenetd\n" for table in TABLES)
        found = self._removal(self.old) if self.old else ""
        if not self.new:
            return found
        text = written(self.piece.text, self.counted) if self.counted else self.piece.text
        if more := self.left.count:
            name, digest, rules = self.piece.name, self.new.digest, self.new.rules
            text = text.replace(seal(name, digest, rules), seal(name, digest, rules + more))
        for one in self.taken:
            text = text.replace(element(*one), "")
        return found + text

    @property
    def after(self) -> dict[str, Found]:
        """Return what there is of the piece afterwards."""
        name = self.piece.name
        found = {name: self.new} if self.new else {}
        if self.left.chains or self.left.sets:
            found.setdefault(name, Found()).add(self.left)
        return found

    def _removal(self, old: Found) -> str:
        new = self.new or Found()
        lines = [
            f"delete element {table} pvenetd {way} {{ {element_key(way, port)} }}"
            for table, way, port, lead in old.elements
            if (table, way, port, lead) not in new.elements
        ]
        chains = [key for key in old.chains if key not in self.left.chains]
        lines += [f"flush chain {table} pvenetd {chain}" for table, chain in chains]
        lines += [f"delete chain {key[0]} pvenetd {key[1]}" for key in chains if self._goes(key, old.chains[key], new)]
        for (table, what), block in old.sets.items():
            kind, _, name = what.rpartition(" ")
            if (table, what) not in self.left.sets and (table, what) not in new.sets:
                lines.append(f"delete {kind} {table} pvenetd {name}")
            elif (table, what) in new.sets and "flags interval" in block:
                lines.append(f"flush {kind} {table} pvenetd {name}")
        if old.digest:
            lines.append(f'delete element bridge pvenetd pieces {{ "{piece_key(self.piece.name)}" }}')
        return "".join(f"{line}\n" for line in lines)

    def _goes(self, key: tuple[str, str], block: str, new: Found) -> bool:
        """Return whether a chain is deleted; one with a hook always, as what it hangs on cannot be changed.

        Guests' chains jump to those of the base that have no hook, the base to the guard's: those stay.
        """
        return " hook " in block or (key not in new.chains and self.piece.name not in ("base", GUARD))


def exchange(piece: Chains, others: Mapping[str, Found], *, keep: bool) -> Exchange:
    """Return how *piece* comes, or with *keep* false goes, where there are *others*, and maybe itself."""
    name, old = piece.name, others.get(piece.name)
    new = pieces(piece.text).get(name, Found()) if keep else None
    left, taken = Found(), frozenset[tuple[str, str, str, str]]()
    if old and name in (SETS, GROUPS):
        left = old.beside(new or Found(), held(name, others))
    if new and (answers := [one for one in new.elements if one[1] == "answers"]):
        theirs = {
            one[2] for other, found in others.items() if other != name for one in found.elements if one[1] == "answers"
        }
        taken = frozenset(one for one in answers if one[2] in theirs)
        new.elements = [one for one in new.elements if one not in taken]
    return Exchange(piece, old, new, left, taken)


def held(name: str, others: Mapping[str, Found]) -> frozenset[str]:
    """Return what pieces other than *name* refer to."""
    return referred(found for other, found in others.items() if other != name)


def sweep(name: str, there: Found, left: Found) -> str:
    """Return the commands that delete what was *left* of the piece *name*, of which *there* is so much."""
    lines = [f"flush chain {table} pvenetd {chain}" for table, chain in left.chains]
    lines += [f"delete chain {table} pvenetd {chain}" for table, chain in left.chains]
    lines += [
        f"delete {what.rpartition(' ')[0]} {table} pvenetd {what.rpartition(' ')[2]}" for table, what in left.sets
    ]
    text = "".join(f"{line}\n" for line in lines)
    if there.digest:
        text += f'delete element bridge pvenetd pieces {{ "{piece_key(name)}" }}\n'
        text += seal(name, there.digest, there.rules - left.count)
    return text
