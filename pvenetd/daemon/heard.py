"""What comes in by itself and is not the kernel's: files that somebody changes, monitors of guests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pvenetd.daemon.definitions import LXC, QEMU
from pvenetd.daemon.guests import Guests
from pvenetd.daemon.rule_files import GRACE, RuleFiles
from pvenetd.daemon.store import FIREWALL, Store
from pvenetd.engine import Engine
from pvenetd.errors import PvenetError

DIRECTORIES = (QEMU, LXC, FIREWALL)
"""What is followed, below the root."""
_OF_GUEST = re.compile(r"([1-9][0-9]{2,8})\.(?:conf|fw)")

_MARGIN = 0.05
"""Seconds more, so that two clocks may differ."""

Load = Callable[[], Awaitable[Mapping[str, str]]]


class Heard:
    """Follows what sources tell."""

    def __init__(
        self, store: Store, engine: Engine, guests: Guests, load: Load, load_rules: Load, rule_files: RuleFiles
    ) -> None:
        self._store, self._engine, self._guests = store, engine, guests
        self._load, self._load_rules = load, load_rules
        """Bring firewall and guests to what all files say; return owner → error."""
        self._rule_files = rule_files
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    async def files(self, changed: Mapping[Path, frozenset[str] | None]) -> None:
        """Bring the guests whose files have *changed* to what these say now; None stands for any file.

        A broken file leaves its guest as it is, and is told of.
        """
        names = {name for some in changed.values() for name in some or ()}
        guests = {int(found[1]) for found in map(_OF_GUEST.fullmatch, names) if found}
        if None in changed.values():
            await self._follow(self._load)
        elif any(name.endswith(".fw") and not _OF_GUEST.fullmatch(name) for name in names):
            await self._follow(self._load_rules)
        if guests and None not in changed.values():
            await self._follow(lambda: self._guests.load(sorted(guests)))

    async def _follow(self, load: Load) -> None:
        for owner, error in (await load()).items():
            self._engine.told("failed", {"owner": owner, "error": error, "outcome": "it stays as it is"})
        if (gone := self._rule_files.waiting()) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GRACE + _MARGIN, self._look_again, gone)

    def _look_again(self, gone: Collection[str]) -> None:
        """Follow files that are *gone*, where nobody has put others in their place; guests' own for them alone."""
        self._timer = None
        guests = sorted(int(name) for name in gone if name.isdigit())
        load = self._load_rules if len(guests) < len(gone) else lambda: self._guests.load(guests)
        self._looking = asyncio.ensure_future(self._follow(load))

    def close(self) -> None:
        """Look at nothing again."""
        if self._timer:
            self._timer.cancel()
        if self._looking:
            self._looking.cancel()

    def links(self, vmid: int) -> Mapping[int, bool]:
        """Return for each NIC whether its cable is plugged in; none of a guest that cannot be read."""
        try:
            guest = self._store.guest(vmid)
        except PvenetError:
            return {}
        return {index: not nic.link_down for index, nic in guest.nics.items()} if guest else {}

    def happened(self, vmid: int, what: str, facts: Mapping[str, Any]) -> None:
        """Tell what a guest did."""
        self._engine.told("guest", {"vmid": vmid, "what": what, **facts})

    async def changed(self, vmid: int) -> None:
        """Bring a guest to what it is to have: devices have gone, or all of it.

        A tap that was made here stays: whoever starts the guest again finds it plugged.
        """
        await self._guests.load([vmid])
