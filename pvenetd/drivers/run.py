"""The user's own commands, run as ifupdown runs them; the one place that starts programs (interfaces(5)).

What has been run is kept in ``run/pvenetd/hooks.json``: gone after a boot, as its effects are.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pvenetd.drivers.files import Files
from pvenetd.errors import KernelError
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.state import Hook, from_json, to_json

_RECORD = "run/pvenetd/hooks.json"
_TIMEOUT = 120.0
"""Seconds one command may take."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STARTING = ("pre-up", "up", "post-up")
_LAST_WORDS = 300
"""Characters of a failed command's output that its error quotes."""


class Hooks:
    """The commands of all stanzas, and which of them have been run."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def observe(self) -> dict[Key, Resource]:
        """Return the hooks that have been run and not been undone."""
        return from_json(self._files.read_json(_RECORD) or [])

    def apply(self, op: Op) -> None:
        """Run or undo a hook, then record it.  Raises `KernelError` with the command's last words."""
        hook = op.resource
        if not isinstance(hook, Hook):
            return
        done = self.observe()
        for phase, command in hook.undo if op.verb == "-" else hook.run:
            _run(op, hook, phase, command)
        done.pop(hook.key, None)
        if op.verb == "+":
            done[hook.key] = hook
        self._files.write_json(_RECORD, to_json(done))


def _run(op: Op, hook: Hook, phase: str, command: str) -> None:
    mode = "start" if phase in _STARTING else "stop"
    environment = {"PATH": _PATH, "LANG": "C.UTF-8", **dict(hook.environment), "MODE": mode, "PHASE": phase}
    inherited = {name: value for name in ("HOME", "USER") if (value := os.environ.get(name))}
    try:
        ended = subprocess.run(
            ["/bin/sh", "-c", command],
            env=inherited | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=Path("/"),
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise KernelError(str(op), 0, f"{phase} {command}: no end after {_TIMEOUT:g} seconds") from error
    if ended.returncode:
        words = ended.stdout.decode(errors="replace").strip()[-_LAST_WORDS:]
        raise KernelError(
            str(op), 0, f"{phase} {command}: exit status {ended.returncode}" + (f": {words}" if words else "")
        )
