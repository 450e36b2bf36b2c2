"""What `tests.soak` and `tests.kills` need of a host: `tests.sandbox.world` has one, `tests.host.world` another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tests.sandbox.space import Space


class Daemon(Protocol):
    """A daemon that serves."""

    @property
    def pid(self) -> int:
        """Its process."""


class Hypervisor(Protocol):
    """A host as ``examples/nat-host`` has it, whose ``eth0`` is a cable to the provider's ``customer0``."""

    root: Path
    host: Space
    provider: Space

    def read(self, name: str) -> str:
        """Return the text of a file below the root."""

    def write(self, name: str, text: str) -> None:
        """Give a file below the root its text."""

    def files(self) -> list[Path]:
        """Return all files that there are where the daemon writes."""

    def rules(self) -> str:
        """Return the host's nftables without what packets leave in them."""

    def ctl(self, *words: object) -> str:
        """Return what pvenetctl prints for *words*."""

    def launch_daemon(self) -> object:
        """Have another daemon started; it is not there yet."""

    def start_daemon(self) -> Daemon:
        """Have a daemon started, unless one is, and wait until it serves."""

    def kill_daemon(self) -> None:
        """Kill the daemon by SIGKILL, and wait until it has ended."""


Built = Callable[[], AbstractContextManager[Hypervisor]]
"""Builds a host, which goes when the context ends."""

INSTALLED = "the daemon is the installed package's service on the lab's Debian host"
"""What the option ``--installed`` says."""
