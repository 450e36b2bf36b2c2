"""The netN lines of a guest's file, changed without loss: every other byte of it stays.

Sources: qm.conf(5), pct.conf(5) of Proxmox VE; what stands in a section (a snapshot, ``[PENDING]``) is not how the
guest is now, and is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NET = re.compile(r"(?P<head>[ \t\r]*net(?P<index>0|[1-9][0-9]{0,3})[ \t]*:[ \t]*)(?P<value>.*?)(?P<tail>[ \t\r]*)")

_TRUNKS = re.compile(r"(?<=,)trunks=[^,\s]*")


def values(text: str) -> dict[int, str]:
    """Return the netN strings as they are written, by their N."""
    found: dict[int, str] = {}
    for _, row in _nets(text.split("\n")):
        found.setdefault(int(row["index"]), row["value"])
    return found


def with_trunks(text: str, written: str) -> str:
    """Return the netN string *text* with the trunks of *written*: clients compare them with what they sent, 5;6.

    All else Proxmox VE has in an order of its own, too.
    """
    found = _TRUNKS.search(written)
    return _TRUNKS.sub(lambda _: found[0], text) if found else text


def put(text: str, index: int, value: str) -> str:
    """Return *text* with *value* for net*index*: in its line, or in one of its own after the NICs before it.

    Of several lines for one NIC it is the first that counts.
    """
    rows = text.split("\n")
    for number, found in _nets(rows):
        if int(found["index"]) == index:
            rows[number] = f"{found['head']}{value}{found['tail']}"
            return "\n".join(rows)
    at = _place(rows, index)
    near = rows[at - 1] if at else rows[at]
    rows.insert(at, f"net{index}: {value}" + ("\r" if near.endswith("\r") else ""))
    return "\n".join(rows)


def drop(text: str, index: int) -> str:
    """Return *text* without net*index*: what `put` has added is gone again."""
    rows = text.split("\n")
    gone = {number for number, found in _nets(rows) if int(found["index"]) == index}
    return "\n".join(row for number, row in enumerate(rows) if number not in gone)


def _nets(rows: list[str]) -> Iterator[tuple[int, re.Match[str]]]:
    """Yield the netN lines that say how the guest is now, with their place."""
    for number, row in enumerate(rows[: _end(rows)]):
        if found := _NET.fullmatch(row):
            yield number, found


def _end(rows: list[str]) -> int:
    """Return the place of the first section."""
    return next((number for number, row in enumerate(rows) if row.strip(" \t\r").startswith("[")), len(rows))


def _place(rows: list[str], index: int) -> int:
    """Return where a line for net*index* belongs: beside the other NICs, else after the last line of the guest."""
    nets = [(number, int(found["index"])) for number, found in _nets(rows)]
    if before := [number for number, other in nets if other < index]:
        return max(before) + 1
    if nets:
        return nets[0][0]
    return max((number + 1 for number, row in enumerate(rows[: _end(rows)]) if row.strip()), default=0)
