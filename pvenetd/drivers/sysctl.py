"""Kernel settings below /proc/sys, of the network namespace this runs in (sysctl(8), ip-sysctl.rst)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pvenetd.errors import KernelError
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.state import Sysctl

_TOP = Path("/proc/sys")


def observe(keys: Iterable[Key]) -> dict[Key, Resource]:
    """Return those of the sysctl *keys* that this kernel has, with their values."""
    found: dict[Key, Resource] = {}
    for key in keys:
        try:
            value = (_TOP / key[1]).read_text(encoding="ascii").strip()
        except OSError:
            continue
        found[key] = Sysctl.model_construct(name=key[1], value=value)
    return found


def apply(op: Op) -> None:
    """Set what *op* wants.  Raises `KernelError`."""
    setting = op.resource
    if op.verb == "-" or not isinstance(setting, Sysctl):
        return
    try:
        (_TOP / setting.name).write_text(setting.value, encoding="ascii")
    except OSError as error:
        raise KernelError(str(op), error.errno or 0, error.strerror or "") from error
