"""The rules that are loaded, each with its line and what it has counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from typing_extensions import TypedDict

from pvenetd.daemon.store import FIREWALL, Store
from pvenetd.engine import Engine
from pvenetd.firewall.tally import Tally, logs

_LINE = re.compile(r"([^/:]+\.fw):([0-9]+)")
_GUEST = re.compile(r"vm[-:]([0-9]+)")


class RuleRecord(TypedDict):
    """A line of a firewall file, as it is loaded in one chain."""

    vmid: int
    """The guest whose chain it is, 0 for the host's."""
    table: str
    chain: str
    origin: str
    """Its ``FILE:LINE``, or a word for rules that no file says."""
    text: str
    """The line; empty where the file has changed since."""
    rules: list[str]
    """What the kernel has for it, in nft's words."""
    packets: int
    bytes: int


class LoadedRules:
    """What the kernel's rules have counted, by the lines they come from."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine

    async def records(self, vmid: int | None = None) -> list[RuleRecord]:
        """Return what each line has counted, in the order the kernel asks; of one guest's chains alone with *vmid*.

        A line that the kernel has several rules for is one record a chain.
        """
        loaded = [key[1] for key in await self._engine.observe() if key[0] == "chains"]
        wanted = loaded if vmid is None else [f"vm:{vmid}"]
        tallies = await self._engine.tallies(wanted)
        return [*_records(tallies, _Texts(self._store))]


class _Texts:
    """Lines of the firewall files, each file read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, list[str]] = {}

    def line(self, origin: str) -> str:
        """Return the line that ``FILE:LINE`` names, nothing for a word of ours, or where the file has changed."""
        found = _LINE.fullmatch(origin)
        if not found:
            return ""
        if found[1] not in self._lines:
            data = self._store.files.read(f"{FIREWALL}/{found[1]}") or b""
            self._lines[found[1]] = data.decode("utf-8", "replace").split("\n")
        lines, number = self._lines[found[1]], int(found[2])
        return lines[number - 1].strip() if number <= len(lines) else ""


def _records(tallies: tuple[Tally, ...], texts: _Texts) -> Iterator[RuleRecord]:
    for (table, chain, origin), rules in groupby(tallies, key=lambda one: (one.table, one.chain, one.origin)):
        found = [*rules]
        deciding = [one for one in found if not logs(one)] or found
        guest = _GUEST.match(found[0].piece or chain)
        yield {
            "vmid": int(guest[1]) if guest else 0,
            "table": table,
            "chain": chain,
            "origin": origin,
            "text": texts.line(origin),
            "rules": [one.text for one in deciding],
            "packets": sum(one.packets for one in deciding),
            "bytes": sum(one.bytes for one in deciding),
        }
