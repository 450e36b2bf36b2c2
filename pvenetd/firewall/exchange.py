"""One piece in the place of another, in one transaction: what goes, what stays, what is counted on.

What both have stays, emptied, so that no packet is ever led to where there is nothing.  Sets and groups that others
still refer to stay, too, until nobody does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pvenetd.firewall import wire
from pvenetd.firewall.counters import Counters, written
from pvenetd.firewall.listing import Found, pieces
from pvenetd.firewall.nft import GUARD, piece_key, seal
from pvenetd.state import Chains


@dataclass(frozen=True, slots=True)
class Exchange:
    """*new* in the place of *old*; without a *new* one it only goes."""

    piece: Chains
    old: Found | None
    new: Found | None
    left: Found = field(default_factory=Found)
    """What stays of *old* although *new* does not have it."""
    counted: Counters = field(default_factory=dict)
    """What the rules of *new* begin to count at."""

    @property
    def messages(self) -> bytes | None:
        """Return what is sent for a guest's piece past nft's library; None where its messages cannot say it."""
        name, old, new = self.piece.name, self.old, self.new or Found()
        if not name.startswith("vm:") or (self.new and not self.piece.wire) or (old and old.sets):
            return None
        found = b""
        if old:
            emptied = [chain for _, chain in old.chains]
            gone = [chain for table, chain in old.chains if (table, chain) not in new.chains]
            ports = [one[1:3] for one in old.elements if one not in new.elements]
            found += wire.remove(name, emptied, gone, ports, sealed=bool(old.digest))
        if self.new:
            counted = {chain: values for (_, chain), values in self.counted.items()}
            found += wire.counting(self.piece.wire, counted) if counted else self.piece.wire
        return found

    @property
    def script(self) -> str:
        """Return the same, of any piece, as commands."""
        if not self.new and self.piece.name == "base":
            return "".join(f"table {table} pvenetd\ndelete table {table} pvenetd\n" for table in ("inet", "bridge"))
        found = self._removal(self.old) if self.old else ""
        if not self.new:
            return found
        text = written(self.piece.text, self.counted) if self.counted else self.piece.text
        if more := self.left.count:
            name, digest, rules = self.piece.name, self.new.digest, self.new.rules
            text = text.replace(seal(name, digest, rules), seal(name, digest, rules + more))
        return found + text

    @property
    def after(self) -> dict[str, Found]:
        """Return what there is of the piece afterwards."""
        name = self.piece.name
        found = pieces(self.piece.text) if self.new else {}
        if self.left.chains or self.left.sets:
            found.setdefault(name, Found()).add(self.left)
        return found

    def _removal(self, old: Found) -> str:
        new = self.new or Found()
        lines = [
            f'delete element {table} pvenetd {way} {{ "{port}" }}'
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


def exchange(piece: Chains, old: Found | None, held: frozenset[str], *, keep: bool) -> Exchange:
    """Return how *piece* comes, or with *keep* false goes, where there is *old*; others refer to what is *held*."""
    new = pieces(piece.text).get(piece.name, Found()) if keep else None
    return Exchange(piece, old, new, old.beside(new or Found(), held) if old and held else Found())


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
