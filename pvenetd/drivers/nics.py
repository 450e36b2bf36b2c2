"""The machine's NICs: the permanent MAC by ethtool's ioctl, the place by sysfs; anyone may ask.

Sources: linux/ethtool.h ETHTOOL_GPERMADDR, linux/sockios.h SIOCETHTOOL, net/core/dev.c netdev_get_name().
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path

from pvenetd.nics import Nic

_SIOCETHTOOL = 0x8946
_GPERMADDR = 0x20
_LENGTH = 32
"""MAX_ADDR_LEN (linux/netdevice.h)."""
_CLASS = Path("/sys/class/net")
_DEVICES = Path("/sys/devices")


class Nics:
    """Looks at them anew each time."""

    def present(self, asked: Collection[str] = ()) -> list[Nic]:
        """Return every NIC that a device stands behind, with those of the *asked* names that it answers to.

        What answers to one by another name is among them, whatever it is.
        """
        aliases = self._answering(asked)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
            return [
                Nic(name, mac or _current(name), path, bool(mac), tuple(aliases.get(name, ())))
                for number, name in socket.if_nameindex()
                if ((path := _place(name, number)) or name in aliases) and (mac := _permanent(handle, name)) is not None
            ]

    @staticmethod
    def _answering(asked: Collection[str]) -> dict[str, list[str]]:
        """Return, by the name a link has, those of *asked* that the kernel takes for it too."""
        found: dict[str, list[str]] = {}
        for name in asked:
            try:
                real = socket.if_indextoname(socket.if_nametoindex(name))
            except OSError:
                continue
            if real != name:
                found.setdefault(real, []).append(name)
        return found


def _place(name: str, number: int) -> str:
    """Return the device below link *name*, empty where there is none, or sysfs shows another network namespace."""
    if not os.path.lexists(f"{_CLASS}/{name}/device"):  # a bridge, a VLAN: most links have none
        return ""
    try:
        same = int((_CLASS / name / "ifindex").read_text()) == number
        return str((_CLASS / name / "device").resolve(strict=True).relative_to(_DEVICES)) if same else ""
    except (OSError, ValueError):
        return ""


def _permanent(handle: socket.socket, name: str) -> str | None:
    """Return the MAC that the hardware has, empty where it has none, None where the link is gone meanwhile."""
    answer = ctypes.create_string_buffer(struct.pack("=II", _GPERMADDR, _LENGTH), 8 + _LENGTH)
    request = struct.pack("16sP16x", os.fsencode(name), ctypes.addressof(answer))
    try:
        fcntl.ioctl(handle, _SIOCETHTOOL, request)
    except OSError:
        return None
    (size,) = struct.unpack_from("=I", answer, 4)
    mac = answer.raw[8 : 8 + size]
    return mac.hex(":") if any(mac) else ""


def _current(name: str) -> str:
    try:
        return (_CLASS / name / "address").read_text().strip()
    except OSError:
        return ""
