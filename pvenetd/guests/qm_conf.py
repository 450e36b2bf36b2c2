"""``qemu-server/<vmid>.conf``: the guests that run by QEMU without libvirt.  Source: qm.conf(5) of Proxmox VE."""

from __future__ import annotations

import re

from pvenetd.guests import conf
from pvenetd.guests.guest import Guest
from pvenetd.guests.nic import parse_net

_DIALECT = conf.Dialect("file", "name", parse_net, doubts=lambda _: (), other=re.compile("(?!)"))


def parse_conf(text: str | bytes, vmid: int, path: str) -> Guest:
    """Return VM *vmid*; nothing is refused, `Guest.problems` says what is wrong."""
    return conf.parse(text, vmid, path, _DIALECT)
