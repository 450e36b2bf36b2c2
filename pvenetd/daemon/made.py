"""Which NICs' devices are made here: chosen by hand, so it has to outlive the daemon.

The mark in the kernel tells it as well, as long as the device is there; one that somebody has deleted is made again.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from pvenetd.daemon.staging import Files

MADE = "run/pvenetd/made.json"
"""``{VMID: [N of netN, …]}``."""


class Made:
    """VMID → NICs whose devices are made here."""

    def __init__(self, files: Files) -> None:
        self._files = files
        data = files.read(MADE)
        told: dict[str, list[int]] = json.loads(data) if data else {}
        self._nics = {int(vmid): frozenset(indices) for vmid, indices in told.items()}

    def vmids(self) -> list[int]:
        """Return the guests that have some."""
        return sorted(self._nics)

    def of(self, vmid: int) -> frozenset[int]:
        """Return the NICs of guest *vmid*."""
        return self._nics.get(vmid, frozenset())

    def put(self, vmid: int, indices: Collection[int]) -> None:
        """Have *indices* be those of guest *vmid*, on disk first."""
        if frozenset(indices) == self.of(vmid):
            return
        after = {**self._nics, vmid: frozenset(indices)}
        after = {one: nics for one, nics in after.items() if nics}
        told = {str(one): sorted(nics) for one, nics in sorted(after.items())}
        self._files.put(MADE, json.dumps(told).encode() if told else None)
        self._nics = after
