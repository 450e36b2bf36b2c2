"""Whether the host has IPv6 on a link (ip-sysctl.rst, ``disable_ipv6``): no part of any netlink message.

By the file itself, without what Python's files do beside: both are asked for each NIC that is plugged.
"""

from __future__ import annotations

import os

from pvenetd.drivers.netlink.wire import RefusedError

_SETTING = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"


def disable(name: str, *, on: bool) -> None:
    """Switch the host's IPv6 on a link off, or (*on* false) on; it need not be there at all.  Raises `RefusedError`."""
    try:
        setting = os.open(_SETTING.format(name), os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RefusedError(error.errno or 0, f"disable_ipv6: {error.strerror}") from None
    try:
        os.write(setting, b"1" if on else b"0")
    except OSError as error:
        raise RefusedError(error.errno or 0, f"disable_ipv6: {error.strerror}") from None
    finally:
        os.close(setting)


def is_disabled(name: str) -> bool:
    """Return whether the host has no IPv6 on the link *name*."""
    try:
        setting = os.open(_SETTING.format(name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return os.read(setting, 8).strip() == b"1"
    except OSError:
        return True
    finally:
        os.close(setting)
