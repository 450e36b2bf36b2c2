"""The mark of what is ours, in a link's alias (IFLA_IFALIAS): ``pvenetd:<owner>``, then the user's own words."""

from __future__ import annotations

import re
from typing import NamedTuple

from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap

_MARK = "pvenetd:"
_CONFIGURED = " (configured)"
"""So the mark ends where another program made the link: it is let go, and never deleted."""
_FORM = re.compile(rf"{_MARK}(\S+)({re.escape(_CONFIGURED)})?(?: (.*))?", re.DOTALL)


class Mark(NamedTuple):
    """What an alias says."""

    owner: str
    """Empty where the link is not ours."""
    made_here: bool
    alias: str
    """The user's words."""


def read(alias: str) -> Mark:
    """Return what the kernel's *alias* says."""
    if found := _FORM.fullmatch(alias):
        return Mark(found[1], not found[2], found[3] or "")
    return Mark("", made_here=True, alias=alias)


def spelled(link: Link) -> str:
    """Return the kernel's alias of *link*: its mark, where it has an owner, and the user's words."""
    made_elsewhere = not link.creatable and not isinstance(link, Tap)  # who made a tap shows in the tap
    mark = f"{_MARK}{link.owner}{_CONFIGURED if made_elsewhere else ''}" if link.owner else ""
    return " ".join(filter(None, (mark, link.alias)))
