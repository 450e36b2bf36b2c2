"""This host with the package's own service, for what else has a hypervisor in namespaces (`tests.hypervisor`).

Its daemon is pvenetd.service, which systemd starts anew whenever it ends.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.host.machine import CTL, SERVICE, apt, ctl, ended, main_pid, package, unit
from tests.netns import lasting
from tests.patience import until
from tests.sandbox.space import Space, cable
from tests.sandbox.world import NAT_HOST

_FILES = tuple(map(Path, ("/etc/network", "/etc/pvenetd")))
"""What is put back in the end."""
_PLACES = (*_FILES, *map(Path, ("/run/pvenetd", "/var/lib/pvenetd", "/var/log/pvenetd")))


class Served(NamedTuple):
    """A daemon that serves."""

    pid: int


class _Here(Space):
    """The namespace that this program is in."""

    def __init__(self) -> None:
        self.name = str(os.getpid())  # ip takes it for a name, too

    def prefix(self) -> list[str]:
        return []


class Installed:
    """The host with the configuration of ``examples/nat-host``; in the end it has the one that it had."""

    def __init__(self) -> None:
        # Else it would be the network of whoever happens to have the package.
        assert "PVENET_GUEST_KERNEL" in os.environ, "this is for the lab's Debian host alone: make soak HOST=1"
        self.root, self.host = Path("/"), _Here()
        self._ends = ExitStack()
        self._pid = self._killed = 0

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            self._build(ends)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _build(self, ends: ExitStack) -> None:
        if not Path(CTL).exists():
            apt("install", package().resolve())
        self.provider = Space("provider")
        ends.callback(self.provider.remove)
        cable(self.host, "eth0", self.provider, "customer0")
        ends.callback(self._put_back, {path: path.read_bytes() for path in _found(*_FILES)})
        for path in _found(NAT_HOST):
            self.write(str(path.relative_to(NAT_HOST)), path.read_text())
        self.host.run("systemctl", "restart", SERVICE)

    def _put_back(self, before: dict[Path, bytes]) -> None:
        for path in _found(*_FILES):
            if path not in before:
                path.unlink()
        for path, data in before.items():
            path.write_bytes(data)
        for words in (("reconcile",), ("firewall", "apply"), ("apply", "--no-probe")):
            self.ctl(*words)
        assert self.ctl("plan") == ""

    def read(self, name: str) -> str:
        """Return the text of a file below the root."""
        return (self.root / name).read_text()

    def write(self, name: str, text: str) -> None:
        """Give a file below the root its text."""
        (self.root / name).write_text(text)

    def files(self) -> list[Path]:
        """Return all files that there are where the daemon writes."""
        return _found(*_PLACES)

    def rules(self) -> str:
        """Return the host's nftables without what packets leave in them."""
        return lasting(self.host.run("nft", "-s", "list", "ruleset"))

    def ctl(self, *words: object) -> str:
        """Return what the package's pvenetctl prints."""
        return ctl(*map(str, words))

    def launch_daemon(self) -> None:
        """Wait until systemd has started another daemon; it is not there yet."""
        until(lambda: main_pid() not in (0, self._killed), "systemd starts the daemon")
        self._pid = main_pid()

    def start_daemon(self) -> Served:
        """Wait until the daemon that systemd starts serves."""
        self.launch_daemon()
        until(lambda: unit(SERVICE, "ActiveState")["ActiveState"] == "active", "the daemon serves")
        assert main_pid() == self._pid, "it was the first"
        return Served(self._pid)

    def kill_daemon(self) -> None:
        """Kill the daemon by SIGKILL, and wait until it has ended."""
        self._killed = self._pid
        ended(self._pid, signal.SIGKILL)


def _found(*places: Path) -> list[Path]:
    return [path for place in places for path in place.rglob("*") if path.is_file()]
