"""The connection that pvenetctl's user comes by: SSH_CONNECTION (ssh(1)), of this process or of those it came from.

sudo(8) and su(1) clear the environment, but the shell that ran them still has it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_NAME = "SSH_CONNECTION"
_MOST = 1 << 18
"""Bytes of an environment that are read."""
_DEEP = 32
"""Ancestors to ask: a shell in a multiplexer in a shell has some ten."""


def session(environment: Mapping[str, str] = os.environ, process: int | None = None) -> str | None:
    """Return ``CLIENT CLIENT-PORT SERVER SERVER-PORT``, None where the user is at the console."""
    if found := environment.get(_NAME):
        return found
    number = os.getppid() if process is None else process
    for _ in range(_DEEP):
        if number <= 1:
            return None
        try:
            variables, status = (_read(f"/proc/{number}/{name}") for name in ("environ", "stat"))
        except OSError:
            return None
        for variable in variables.split(b"\0"):
            if variable.startswith(_NAME.encode() + b"="):
                return variable.partition(b"=")[2].decode(errors="replace")
        number = int(status.rpartition(b")")[2].split()[1])
    return None


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _MOST)
    finally:
        os.close(descriptor)
