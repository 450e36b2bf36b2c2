"""Kernel settings below /proc/sys, of the network namespace this runs in (sysctl(8), ip-sysctl.rst).

Which settings of interfaces are ours is kept in ``run/pvenetd/sysctls.json``: gone after a boot, as they are.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from pvenetd.drivers.files import Files
from pvenetd.errors import KernelError
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.state import Sysctl

log = logging.getLogger("pvenetd.sysctl")

_TOP = Path("/proc/sys")
_RECORD = "run/pvenetd/sysctls.json"
_OF_BRIDGES = "net/bridge/"
_OF_LINK = re.compile(r"(net/(?:ipv4|ipv6|mpls)/conf)/(?!all/|default/)([^/]+)/(\w+)")
_OPTIONAL = "net/mpls/"
"""What many kernels lack."""


class Settings:
    """All settings, and which of them are ours."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._ours: dict[str, str] = dict(files.read_json(_RECORD) or {})

    def observe(self, keys: Iterable[Key], *, ours: bool = True) -> dict[Key, Resource]:
        """Return the sysctl *keys*, and with *ours* what was set before, as far as this kernel has them."""
        names = [*(key[1] for key in keys if key[0] == "sysctl"), *(self._ours if ours else ())]
        found: dict[Key, Resource] = {}
        for name in names:
            of_link = _OF_LINK.fullmatch(name)
            dev = of_link[2] if of_link else ""
            try:
                value: str | None = (_TOP / name).read_text(encoding="ascii").strip()
            except OSError:
                if not name.startswith(_OPTIONAL) or not (_TOP / "net/ipv4/conf" / dev).exists():
                    continue
                value = None
            owner = self._ours.get(name, "") if value is not None else ""
            found["sysctl", name] = Sysctl.model_construct(name=name, value=value, dev=dev, owner=owner)
        return found

    def apply(self, op: Op) -> None:
        """Set what *op* wants, or what new interfaces have.  Raises `KernelError`."""
        setting = op.resource
        if not isinstance(setting, Sysctl):
            return
        value = _default(setting) if op.verb == "-" else setting.value
        try:
            if setting.dev and op.verb != "-":
                self._keep(setting.name, setting.owner)
            if value is not None:
                (_TOP / setting.name).write_text(value, encoding="ascii")
            if setting.dev and op.verb == "-":
                self._keep(setting.name, "")
        except OSError as error:
            if isinstance(error, FileNotFoundError) and setting.name.startswith(_OPTIONAL):
                log.warning("this kernel has no %s", setting.name)
                return
            is_of_module = isinstance(error, FileNotFoundError) and setting.name.startswith(_OF_BRIDGES)
            text = "br_netfilter is not loaded (modprobe br_netfilter)" if is_of_module else error.strerror or ""
            raise KernelError(str(op), error.errno or 0, text) from error

    def _keep(self, name: str, owner: str) -> None:
        """Remember whose *name* is, on disk before it is set."""
        if self._ours.get(name, "") == owner:
            return
        there = {one: whose for one, whose in self._ours.items() if (_TOP / one).exists()}
        self._ours = {**there, name: owner} if owner else {one: whose for one, whose in there.items() if one != name}
        self._files.write_json(_RECORD, self._ours)


def _default(setting: Sysctl) -> str:
    """Return what a new interface has; MPLS, which knows no such value, is off."""
    of_link = _OF_LINK.fullmatch(setting.name)
    if of_link is None:
        return setting.value or "0"
    try:
        return (_TOP / of_link[1] / "default" / of_link[3]).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return "0"
