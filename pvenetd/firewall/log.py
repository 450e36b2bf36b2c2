"""Logged packets: the prefix that a rule gives them, and their line as Proxmox's firewall log has it.

A line is ``VMID LEVEL CHAIN TIME WHAT: PACKET``, and the rule it comes from behind it::

    100 6 tap100i0-IN 20/Nov/2026:12:30:01 +0000 policy DROP: IN=vmbr0 … DPT=22 … SYN RULE=100.fw:4

Source: Proxmox VE's administration guide, chapter "Firewall", section "Logging of firewall rules".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pvenetd.firewall.packet import Word, words

_PREFIX = re.compile(r":([0-9]+):([0-7]):(in|out|forward): ([^:]*): ?(.*)")


@dataclass(frozen=True, slots=True)
class Logged:
    """One packet, as the kernel tells of it."""

    prefix: str
    seconds: float
    """Since the epoch; 0 where the kernel did not say."""
    ethertype: int
    packet: bytes
    """From its network header on, the first bytes of it."""
    device_in: str = ""
    device_out: str = ""
    port_in: str = ""
    """The port of the bridge it came in by, where it did by one."""
    port_out: str = ""
    link_header: bytes = b""
    vlan: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log."""

    vmid: int
    level: int
    chain: str
    time: datetime
    what: str
    packet: tuple[Word, ...]
    rule: str
    """``FILE:LINE``, or the word for a rule of ours."""

    def __str__(self) -> str:
        told = " ".join(f"{name}={value}" if value else name for name, value in self.packet)
        time = self.time.strftime("%d/%b/%Y:%H:%M:%S %z")
        rule = f" RULE={self.rule}" if self.rule else ""
        return f"{self.vmid} {self.level} {self.chain} {time} {self.what}: {told}{rule}"

    def record(self) -> dict[str, Any]:
        """Return it as the API tells it; a flag of the packet's is 1."""
        return {
            "vmid": self.vmid,
            "level": self.level,
            "chain": self.chain,
            "time": self.time.isoformat(timespec="milliseconds"),
            "what": self.what,
            "rule": self.rule,
            "packet": {name.rstrip(":").lower(): value or 1 for name, value in self.packet},
            "text": str(self),
        }


def line(logged: Logged, now: datetime) -> Line | None:
    """Return the line of a packet, None where its prefix is no rule's of ours; *now* where the kernel tells no time."""
    found = _PREFIX.fullmatch(logged.prefix)
    if not found:
        return None
    vmid, way = int(found[1]), found[3]
    time = datetime.fromtimestamp(logged.seconds, now.tzinfo) if logged.seconds else now
    return Line(vmid, int(found[2]), _chain(vmid, way, logged), time, found[4], _words(logged), found[5])


def _chain(vmid: int, way: str, logged: Logged) -> str:
    """Return the chain as Proxmox calls it: one for each way of a guest's port, or of the host."""
    if not vmid:
        return "PVEFW-FORWARD" if way == "forward" else f"PVEFW-HOST-{way.upper()}"
    there = logged.device_out if logged.device_in else ""  # what the host sends is refused before its port is known
    port = logged.port_out or there if way == "in" else logged.port_in or logged.device_in
    return f"{port or f'vm{vmid}'}-{way.upper()}"


def _words(logged: Logged) -> tuple[Word, ...]:
    devices = [
        ("IN", logged.device_in),
        ("OUT", logged.device_out),
        ("PHYSIN", logged.port_in),
        ("PHYSOUT", logged.port_out),
        ("MAC", logged.link_header.hex(":")),
        ("VLAN", str(logged.vlan or "")),
    ]
    return (*((name, value) for name, value in devices if value), *words(logged.ethertype, logged.packet))
