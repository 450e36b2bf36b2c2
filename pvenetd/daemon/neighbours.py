"""Who else keeps a network on this host, and what of theirs is in our guests' way: only told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol, cast

from pvenetd.daemon.overview import RemarkRecord
from pvenetd.engine import Engine
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.neighbours import Guarded, Seen, remarks
from pvenetd.state import Address, State

log = logging.getLogger("pvenetd")


class Source(Protocol):
    """Where others are seen."""

    def look(self) -> Seen:
        """Return what they have."""
        ...


class Nobody:
    """A machine that nobody looks at."""

    def look(self) -> Seen:
        """Return nothing."""
        return Seen()


class Neighbours:
    """The others on this host."""

    def __init__(self, engine: Engine, design: str, is_on: Callable[[], bool]) -> None:
        self._engine = engine
        self._is_on = is_on
        """Returns whether the firewall is on."""
        self._design = design
        self.source: Source = Nobody()

    async def told(self, guests: Iterable[Mapping[str, Any]]) -> list[RemarkRecord]:
        """Return what is to be told of them; *guests* are the records of ours."""
        here = replace(_guarded(await self._engine.observe(), guests), filtered=self._is_on())
        seen = await asyncio.to_thread(self.source.look)
        return [cast("RemarkRecord", asdict(remark)) for remark in remarks(seen, here, self._design)]

    async def warn(self, guests: Iterable[Mapping[str, Any]]) -> None:
        """Say in the journal what of theirs is in our guests' way."""
        for one in await self.told(guests):
            if one["severity"] == "warning":
                log.warning("%s: %s (%s)", one["who"], one["text"], one["hint"])


def _guarded(live: State, guests: Iterable[Mapping[str, Any]]) -> Guarded:
    used = frozenset(nic["bridge"] for guest in guests for nic in guest["nics"] if nic["bridge"])
    links = [link for link in live.values() if isinstance(link, Link)]
    return Guarded(
        used,
        frozenset(one.dev for one in live.values() if isinstance(one, Address) and one.dev in used),
        {
            bridge.name: [link.name for link in links if link.master == bridge.name]
            for bridge in links
            if isinstance(bridge, Bridge) and not bridge.owner and bridge.name not in used
        },
    )
