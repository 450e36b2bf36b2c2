"""Whether libvirtd knows our hook: it looks for hooks when it starts, and calls none that came later.

Source: https://libvirt.org/hooks.html.
"""

from __future__ import annotations

from pathlib import Path

HOOK = "etc/libvirt/hooks/qemu.d/50-pvenetd"
_STARTED = ("run/libvirtd.pid", "run/virtqemud.pid")
"""Files that libvirt's daemons of QEMU guests write when they start, and remove when they end."""


def is_unknown(root: Path, heard: float) -> bool:
    """Return whether a libvirtd runs since before the hook came, and has not called it since *heard* (Unix time)."""
    try:
        came = (root / HOOK).stat().st_ctime
    except OSError:
        return False
    return any(heard < started < came for started in map(_time, (root / name for name in _STARTED)) if started)


def _time(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
