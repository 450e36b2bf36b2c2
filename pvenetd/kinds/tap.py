"""Tap: the host's end of a guest's NIC, ``tap<vmid>i<n>`` (the kernel's Documentation/networking/tuntap.rst)."""

from __future__ import annotations

from typing import ClassVar

from pvenetd.kinds.link import Link


class Tap(Link):
    """A guest's NIC as the host sees it."""

    kinds: ClassVar[tuple[str, ...]] = ("tun",)
    prefix: ClassVar[str] = "IFLA_TUN_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"multi_queue"}
    silent: ClassVar[frozenset[str]] = Link.silent | {"made_here"}

    kind: str = "tap"
    made_here: bool = True
    """pvenetd makes it, persistent; False where QEMU or libvirt does, and it goes with the guest."""
    multi_queue: bool | None = None
    """More than one queue (IFF_MULTI_QUEUE): fixed when it is made."""

    @property
    def creatable(self) -> bool:
        return self.made_here
