"""A text that is read again at another place, or beside another, says the same there."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pvenetd.interfaces import syntax
from pvenetd.interfaces.stanza import File, Line
from pvenetd.interfaces.syntax import parse

_WORDS = ["\n", "\\", "\r", " ", "\t", "#", "auto ", "a_b", "\ufeff", "\v", "x", "\\\n", "\0", "mapping x\n"]
_STANZAS = ["\nauto a\niface a inet manual\n\tmtu 5\n", "iface b inherits a\n", "source z\n", "rename a=b\n"]
_TEXTS = st.lists(st.sampled_from(_WORDS + _STANZAS), max_size=12).map("".join)


@given(_TEXTS, _TEXTS)
def test_where_a_text_was_read_before_makes_no_difference(one: str, other: str) -> None:
    parse(one)
    moved = parse(other + one)
    syntax._known.cache_clear()
    assert plain(moved) == plain(parse(other + one))


def plain(value: Any) -> Any:
    """Return what a file, or a part of it, says, comparable."""
    if isinstance(value, Line) or not isinstance(value, tuple | File | syntax.Stanza):
        return value
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return type(value), [plain(getattr(value, field.name)) for field in fields(value)]
