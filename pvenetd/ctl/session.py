"""The connection that pvenetctl's user comes by: SSH_CONNECTION (ssh(1)), of this process or of those it came from.

sudo(8) and su(1) clear the environment, but the shell that ran them still has it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_NAME = "SSH_CONNECTION"
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
            variables = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
            status = Path(f"/proc/{number}/stat").read_text()
        except OSError:
            return None
        for variable in variables:
            if variable.startswith(_NAME.encode() + b"="):
                return variable.partition(b"=")[2].decode(errors="replace")
        number = int(status.rpartition(")")[2].split()[1])
    return None
