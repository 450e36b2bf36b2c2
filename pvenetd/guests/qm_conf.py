"""``qemu-server/<vmid>.conf``: the guests that run by QEMU without libvirt.

Sources: qm.conf(5) of Proxmox VE: ``key: value`` lines, then a section for each snapshot and for
what waits for the guest's next start; only what stands before them is how the guest is now.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from pvenetd.errors import ConfigError, Problem
from pvenetd.guests.guest import Guest
from pvenetd.guests.nic import Nic, parse_net

_FILE = re.compile(r"([1-9][0-9]{2,8})\.conf")
_KEY_VALUE = re.compile(r"([a-zA-Z][a-zA-Z0-9_-]*)[ \t]*:[ \t]*(.*)", re.DOTALL)
_NET = re.compile(r"net(0|[1-9][0-9]{0,3})")


def vmid_of(file: str) -> int | None:
    """Return the VMID in the file name ``100.conf``, None where it is no guest's."""
    found = _FILE.fullmatch(file)
    return int(found[1]) if found else None


def parse_conf(text: str | bytes, vmid: int, path: str) -> Guest:
    """Return guest *vmid*; nothing is refused, `Guest.problems` says what is wrong.

    Keys but ``name`` and ``netN`` are ignored.  Bytes that are no UTF-8 survive (PEP 383).
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    name = ""
    nics: dict[int, Nic] = {}
    lines: dict[int, int] = {}
    problems: list[Problem] = []
    for number, row in enumerate(text.split("\n"), 1):
        content = row.strip(" \t\r")
        if content.startswith("["):
            break
        if not content or content.startswith("#"):
            continue
        found = _KEY_VALUE.fullmatch(content)
        if not found:
            message = f"'{content}' is ignored"
            problems.append(Problem(path, number, "syntax", message, "warning", "KEY: VALUE"))
        elif found[1] == "name":
            name = found[2]
        elif net := _NET.fullmatch(found[1]):
            index = int(net[1])
            if index in lines:
                message = f"net{index} is there already, in line {lines[index]}"
                problems.append(Problem(path, number, "syntax", message, "error", "keep one", f"net{index}"))
                continue
            lines[index] = number
            try:
                nics[index] = parse_net(found[2], index, path, number)
            except ConfigError as error:
                problems += error.problems
    return Guest(vmid, name, MappingProxyType(nics), MappingProxyType(lines), path, text, tuple(problems))
