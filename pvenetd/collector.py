"""Python's garbage collector, told what this program is like: many small values that live long, and no cycles."""

from __future__ import annotations

import gc

_YOUNG = 300_000
"""New objects after which the young ones are looked through (Python's own: 700): reading 5,000 stanzas makes fewer."""


def tune() -> None:
    """Leave alone what has been loaded, and look seldom: half the time to read a long file is else spent looking."""
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)
