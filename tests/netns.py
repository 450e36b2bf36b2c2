"""Network namespaces for tests: the test process is its own host.

A process's threads inherit the namespace of the thread that starts them, so the engine's applier
thread lives in it too.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CLONE_NEWNET = 0x40000000  # linux/sched.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(descriptor: int) -> None:
    _checked(_LIBC.setns(descriptor, CLONE_NEWNET))


class Namespaces:
    """The host's namespace, which the calling thread is in, and one outside it, where cables lead to."""

    def __init__(self, host: int, outside: int) -> None:
        self.host, self.outside = host, outside

    def cable(self, name: str) -> None:
        """Give the host a NIC *name*: one end of a veth pair, the other of the same name outside."""
        there = f"/proc/{os.getpid()}/fd/{self.outside}"
        run("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", there)
        with self.away():
            run("ip", "link", "set", name, "up")

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be outside for a while."""
        _enter(self.outside)
        try:
            yield
        finally:
            _enter(self.host)


@contextmanager
def fresh() -> Iterator[Namespaces]:
    """Put the calling thread into a new network namespace, with ``lo`` up, and back."""
    home = _here()
    opened = [home]
    try:
        for _ in range(2):
            _checked(_LIBC.unshare(CLONE_NEWNET))
            opened.append(_here())
            run("ip", "link", "set", "lo", "up")
        yield Namespaces(opened[2], opened[1])
    finally:
        _enter(home)
        for descriptor in opened:
            os.close(descriptor)


def run(*command: str) -> str:
    """Run a program and return what it prints; fail with what it says."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = f"{done.stderr.strip()}\n{done.stdout[-2000:].strip()}".strip()
        raise AssertionError(f"{' '.join(command)}: {said}")
    return done.stdout


def lasting(listing: str) -> str:
    """Return nft's *listing* without what packets leave in sets of ports and addresses, at any moment."""
    without = re.sub(r'\t\telements = \{ "\w+" \. [^}]*\}\n', "", listing)
    return re.sub(r"(flags dynamic\b[^}]*?)\t\telements = \{[^}]*\}\n", r"\1", without)


def show(*command: str) -> list[dict[str, Any]]:
    """Return what ``ip -j …`` or ``bridge -j …`` prints."""
    found: list[dict[str, Any]] = json.loads(run(*command) or "[]")
    return found
