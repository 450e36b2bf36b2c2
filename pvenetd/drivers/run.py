"""Programs: the one place that starts them, with an argument list and a deadline.

The daemon, as systemd's service, may do little but networking.  What its users ask for may need
more (modprobe, systemctl, mount), so there systemd starts it, as a transient unit outside the
daemon's bounds (systemd-run(1)).  Elsewhere (another root, a terminal, a test) it is a child.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for, as ifupdown does."""
_LATE = 10.0
"""Seconds more until a transient unit's time limit is taken for lost."""
_KEPT = 4096
"""Bytes of a program's last words."""
_UNIT = ("systemd-run", "--quiet", "--collect", "--service-type=exec", "--working-directory=/")
# What a command leaves running lives on; and it starts at boot and at shutdown alike.
_PROPERTIES = ("--property=KillMode=process", "--property=DefaultDependencies=no")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    status: int | None
    """Its exit status; None where it did not end in time."""
    output: str
    """What it said, on both streams."""


class Programs:
    """Starts programs for the host below *root*."""

    def __init__(self, root: Path, environment: Mapping[str, str] = os.environ) -> None:
        is_service = bool(environment.get("NOTIFY_SOCKET")) and Path("/run/systemd/system").is_dir()
        self._in_units = is_service and root == Path("/")
        self._inherited = {name: value for name in ("HOME", "USER") if (value := environment.get(name))}

    def run(self, command: Sequence[str], environment: Mapping[str, str], seconds: float) -> Ended:
        """Run *command* to its end, *seconds* at most."""
        variables = {"PATH": PATH, "LANG": "C.UTF-8", **self._inherited, **environment}
        if self._in_units:
            limit = (*_PROPERTIES, f"--property=RuntimeMaxSec={seconds:g}", "--wait", "--pipe")
            command = [*_UNIT, *limit, *_told(variables), "--", *map(_escaped, command)]
            ended, took = _run(command, None, seconds + _LATE)
            return Ended(None, ended.output) if took >= seconds else ended
        return _run(command, variables, seconds)[0]


def _run(command: Sequence[str], environment: Mapping[str, str] | None, seconds: float) -> tuple[Ended, float]:
    """Return how *command* ended, and after how long; what it leaves running behind it is not waited for."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        try:
            ended = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=Path("/"),
                timeout=seconds,
                check=False,
            )
            status: int | None = ended.returncode
        except subprocess.TimeoutExpired:
            status = None
        except OSError as error:
            return Ended(127, f"{command[0]}: {error.strerror}"), 0.0
        said.seek(max(0, said.seek(0, os.SEEK_END) - _KEPT))
        words = said.read().decode(errors="replace").strip()
    return Ended(status, words), time.monotonic() - began


def _told(variables: Mapping[str, str]) -> list[str]:
    """Return *variables* as options; systemd takes nothing but UTF-8 without control characters."""
    return [f"--setenv={name}={_clean(value)}" for name, value in variables.items()]


def _clean(text: str) -> str:
    legible = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(one for one in legible if one >= " " or one in "\t\n")


def _escaped(word: str) -> str:
    """Return *word* as systemd takes it for itself: it would put its own variables in (systemd.service(5))."""
    return word.replace("$", "$$")
