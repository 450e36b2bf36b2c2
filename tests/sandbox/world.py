"""One hypervisor with its daemon, the provider it hangs on, and its guests; all of it goes in the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tests.guest.initramfs import kernel
from tests.guest.qemu import Guest, Nic
from tests.netns import lasting
from tests.patience import PATIENCE
from tests.sandbox.pings import Pings
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, Capture, Space, cable, left_over, make_tap, scratch, sweep

EXAMPLES = CHECKOUT / "examples"
NAT_HOST = EXAMPLES / "nat-host"
"""What the files below its root are, unless a test says otherwise."""
HOST, PROVIDER, GUEST = "192.0.2.2", "192.0.2.1", "10.10.10.2"
GUEST_MAC = "02:00:00:00:01:00"
VMID = 100
MONITORS = "run/qemu-server"
TAP = "tap100i0"

_BIN = Path(sys.executable).parent
"""Where `make setup` puts pvenetd and pvenetctl."""


class World:
    """A provider and a hypervisor: a network namespace each, the hypervisor with a root directory of its own.

    The hypervisor's NIC ``eth0`` is a cable to the provider's ``customer0``.  Of two at once, one has a *name*.
    """

    def __init__(
        self,
        example: Path = NAT_HOST,
        cables: Sequence[str] = ("eth0",),
        say: Callable[[str], None] = str,
        name: str = "",
    ) -> None:
        self._example, self._cables, self._say, self._name = example, cables, say, name
        self._ends = ExitStack()
        self.daemon: Process | None = None

    def __enter__(self) -> World:
        try:
            self._build()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()
        if not kind and (left := self.left()):
            raise AssertionError(f"left behind: {', '.join(left)}")

    def _build(self) -> None:
        self._say("building the namespaces")
        sweep()
        self.root = scratch()
        self._names = {self.root.name}
        self.bin = _BIN if (_BIN / "pvenetd").exists() else self._link_programs()
        self._ends.callback(shutil.rmtree, self.root, ignore_errors=True)
        shutil.copytree(self._example, self.root, dirs_exist_ok=True)
        self.provider = self.space("provider")
        self.host = self.space("host")
        for number, name in enumerate(self._cables):
            cable(self.host, name, self.provider, f"customer{number}")

    def space(self, role: str) -> Space:
        """Return a new namespace, which goes when this world ends."""
        space = Space(f"{self._name}{role}")
        self._ends.callback(space.remove)
        self._names.add(space.name)
        return space

    def _link_programs(self) -> Path:
        """Return a directory with pvenetd and pvenetctl, which the package has in two."""
        place = self.root / "bin"
        place.mkdir()
        for name in ("pvenetd", "pvenetctl"):
            program = shutil.which(name)
            assert program, f"no {name}: neither `make setup` nor tests/lab/installed has been here"
            (place / name).symlink_to(program)
        return place

    def env(self) -> dict[str, str]:
        """Return the environment in which programs serve and find this hypervisor."""
        return {"PVENETD_ROOT": str(self.root), "PATH": f"{self.bin}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}

    def read(self, name: str) -> str:
        """Return the text of a file below the root."""
        return (self.root / name).read_text()

    def write(self, name: str, text: str) -> None:
        """Give a file below the root its text."""
        (self.root / name).write_text(text)

    def files(self) -> list[Path]:
        """Return all files that there are where the daemon writes."""
        return [path for place in ("etc", "run", "var") for path in (self.root / place).rglob("*") if path.is_file()]

    def rules(self) -> str:
        """Return the hypervisor's nftables without what packets leave in them: counters, and elements of their own."""
        return lasting(self.host.run("nft", "-s", "list", "ruleset"))

    def serve_pages(self, *ports: int) -> Process:
        """Give the provider its address, a way back to the guests' network, and a web server on *ports*."""
        self.provider.run("ip", "address", "add", f"{PROVIDER}/24", "dev", "customer0")
        self.provider.run("ip", "route", "add", "10.10.10.0/24", "via", HOST)
        command = [*self.provider.prefix(), sys.executable, "-m", "tests.sandbox.web", "serve", *ports]
        server = self.keep(Process("provider", command, {"PYTHONPATH": str(CHECKOUT)}))
        server.expect("^listening$")
        return server

    def page(self, url: str, seconds: float = PATIENCE) -> str:
        """Return the page that the provider gets from *url*; fail where it gets none."""
        command = [sys.executable, "-m", "tests.sandbox.web", "get", url, seconds]
        return self.provider.run(*command, env={"PYTHONPATH": str(CHECKOUT)})

    def start_daemon(self) -> Process:
        """Start pvenetd, and wait until it serves."""
        self.launch_daemon().expect("serving ")
        assert self.daemon
        return self.daemon

    def launch_daemon(self) -> Process:
        """Start pvenetd; it is not there yet."""
        command = [*self.host.prefix(), self.bin / "pvenetd", "--root", self.root]
        self.daemon = self.keep(Process("pvenetd", command, self.env()))
        return self.daemon

    def kill_daemon(self) -> None:
        """Kill the daemon by SIGKILL, and wait until it has ended."""
        assert self.daemon
        self.daemon.signal(signal.SIGKILL)
        self.daemon.wait()

    def restart_daemon(self, number: int = signal.SIGTERM) -> Process:
        """End the daemon by a signal, and start another."""
        assert self.daemon
        self.daemon.signal(number)
        self.daemon.wait()
        return self.start_daemon()

    def ctl(self, *words: object, check: bool = True) -> str:
        """Return what pvenetctl prints for *words*."""
        return self.host.run(self.bin / "pvenetctl", *words, env=self.env(), check=check)

    def show(self, *words: object) -> int:
        """Let pvenetctl print to this program's own output, in colour if that is a terminal."""
        sys.stdout.flush()
        command = [*self.host.prefix(), self.bin / "pvenetctl", *words]
        return subprocess.run([str(word) for word in command], env={**os.environ, **self.env()}).returncode

    def start_guest(
        self,
        listen: Sequence[int] = (8080, 2222),
        *,
        vmid: int = VMID,
        address: str = GUEST,
        mac: str = GUEST_MAC,
        reboots: bool = False,
    ) -> Guest:
        """Start a guest through the QEMU hooks; it is booting.  Its monitor is where the example settings look."""
        hooks = CHECKOUT / "hooks"
        nic = Nic(f"tap{vmid}i0", mac, f"{address}/24", hooks / "qemu-ifup", hooks / "qemu-ifdown")
        monitor = self.root / MONITORS / f"{vmid}.qmp"
        monitor.parent.mkdir(parents=True, exist_ok=True)
        guest = Guest(
            kernel(),
            self.root,
            [nic],
            gateway="10.10.10.1",
            listen=listen,
            monitor=monitor,
            reboots=reboots,
            prefix=self.host.prefix(),
            env=self.env(),
        )
        self._ends.callback(guest.stop)
        return guest

    def start_namespace_guest(self, address: str, gateway: str = "") -> tuple[Space, Process]:
        """Start guest 100 as a network namespace behind a real tap, through the QEMU hook (`tests.sandbox.pump`)."""
        guest = self.space("guest")
        hook = CHECKOUT / "hooks/qemu-ifup"
        command = [sys.executable, "-m", "tests.sandbox.pump", self.host.name, TAP, guest.name, GUEST_MAC, hook]
        pump = self.keep(Process("pump", command, {**self.env(), "PYTHONPATH": str(CHECKOUT)}))
        pump.expect("^plugged$")
        guest.run("ip", "address", "add", address, "dev", "eth0")
        if gateway:
            guest.run("ip", "route", "add", "default", "via", gateway)
        return guest, pump

    def start_tap(self) -> Process:
        """Return guest 100's tap, which nobody has plugged yet (`tests.sandbox.tap`)."""
        return self.keep(make_tap(self.host, TAP))

    def ping(self, space: Space, address: str, interval: float = 0.1) -> Pings:
        """Ping *address* from a namespace until this world ends; it has been answered once."""
        pings = Pings(space.prefix(), address, interval)
        self._ends.callback(pings.stop)
        return pings

    def capture(self, space: Space, link: str, expression: str = "", direction: str = "inout") -> Capture:
        """Watch a link."""
        capture = Capture(space, link, expression, direction)
        self._ends.callback(capture.stop)
        return capture

    def keep(self, process: Process) -> Process:
        """End *process* when this world ends."""
        self._ends.callback(process.stop)
        return process

    def left(self) -> list[str]:
        """Return what is still there of it, once it has ended."""
        found = [name for name in left_over() if name in self._names]
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"PVENETD_ROOT={self.root}".encode() in path.read_bytes().split(b"\0"):
                    found.append(f"process {path.parent.name}")
            except OSError:
                continue
        return found
