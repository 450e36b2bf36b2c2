"""What iptables' rules have counted: read from its listing, told by the comment that says where a rule comes from.

Source: iptables-save(8), ``--counters``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pvenetd.firewall.tally import Tally

_RULE = re.compile(r"\[([0-9]+):([0-9]+)\] -A (\S+) (.*)")
_COMMENT = re.compile(r' ?-m comment --comment (?:"([^"]*)"|(\S+))')
_DECIDES = re.compile(r"(?:^| )-[jg] ")


def tallies(table: str, listing: str, pieces: Mapping[str, str]) -> Iterator[Tally]:
    """Yield the rules of the chains that *pieces* names, each with its piece; *table* is what they are told as.

    A chain's seal decides nothing, and is no rule of anybody's.
    """
    for line in listing.splitlines():
        found = _RULE.fullmatch(line)
        if found and (piece := pieces.get(found[3])) and _DECIDES.search(found[4]):
            note = _COMMENT.search(found[4])
            text = _COMMENT.sub("", found[4]).strip()
            origin = (note[1] or note[2] or "") if note else ""
            yield Tally(table, found[3], text, int(found[1]), int(found[2]), origin, piece)
