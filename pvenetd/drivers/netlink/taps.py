"""Taps are made by a device file, not by netlink (the kernel's Documentation/networking/tuntap.rst, linux/if_tun.h)."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable

from pvenetd.drivers.netlink import lacking
from pvenetd.kinds.tap import Tap

_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_MULTI_QUEUE = 0x2, 0x1000, 0x4000, 0x100


def make(wanted: Tap, mark: Callable[[], object]) -> None:
    """Make a tap, down and without a master; *mark* is called before it is persistent: no crash leaves it without.

    Raises `RefusedError`.
    """
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | (_IFF_MULTI_QUEUE if wanted.multi_queue else 0)
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", wanted.name.encode(), flags))
            mark()
            fcntl.ioctl(device, _TUNSETPERSIST, 1)
        finally:
            os.close(device)
    except OSError as error:
        raise lacking.tun(error) from None
