"""The guest's file system: busybox, the drivers of its NIC, and `init`, as the kernel takes it.

Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst ("newc").
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
BUSYBOX = Path("/usr/bin/busybox")
PAGE = b"hello from the guest\n"
"""What its web server answers."""

_DIRECTORY, _FILE, _LINK, _DEVICE = 0o040755, 0o100755, 0o120777, 0o020600
_CONSOLE = (5, 1)
"""Device number of /dev/console: PID 1 has it open before anything is mounted."""


def kernel() -> Path:
    """Return the directory with the guest's kernel and drivers; fetched on first use, which it says on stderr."""
    script = HERE.parent / "lab" / "guest-kernel"
    return Path(subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())


def build(modules: Path) -> bytes:
    """Return the archive, with all the drivers in *modules*."""
    parts = [_entry(number, *entry) for number, entry in enumerate(_entries(modules), 1)]
    return b"".join(parts) + _entry(0, "TRAILER!!!", 0, b"")


def _entries(modules: Path) -> Iterator[tuple[str, int, bytes]]:
    for name in ("bin", "dev", "proc", "sys", "modules", "www"):
        yield name, _DIRECTORY, b""
    yield "dev/console", _DEVICE, b""
    yield "init", _FILE, (HERE / "init").read_bytes()
    yield "www/index.html", _FILE, PAGE
    yield "bin/busybox", _FILE, BUSYBOX.read_bytes()
    applets = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            yield f"bin/{applet}", _LINK, b"busybox"
    for path in sorted(modules.iterdir()):
        yield f"modules/{path.name}", _FILE, path.read_bytes()


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    major, minor = _CONSOLE if mode == _DEVICE else (0, 0)
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(encoded), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(header + encoded) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
