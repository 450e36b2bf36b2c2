"""What a firewall file says otherwise than before, in rules and options: comments and blanks are nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from pvenetd.firewall.sections import sections


class Said(NamedTuple):
    """One line that says something."""

    section: str
    """As `[IPSET servers]`."""
    text: str
    """Its words with one blank between them, without its comment."""
    line: int


@dataclass(frozen=True, slots=True)
class Change:
    """A line that is new, or gone."""

    sign: Literal["+", "-"]
    said: Said
    """A line that is gone has the number that it had."""


def difference(before: tuple[str, ...], now: tuple[str, ...]) -> Iterator[Change]:
    """Yield what *now* says and *before* did not, and the other way round, in the order of the files."""
    old, new = [*_said(before)], [*_said(now)]
    matcher = SequenceMatcher(None, [one[:2] for one in old], [one[:2] for one in new], autojunk=False)
    for tag, first, last, begin, end in matcher.get_opcodes():
        if tag != "equal":
            yield from (Change("-", one) for one in old[first:last])
            yield from (Change("+", one) for one in new[begin:end])


def _said(lines: tuple[str, ...]) -> Iterator[Said]:
    """Yield the lines that say something; a rule that is switched off says nothing."""
    for section in sections(lines):
        header = f"[{' '.join(filter(None, (section.kind.upper(), section.name.lower())))}]"
        if section.kind in ("ipset", "group"):
            yield Said(header, "", section.line)
        for number, text in section.body:
            words = " ".join(text.partition("#")[0].split())
            if words and not words.startswith("|"):
                yield Said(header, words, number)
