"""How much a guest's port carries a second: `Rate`, a token bucket each way (tc-tbf(8), tc-police(8))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pvenetd.resource import Changes, Key, Resource

MEGABYTE = 1 << 20
"""Bytes: the unit of ``rate`` in a netN string."""


class Rate(Resource):
    """Bytes a second to the guest and from it; 0 for any number.

    What is too much waits on its way to the guest, and is dropped on its way from it.  A way that somebody else
    has a queueing discipline for (libvirt, for ``<bandwidth>``) is his: None, of a current one.
    """

    noun: ClassVar[str] = "rate"
    rank: ClassVar[int] = 6
    named: ClassVar[frozenset[str]] = frozenset({"dev"})

    dev: str
    """The port: a tap, or the host's end of a container's pair."""
    to_guest: int | None = 0
    from_guest: int | None = 0

    @property
    def key(self) -> Key:
        return ("rate", self.dev)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({("link", self.dev)})

    @property
    def dies_with(self) -> frozenset[Key]:
        return self.needs

    def changes(self, current: Resource) -> Changes:
        """Return what differs, but for a way that is somebody else's."""
        found = super().changes(current)
        return {name: pair for name, pair in found.items() if name in ("owner", "dev") or pair[0] is not None}

    def kept(self, desired: Mapping[Key, Resource]) -> bool:  # noqa: ARG002 - what is ours depends on this one alone
        """Return whether nothing of this current one is ours to take away."""
        return not self.to_guest and not self.from_guest
