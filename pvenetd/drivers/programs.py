"""Programs that live on without the daemon, and commands that run outside its sandbox (systemd-run(1), proc(5)).

On a host with systemd both are transient units: not in the daemon's cgroup, not in its sandbox.  Elsewhere (a network
namespace, another root) a program is a detached process, and a command a child.  A program writes who it is itself
before it becomes what it is, so that none is ever lost: whoever starts again finds it.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RECORDS = "run/pvenetd/programs"
"""Who runs: NAME → its line of /proc/PID/stat when it was started."""
_INTRODUCED = 10.0
"""Seconds within which a program has written who it is."""
_STOPPED = 10.0
"""Seconds a program has to end after SIGTERM."""
_GRACE = 10.0
"""Seconds systemd has to tell of a command that has run too long."""
_PAUSE = 0.005
_INTRODUCE = 'read -r stat </proc/$$/stat && echo "$stat" >"$0" && exec "$@"'
_MOVE_IN = 'cd "$0" && for one in etc run var; do mkdir -p $one && mount --bind $one /$one || exit; done; exec "$@"'
"""Another root's etc, run and var are the program's own: nothing outside that root is written."""
_NO_DEFAULTS = ("DefaultDependencies=no", "Conflicts=shutdown.target", "Before=shutdown.target")
"""A unit's properties: it may start before basic.target, which may wait for the network."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a command."""

    status: int
    output: str
    """What it printed, standard output and error together."""


class Programs:
    """What is started below one root."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        own = _inode("/proc/1/ns/net") in (None, _inode("/proc/self/ns/net"))  # which a unit's bounds hide
        self.by_systemd = self._root == Path("/") and own and Path("/run/systemd/system").is_dir()
        """Whether programs are systemd's units."""

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        seconds: float,
        given: bytes = b"",
        at_home: bool = False,
    ) -> Ended:
        """Run *command* to its end, with *given* as its standard input; what it leaves running lives on.

        *given* may be secret: it is on no disk.

        *at_home*, it sees another root's etc, run and var in place of the machine's, as programs do.
        Raises TimeoutError after so many *seconds*, OSError where there is no such program.
        """
        with tempfile.TemporaryFile() as said, os.fdopen(os.memfd_create("given"), "w+b", buffering=0) as told:
            told.write(given)
            told.seek(0)
            words, limit = self._at_home(command) if at_home else [*command], seconds
            if self.by_systemd and Path("/run/dbus/system_bus_socket").exists():
                kept = ["--wait", "--pipe", f"--property=RuntimeMaxSec={seconds:g}", "--property=KillMode=process"]
                words = [*_unit(environment, *kept, "--service-type=exec"), "--", *map(_for_systemd, command)]
                limit = seconds + _GRACE
            started = time.monotonic()
            child = subprocess.Popen(
                words, env=dict(environment), stdin=told, stdout=said, stderr=said, cwd="/", start_new_session=True
            )
            try:
                status = child.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                raise TimeoutError from None
            if time.monotonic() - started >= seconds:
                raise TimeoutError
            said.seek(0)
            return Ended(status, said.read().decode(errors="replace"))

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], about: str = "") -> None:
        """Start the program *name* in place of one that runs by that name, and return when it has been found to run.

        Raises OSError where it can't be started, TimeoutError where nothing is heard of it.
        """
        self.stop(name)
        record = self._record(name)
        record.parent.mkdir(parents=True, exist_ok=True)
        if shutil.which(command[0], path=PATH) is None:
            raise FileNotFoundError(2, "No such program", command[0])
        command = ["/bin/sh", "-c", _INTRODUCE, str(record), *self._at_home(command)]
        if self.by_systemd:
            kept = [f"--unit={name}", "--service-type=exec", f"--description={about or name}"]
            command = [*_unit(environment, *kept), "--", *map(_for_systemd, command)]
        else:
            command = ["setsid", "--fork", *command]
        quiet = subprocess.DEVNULL
        done = subprocess.run(
            command, env=dict(environment), stdin=quiet, stdout=quiet, stderr=quiet, cwd="/", check=False
        )
        if done.returncode:
            raise OSError(0, f"{command[0]}: exit status {done.returncode}", name)
        deadline = time.monotonic() + _INTRODUCED
        while not _line(record):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} has not started")
            time.sleep(_PAUSE)

    def running(self, name: str) -> int | None:
        """Return the process that runs as *name*, None where none does."""
        told = _line(self._record(name))
        if not told:
            return None
        pid = int(told.split(" ", 1)[0])
        return pid if _born(_line(Path(f"/proc/{pid}/stat"))) == _born(told) else None

    def stop(self, name: str) -> None:
        """End the program *name* and all it has started; that it does not run is fine."""
        if self.by_systemd:
            words = ["systemctl", "--quiet", "stop", f"{name}.service"]
            subprocess.run(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        elif pid := self.running(name):
            _end(pid)
        self._record(name).unlink(missing_ok=True)

    def _at_home(self, command: Sequence[str]) -> list[str]:
        if self._root == Path("/"):
            return [*command]
        return ["unshare", "--mount", "/bin/sh", "-c", _MOVE_IN, str(self._root), *command]

    def _record(self, name: str) -> Path:
        return self._root / RECORDS / name


def tool(command: Sequence[str], given: str = "", *, seconds: float) -> str:
    """Run one of the kernel's own tools, with *given* as its input, and return what it prints.

    It is a child, in this process's network namespace and sandbox, and leaves nothing running.  Raises OSError with
    what it says where it is not there or refuses, TimeoutError after so many *seconds*.
    """
    try:
        done = subprocess.run(
            command,
            input=given.encode(),
            capture_output=True,
            env={"PATH": PATH, "LC_ALL": "C"},
            cwd="/",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{command[0]} has taken more than {seconds:g} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise OSError(0, said)
    return done.stdout.decode(errors="replace")


def lacking(names: Sequence[str]) -> list[str]:
    """Return those programs of *names* that are not installed."""
    return [name for name in names if shutil.which(name, path=PATH) is None]


def unit_name(prefix: str, name: str) -> str:
    """Return *prefix*@*name* as a unit's name takes it (systemd.unit(5): STRING ESCAPING)."""
    kept = "".join(one if one.isascii() and (one.isalnum() or one in ":_.-") else _escaped(one) for one in name)
    return f"{prefix}@{kept}"


def _escaped(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode("utf-8", "surrogateescape"))


def _unit(environment: Mapping[str, str], *options: str) -> list[str]:
    properties = [f"--property={text}" for text in _NO_DEFAULTS]
    variables = [f"--setenv={name}={_legible(value)}" for name, value in environment.items()]
    return ["systemd-run", "--quiet", "--collect", *options, *properties, *variables]


def _for_systemd(word: str) -> str:
    """Return *word* so that systemd leaves it alone: it would put a unit's variables in (systemd.service(5))."""
    return _legible(word).replace("$", "$$")


def _legible(text: str) -> str:
    """Return *text* as D-Bus takes it: UTF-8, without control characters."""
    utf8 = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(one for one in utf8 if one >= " " or one in "\t\n")


def _inode(path: str) -> int | None:
    try:
        return Path(path).stat().st_ino
    except PermissionError:
        return None


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _born(stat: str) -> str:
    """Return a process's start in clock ticks since boot, of its line in /proc/PID/stat; empty for one that is dead."""
    fields = stat.rpartition(")")[2].split()
    return fields[19] if fields and fields[0] not in "ZX" else ""


def _end(pid: int) -> None:
    """End a session's leader and what it has started, at last by SIGKILL."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        gone, _, _ = select.select([descriptor], [], [], _STOPPED)
    finally:
        os.close(descriptor)
    try:
        os.killpg(pid, signal.SIGTERM if gone else signal.SIGKILL)
    except ProcessLookupError:
        return
