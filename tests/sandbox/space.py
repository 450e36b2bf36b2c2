"""Network namespaces with a name, which a person can enter too, and what is seen on their links."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE
from tests.sandbox.process import Process

CHECKOUT = Path(__file__).resolve().parents[2]
_PREFIX = "pvenet"
_NAMED = Path("/run/netns")


class Space:
    """A network namespace, with ``lo`` up."""

    def __init__(self, role: str) -> None:
        self.name = f"{_PREFIX}-{os.getpid()}-{role}"
        run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def prefix(self) -> list[str]:
        """Return what to put before a command to run it here."""
        return ["ip", "netns", "exec", self.name]

    def run(self, *command: object, env: Mapping[str, str] | None = None, check: bool = True) -> str:
        """Run a program here and return what it prints; fail with what it says."""
        return run(*self.prefix(), *command, env=env, check=check)

    def show(self, *command: str) -> list[dict[str, Any]]:
        """Return what ``ip -j …``, ``bridge -j …`` or ``nft -j …`` prints."""
        found: list[dict[str, Any]] = json.loads(self.run(*command) or "[]")
        return found

    def links(self) -> set[str]:
        """Return the names of its links."""
        return {link["ifname"] for link in self.show("ip", "-j", "link", "show")}

    def pings(self, address: str, seconds: float = PATIENCE) -> bool:
        """Return whether one ping from here is answered, within *seconds*."""
        said = self.run("ping", "-n", "-c", 1, "-W", f"{seconds:g}", address, check=False)
        return ", 1 received" in said

    def pids(self) -> list[int]:
        """Return the processes that are in it."""
        return [int(pid) for pid in run("ip", "netns", "pids", self.name).split()]

    def remove(self) -> None:
        """Remove it, and what is in it."""
        run("ip", "netns", "delete", self.name)


class View:
    """A view of the file system of its own, as long as *process* lives, as *commands* make it."""

    def __init__(self, name: str, prefix: Sequence[str], commands: Sequence[str]) -> None:
        inside = "\n".join([*commands, "echo ready", "exec sleep infinity"])
        unshare = ["unshare", "--uts", "--mount", "--propagation", "private", "sh", "-ec", inside]
        self.process = Process(name, [*prefix, *unshare])
        self.process.expect("^ready$")

    def prefix(self) -> list[str]:
        """Return what to put before a command to run it with this view."""
        return ["nsenter", f"--target={self.process.pid}", "--mount", "--uts", "--net"]


class Capture:
    """Packets on one link, by tcpdump, from when it has begun to listen."""

    def __init__(self, space: Space, link: str, expression: str = "", direction: str = "inout") -> None:
        self.link = link
        self.process = Process(
            f"tcpdump on {link}",
            [
                *space.prefix(),
                "tcpdump",
                "-nne",
                "-l",
                "-p",
                "--immediate-mode",
                "-i",
                link,
                "-Q",
                direction,
                expression,
            ],
        )
        self.process.expect("listening on")

    def expect(self, pattern: str, seconds: float = PATIENCE) -> str:
        """Wait for a packet whose line has *pattern* in it, and return the line."""
        return self.process.expect(pattern, seconds).string

    def seen(self, pattern: str) -> list[str]:
        """Return the lines so far that have *pattern* in them."""
        return [line for line in self.process.lines if re.search(pattern, line)]

    def stop(self) -> None:
        """End it."""
        self.process.stop()


def run(*command: object, env: Mapping[str, str] | None = None, check: bool = True) -> str:
    """Run a program and return what it prints; fail with what it says."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
    )
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise AssertionError(f"{' '.join(words)}: exit status {done.returncode}: {said}")
    return done.stdout


def cable(one: Space, name: str, other: Space, other_name: str) -> None:
    """Join two namespaces by a veth pair: a NIC in each, both up there where *other* is."""
    run("ip", "link", "add", name, "netns", one.name, "type", "veth", "peer", "name", other_name, "netns", other.name)
    other.run("ip", "link", "set", other_name, "up")


def make_tap(space: Space, name: str) -> Process:
    """Return a guest that is nothing but its NIC (`tests.sandbox.tap`)."""
    command = [*space.prefix(), sys.executable, "-m", "tests.sandbox.tap", name]
    process = Process(name, command, {"PYTHONPATH": str(CHECKOUT)})
    process.expect("^ready$")
    return process


def scratch() -> Path:
    """Return a new directory."""
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{os.getpid()}-"))


def sweep() -> None:
    """Remove what runs have made that were killed before they could."""
    for name in left_over(lambda pid: not Path(f"/proc/{pid}").exists()):
        if (_NAMED / name).exists():
            run("ip", "netns", "delete", name, check=False)
        shutil.rmtree(Path(tempfile.gettempdir()) / name, ignore_errors=True)


def left_over(of: Callable[[int], bool] = lambda pid: pid == os.getpid()) -> list[str]:
    """Return the names of namespaces and directories made here by runs whose process id satisfies *of*."""
    paths = [*_NAMED.glob(f"{_PREFIX}-*-*"), *Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*-*")]
    found = {path.name: re.match(rf"{_PREFIX}-(\d+)-", path.name) for path in paths}
    return sorted(name for name, match in found.items() if match and of(int(match[1])))
