"""Tap: the host's end of a guest's NIC, ``tap<vmid>i<n>`` (the kernel's Documentation/networking/tuntap.rst)."""

from __future__ import annotations

from typing import ClassVar

from pvenetd.kinds.link import Link
from pvenetd.option import Note


class Tap(Link):
    """A guest's NIC as the host sees it; one that QEMU or libvirt makes goes with the guest."""

    kinds: ClassVar[tuple[str, ...]] = ("tun",)
    prefix: ClassVar[str] = "IFLA_TUN_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"multi_queue"}

    kind: str = "tap"
    alias: Note | None = None
    """As it is."""
    altname: str | None = None
    """Another name it answers to: a guest's tap that libvirt calls ``vnet3`` is ``tap100i0``, too."""
    multi_queue: bool | None = None
    """More than one queue (IFF_MULTI_QUEUE): fixed when it is made."""
