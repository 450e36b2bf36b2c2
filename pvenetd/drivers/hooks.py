"""The user's own commands, run as ifupdown runs them (interfaces(5)).

What has been run is kept in ``run/pvenetd/hooks.jsonl``, a line an event: gone after a boot, as its effects are.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from typing import Any

from pvenetd.commands import OWNER, Hook, Scripts
from pvenetd.drivers.files import Files
from pvenetd.drivers.programs import PATH, Programs
from pvenetd.errors import KernelError
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.state import from_json, to_json

log = logging.getLogger("pvenetd.hooks")

RECORD = "run/pvenetd/hooks.jsonl"
_INSIDE = "PVENETD_RUNS_THIS"
"""Tells ifup, where a command calls it, that it would wait for its own end."""
_TIMEOUT = 120.0
"""Seconds one command may take."""
_STARTING = ("pre-up", "up", "post-up")
_PHASES = {"up": "post-up", "down": "pre-down"}
"""What PHASE says of an option, where it is not its own name: the two are one in ifupdown."""
_SCRIPTS = {
    ("pre-up", False): ("pre-up",),
    ("up", False): ("up", "post-up"),
    ("up", True): ("pre-down", "down"),
    ("pre-up", True): ("post-down",),
}
"""(phase, whether it goes down) → the if-*.d that are run: classic ifupdown's, and ifupdown2's two more."""
_SCRIPT_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""run-parts(8)."""
_OURS = frozenset({"bridge", "bridgevlan", "bridgevlanport", "ethtool", "ifenslave", "mtu", "pvenetd", "vlan", "vxlan"})
"""Scripts whose work pvenetd does itself, as ifupdown2 does."""
_LAST_WORDS = 300
"""Characters of a failed command's output that its error quotes."""


class Hooks:
    """The commands of all stanzas, and which of them have been run."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._programs = Programs(files.root)
        inherited = {name: value for name in ("HOME", "USER") if (value := os.environ.get(name))}
        self._usual = {"PATH": PATH, "LANG": "C.UTF-8", _INSIDE: "1", **inherited}
        self._done: dict[Key, Resource] = {}
        self._seen: tuple[int, int] | None = None
        """(time, size) of the record that was read last."""

    def observe(self) -> dict[Key, Resource]:
        """Return the hooks that have been run and not been undone.

        Scripts are nobody's where another ifupdown owns the interfaces: it runs them, and none is undone here.
        """
        if (seen := self._signature()) is None and self._done:
            self._write_anew()  # /run was wiped, not booted
        elif seen != self._seen:
            self._done = replay(self._files.read(RECORD))
            self._seen = seen
        if self._files.path(OWNER).exists():
            return dict(self._done)
        return {key: _let_go(one) if isinstance(one, Scripts) else one for key, one in self._done.items()}

    def apply(self, op: Op) -> None:
        """Run a hook, or undo it, and record that.

        A command that fails to start something is a `KernelError` with its last words; one that fails
        to undo something is only told of: what goes is not kept up by it.
        """
        hook = op.resource
        self.observe()
        if isinstance(hook, Scripts):
            self._run_scripts(op, hook)
            self._record(op, hook)
        if not isinstance(hook, Hook):
            return
        for phase, command in hook.undo if op.verb == "-" else hook.run:
            if words := self._failure(hook, phase, command):
                if op.verb != "-":
                    raise KernelError(str(op), 0, words)
                log.warning("%s: %s", op, words)
        self._record(op, hook)

    def _run_scripts(self, op: Op, scripts: Scripts) -> None:
        """Run the scripts of a phase; one that fails is another package's, and takes nothing back."""
        for phase in _SCRIPTS[scripts.phase, op.verb == "-"]:
            directory = f"etc/network/if-{phase}.d"
            for name in self._files.names(directory):
                path = self._files.path(f"{directory}/{name}")
                if _SCRIPT_NAME.fullmatch(name) and name not in _OURS and path.is_file() and os.access(path, os.X_OK):
                    words = self._ended([str(path)], f"/{directory}/{name}", phase, scripts.environment)
                    if words:
                        log.warning("%s: %s", op, words)

    def _failure(self, hook: Hook, phase: str, command: str) -> str:
        """Run one command; return what went wrong, nothing where nothing did."""
        return self._ended(["/bin/sh", "-c", command], f"{phase} {command}", phase, hook.environment)

    def _ended(self, command: list[str], called: str, phase: str, given: Iterable[tuple[str, str]]) -> str:
        mode = "start" if phase in _STARTING else "stop"
        variables = {**self._usual, **dict(given), "MODE": mode, "PHASE": _PHASES.get(phase, phase)}
        try:
            ended = self._programs.run(command, variables, seconds=_TIMEOUT)
        except TimeoutError:
            return f"{called}: no end after {_TIMEOUT:g} seconds"
        except OSError as error:
            return f"{called}: {error.strerror}"
        words = ended.output.strip()[-_LAST_WORDS:]
        how = f"{called}: exit status {ended.status}" + (f": {words}" if words else "")
        return how if ended.status else ""

    def _record(self, op: Op, hook: Hook | Scripts) -> None:
        if op.verb == "-":
            self._done.pop(hook.key, None)
            line: dict[str, Any] = {"undone": list(hook.key)}
        else:
            self._done[hook.key] = hook
            line = {"done": to_json({hook.key: hook})[0]}
        self._append(line)

    def _write_anew(self) -> None:
        for key, one in self._done.items():
            self._append({"done": to_json({key: one})[0]})

    def _append(self, line: dict[str, Any]) -> None:
        path = self._files.path(RECORD)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(b"\n" + json.dumps(line).encode() + b"\n")
        self._seen = self._signature()

    def _signature(self) -> tuple[int, int] | None:
        try:
            found = self._files.path(RECORD).stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size


def _let_go(scripts: Scripts) -> Scripts:
    return scripts.model_copy(update={"owner": ""})


def replay(data: bytes | None) -> dict[Key, Resource]:
    """Return what a record's lines leave; a line that a crash has cut off says nothing."""
    done: dict[Key, Resource] = {}
    for text in filter(None, (data or b"").split(b"\n")):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if "done" in line:
            done |= from_json([line["done"]])
        else:
            done.pop(tuple(line["undone"]), None)
    return done
