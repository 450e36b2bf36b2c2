"""The mark of what is ours, in a link's alias (IFLA_IFALIAS): ``pvenetd:<owner>``, then the user's own words.

A VXLAN's mark tells its remotes, too: what somebody else has entered in its FDB stays.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

from pvenetd.kinds.link import Link
from pvenetd.kinds.vxlan import Vxlan

_MARK = "pvenetd:"
_CONFIGURED = " (configured)"
"""So the mark ends where another program made the link: it is let go, and never deleted."""
_FORM = re.compile(rf"{_MARK}(\S+)({re.escape(_CONFIGURED)})?(?: \(to (\S+)\))?(?: (.*))?", re.DOTALL)
_ROOM = 255
"""Bytes of an alias (IFALIASZ without its final NUL)."""
_ALL = "*"
"""In the place of a VXLAN's remotes, where they have no room."""


class Mark(NamedTuple):
    """What an alias says."""

    owner: str
    """Empty where the link is not ours."""
    made_here: bool
    alias: str
    """The user's words."""
    remotes: str = ""
    """Which entries of a VXLAN's FDB are ours: a tag of three characters each, or ``*`` for all."""


def ours(addresses: Iterable[str], marked: str) -> set[str]:
    """Return those of *addresses* that the tags *marked* name as remotes of ours."""
    tags = {marked[at : at + 3] for at in range(0, len(marked), 3)}
    return {text for text in addresses if marked == _ALL or _tag(text) in tags}


def read(alias: str) -> Mark:
    """Return what the kernel's *alias* says."""
    if found := _FORM.fullmatch(alias):
        return Mark(found[1], not found[2], found[4] or "", found[3] or "")
    return Mark("", made_here=True, alias=alias)


def spelled(link: Link) -> str:
    """Return the kernel's alias of *link*: its mark, where it has an owner, and the user's words."""
    mark = f"{_MARK}{link.owner}{'' if link.creatable else _CONFIGURED}" if link.owner else ""
    if not link.owner or not isinstance(link, Vxlan) or not link.remotes:
        return " ".join(filter(None, (mark, link.alias)))
    tags = _ALL if crowded(link) else _tags(link)
    return " ".join(filter(None, (mark, f"(to {tags})", link.alias)))


def crowded(link: Vxlan) -> bool:
    """Return whether the mark of *link* has no room for its remotes: then all entries are taken to be ours."""
    words = len(f"{_MARK}{link.owner} (to {_tags(link)}) ") + len((link.alias or "").encode())
    return words > _ROOM


def _tags(link: Vxlan) -> str:
    return "".join(sorted({_tag(text) for text in link.remotes}))


def _tag(address: str) -> str:
    """Return what stands for *address*: an FDB entry has room for no mark of its own."""
    return base64.urlsafe_b64encode((zlib.crc32(ip_address(address).packed) & 0xFFFF).to_bytes(2))[:3].decode("ascii")
