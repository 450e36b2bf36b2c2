"""Domains of libvirt's that are no guests of ours: the guard lets their devices through, whatever they are called."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pvenetd.daemon.guard import Guard
from pvenetd.daemon.staging import Files

STRANGERS = "run/pvenetd/strangers.json"
"""``{UUID: [device, …]}``: a daemon that starts again stops none of them while it waits for libvirt."""


class Strangers:
    """UUID → devices of a domain that runs and is not ours."""

    def __init__(self, files: Files, guard: Guard) -> None:
        self._files = files
        self._guard = guard
        data = files.read(STRANGERS)
        told: dict[str, list[str]] = json.loads(data) if data else {}
        self.known: Mapping[str, frozenset[str]] = {uuid: frozenset(devices) for uuid, devices in told.items()}
        self._let_through()

    async def put(self, uuid: str, devices: frozenset[str]) -> None:
        """Have *devices* be those of the domain *uuid*, none where it is ours or gone.  Raises as `Guard.follow`."""
        after = {**self.known, uuid: devices}
        after = {one: names for one, names in after.items() if names}
        if after == self.known:
            return
        told = {one: sorted(names) for one, names in sorted(after.items())}
        self._files.put(STRANGERS, json.dumps(told).encode() if told else None)
        self.known = after
        self._let_through()
        await self._guard.follow()

    def _let_through(self) -> None:
        self._guard.nobodys = frozenset(name for devices in self.known.values() for name in devices)
