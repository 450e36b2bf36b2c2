"""Device names: ``tap100i0``, ``veth100i0``, ``fwbr100i0`` ⇄ (VMID, index), and what the kernel takes for a name.

Sources: net/core/dev.c dev_valid_name(); Proxmox VE's names for a guest's devices.
"""

from __future__ import annotations

import re

IFNAMSIZ = 16
"""Bytes of an interface name with its final NUL (linux/if.h)."""

_TAP = re.compile(r"tap([1-9][0-9]{2,8})i([0-9]|[12][0-9]|3[01])")

_VETH = re.compile(r"veth([1-9][0-9]{2,8})i([0-9]|[12][0-9]|3[01])")

_FWBR = re.compile(
    r"(?:fwbr|fwln)([1-9][0-9]{2,8})i([0-9]|[12][0-9]|3[01])|fwpr([1-9][0-9]{2,8})p([0-9]|[12][0-9]|3[01])"
)

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,15}")
"""What most names are."""


def is_ifname(name: str) -> bool:
    """Return whether the kernel takes *name* for a device: dev_valid_name(), and nothing unprintable.

    ``:`` is refused by the kernel too: it belongs to alias labels.
    """
    if _PLAIN.fullmatch(name):
        return name not in (".", "..")
    return 0 < len(name.encode(errors="surrogateescape")) < IFNAMSIZ and not any(
        char in "/:" or char.isspace() or not char.isprintable() for char in name
    )


def tap_name(vmid: int, index: int) -> str:
    """Return the tap of guest *vmid*'s NIC net*index*."""
    return f"tap{vmid}i{index}"


def parse_tap(name: str) -> tuple[int, int] | None:
    """Return (VMID, NIC index) of a tap's name, None where it is no guest's tap."""
    found = _TAP.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def veth_name(ctid: int, index: int) -> str:
    """Return the host's end of container *ctid*'s NIC net*index*."""
    return f"veth{ctid}i{index}"


def parse_veth(name: str) -> tuple[int, int] | None:
    """Return (CTID, NIC index) of the host's end of a container's NIC, None where *name* is no such one's."""
    found = _VETH.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def fwbr_names(vmid: int, index: int) -> tuple[str, str, str]:
    """Return the bridge that stands before NIC net*index* of a guest, the cable's end in it, and the one outside."""
    return f"fwbr{vmid}i{index}", f"fwln{vmid}i{index}", f"fwpr{vmid}p{index}"


def parse_fwbr(name: str) -> tuple[int, int] | None:
    """Return (VMID, NIC index) of the bridge before a guest's NIC, or of an end of its cable; None for others."""
    found = _FWBR.fullmatch(name)
    return (int(found[1] or found[3]), int(found[2] or found[4])) if found else None
