"""How the host is: load, memory, processors, kernel, from proc(5), which is the machine's whatever the root."""

from __future__ import annotations

import os
import time
from pathlib import Path

from typing_extensions import TypedDict

_PROC = Path("/proc")
_KIB = 1024


class Memory(TypedDict):
    """Bytes of memory."""

    total: int
    used: int
    free: int
    available: int


class Swap(TypedDict):
    """Bytes of swap."""

    total: int
    used: int
    free: int


class Disk(TypedDict):
    """Bytes of the file system that the root is on."""

    total: int
    used: int
    free: int
    avail: int


class Processors(TypedDict):
    """What the host computes with."""

    cpus: int
    model: str
    mhz: str


class Kernel(TypedDict):
    """What runs, as uname(1) tells it."""

    sysname: str
    release: str
    version: str
    machine: str


Vitals = TypedDict(
    "Vitals",
    {
        "uptime": int,
        "loadavg": list[str],
        "cpu": float,
        "cpuinfo": Processors,
        "memory": Memory,
        "swap": Swap,
        "rootfs": Disk,
        "kversion": str,
        "current-kernel": Kernel,
    },
)
"""How a host is, by Proxmox VE's keys: uptime in seconds, cpu as the share of all processors that was used."""


class Pulse:
    """Looks at the host; how busy it is, is told since the last look, or since it was started."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._busy = self._idle = 0

    def vitals(self) -> Vitals:
        """Return how the host is."""
        memory = _memory()
        name = os.uname()
        return {
            "uptime": int(time.clock_gettime(time.CLOCK_BOOTTIME)),
            "loadavg": [f"{one:.2f}" for one in os.getloadavg()],
            "cpu": self._used(),
            "cpuinfo": _processors(),
            "memory": {
                "total": memory.get("MemTotal", 0),
                "used": memory.get("MemTotal", 0) - memory.get("MemAvailable", 0),
                "free": memory.get("MemFree", 0),
                "available": memory.get("MemAvailable", 0),
            },
            "swap": {
                "total": memory.get("SwapTotal", 0),
                "used": memory.get("SwapTotal", 0) - memory.get("SwapFree", 0),
                "free": memory.get("SwapFree", 0),
            },
            "rootfs": self._disk(),
            "kversion": f"{name.sysname} {name.release} {name.version}",
            "current-kernel": {
                "sysname": name.sysname,
                "release": name.release,
                "version": name.version,
                "machine": name.machine,
            },
        }

    def _used(self) -> float:
        ticks = [int(word) for word in (_PROC / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        idle = ticks[3] + ticks[4]  # idle and iowait
        busy = sum(ticks) - idle
        spent, rest = busy - self._busy, idle - self._idle
        self._busy, self._idle = busy, idle
        return round(spent / (spent + rest), 4) if spent + rest > 0 else 0.0

    def _disk(self) -> Disk:
        found = os.statvfs(self._root)
        total, free = found.f_blocks * found.f_frsize, found.f_bfree * found.f_frsize
        return {"total": total, "used": total - free, "free": free, "avail": found.f_bavail * found.f_frsize}


def _memory() -> dict[str, int]:
    lines = (_PROC / "meminfo").read_text(encoding="ascii").splitlines()
    pairs = (line.split(":") for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) * _KIB for name, value in pairs}


def _processors() -> Processors:
    text = (_PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    pairs = [line.partition(":") for line in text.split("\n\n", 1)[0].splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    return {"cpus": os.cpu_count() or 1, "model": facts.get("model name", ""), "mhz": facts.get("cpu MHz", "")}
