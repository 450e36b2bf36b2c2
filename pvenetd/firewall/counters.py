"""Counters that outlive their rules: what a rule has counted goes on in the same rule of what takes its place.

A rule is the same where it says the same, whichever line of a file it comes from.  What was only read from nft's
listing, after a restart, is spelled in another way: then the first change begins at nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from pvenetd.firewall.listing import Found
from pvenetd.firewall.nft import rules

Counter = tuple[int, int]
"""Packets and bytes."""
Counters = dict[tuple[str, str], list[Counter | None]]
"""(table, chain) → the counter of each rule, in order; None for a rule without one."""

_NOTE = re.compile(r' comment "[^"]*"$')


def carried(old: Found, new: Found, counted: Mapping[tuple[str, str], Sequence[Counter | None]]) -> Counters:
    """Return what the rules of *new* begin to count at, of the chains where that is not nothing.

    *counted* is what those of *old* have counted, as the kernel lists them.
    """
    found: Counters = {}
    for key, block in new.chains.items():
        before, values = rules(old.chains.get(key, "")), counted.get(key, ())
        if len(before) != len(values):
            continue
        known: dict[str, deque[Counter]] = defaultdict(deque)
        for line, value in zip(before, values, strict=True):
            if value:
                known[_same(line)].append(value)
        if any(value and value[0] for value in values):
            found[key] = [_next(known.get(_same(line))) for line in rules(block)]
    return found


def _same(line: str) -> str:
    """Return what makes a rule the one it is: all but where it comes from."""
    return _NOTE.sub("", line)


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
