"""Counters that outlive their rules: what a rule has counted goes on in the same rule of what takes its place.

A rule is the same where it says the same, whichever line of a file it comes from.  nft's listing, which is all there
is after a restart, spells rules in another way: then those that were sent as messages are known by a mark of theirs,
and the others begin at nothing.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from pvenetd.firewall.listing import Found
from pvenetd.firewall.nft_words import rules
from pvenetd.firewall.wire_format import mark

Counter = tuple[int, int]
"""Packets and bytes."""
Counted = tuple[int, int, bytes]
"""Packets and bytes, and the mark of a rule that was sent as a message."""
Counters = dict[tuple[str, str], list[Counter | None]]
"""(table, chain) → the counter of each rule, in order; None for a rule without one."""


def carried(old: Found, new: Found, counted: Mapping[tuple[str, str], Sequence[Counted | None]]) -> Counters:
    """Return what the rules of *new* begin to count at, of the chains where that is not nothing.

    *counted* is what those of *old* have counted, as the kernel lists them.
    """
    found: Counters = {}
    for key, block in new.chains.items():
        values = counted.get(key, ())
        before = [value[2] if value else b"" for value in values] if old.listed else _marks(old.chains.get(key, ""))
        if len(before) != len(values) or not any(value and value[0] for value in values):
            continue
        known: dict[bytes, deque[Counter]] = defaultdict(deque)
        for rule, value in zip(before, values, strict=True):
            if value and rule:
                known[rule].append(value[:2])
        found[key] = [_next(known.get(rule)) for rule in _marks(block)]
    return found


def _marks(block: str) -> list[bytes]:
    """Return what makes each rule the one it is."""
    return [mark(line)[2:] for line in rules(block)]


def _next(values: deque[Counter] | None) -> Counter | None:
    return values.popleft() if values else None


def written(text: str, counters: Counters) -> str:
    """Return the *text* of a piece with its rules counting from *counters* on."""
    lines = text.split("\n")
    table, at = "", list[Counter | None]()
    for number, line in enumerate(lines):
        if line.startswith("table "):
            table = line.split()[1]
        elif line.startswith("\tchain "):
            at = list(reversed(counters.get((table, line.split()[1]), [])))
        elif at and rules(line) and (value := at.pop()):
            lines[number] = line.replace(" counter ", f" counter packets {value[0]} bytes {value[1]} ", 1)
    return "\n".join(lines)
