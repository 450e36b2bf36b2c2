"""A guest, whoever told of it: its NICs, and the devices that are their ports on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pvenetd.errors import Problem
from pvenetd.guests.nic import Nic
from pvenetd.names import tap_name, veth_name

Source = Literal["file", "libvirt", "lxc"]
"""What tells of a guest: a file in qemu-server/, libvirt's XML, a container's file in lxc/."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest, and the text it comes from, unchanged: ``str(parse_conf(text, …)) == text``."""

    vmid: int
    name: str
    """Empty where none is given."""
    nics: Mapping[int, Nic]
    """By the N of netN; one that cannot be read is among the problems instead."""
    lines: Mapping[int, int]
    """Line each NIC stands at, by the N of netN, from 1."""
    path: str
    text: str
    problems: tuple[Problem, ...]
    source: Source = "file"
    devices: Mapping[int, str] = field(default_factory=dict)
    """Device of a NIC's port, by the N of netN, where it has not the usual name: libvirt's ``vnet3``."""
    bridged: frozenset[int] = frozenset()
    """NICs that libvirt itself puts into their bridge, or may: it fails where somebody else was faster."""

    def device(self, index: int) -> str:
        """Return the device that is the port of NIC net*index*: ``tap100i0``, a container's ``veth100i0``."""
        usual = veth_name if self.source == "lxc" else tap_name
        return self.devices.get(index) or usual(self.vmid, index)

    def __str__(self) -> str:
        return self.text

    def __bytes__(self) -> bytes:
        return self.text.encode("utf-8", "surrogateescape")
