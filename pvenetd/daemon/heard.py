"""What comes in by itself and is not the kernel's: files that somebody changes, monitors of guests."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pvenetd.daemon.definitions import LXC, QEMU
from pvenetd.daemon.guests import Guests
from pvenetd.daemon.store import FIREWALL, Store
from pvenetd.engine import Engine
from pvenetd.errors import PvenetError

DIRECTORIES = (QEMU, LXC, FIREWALL)
"""What is followed, below the root."""
_OF_ALL = frozenset({"cluster.fw", "host.fw"})
_OF_GUEST = re.compile(r"([1-9][0-9]{2,8})\.(?:conf|fw)")


class Heard:
    """Follows what sources tell."""

    def __init__(
        self, store: Store, engine: Engine, guests: Guests, load: Callable[[], Awaitable[Mapping[str, str]]]
    ) -> None:
        self._store, self._engine, self._guests = store, engine, guests
        self._load = load
        """Brings firewall and guests to what all files say; returns owner → error."""

    async def files(self, changed: Mapping[Path, frozenset[str] | None]) -> None:
        """Bring the guests whose files have *changed* to what these say now; None stands for any file.

        A broken file leaves its guest as it is, and is told of.
        """
        names = {name for some in changed.values() for name in some or ()}
        if None in changed.values() or names & _OF_ALL:
            failed = await self._load()
        else:
            failed = await self._guests.load(
                sorted({int(found[1]) for found in map(_OF_GUEST.fullmatch, names) if found})
            )
        for owner, error in failed.items():
            self._engine.told("failed", {"owner": owner, "error": error, "outcome": "it stays as it is"})

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
