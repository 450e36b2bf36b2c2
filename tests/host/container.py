"""LXC containers with busybox as their root: made, started, asked, stopped."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

from tests.host.machine import CTL, SERVICE, ended
from tests.netns import run
from tests.patience import PATIENCE

_LXC = Path("/var/lib/lxc")
_PROGRAMS = ("sh", "cat", "httpd", "nc", "ping", "sleep")
_INIT = """\
#!/bin/sh
trap 'exit 0' TERM INT PWR
{first}
for port in {ports}; do httpd -p "$port" -h /; done
while :; do sleep 1000 & wait $!; done
"""
_CONFIG = """\
lxc.rootfs.path = dir:{root}
lxc.uts.name = {name}
lxc.apparmor.profile = unconfined
lxc.signal.halt = SIGTERM
lxc.mount.auto = proc:mixed sys:ro
{lines}
"""


class Container:
    """A container of LXC's; its NICs are those of the container's file of pvenetd's, as `vm lxc-config` prints them."""

    def __init__(self, ctid: int, first: str = "", ports: tuple[int, ...] = (), more: str = "") -> None:
        self.ctid, self.name = ctid, f"ct{ctid}"
        self.place = _LXC / self.name
        self.log = Path(f"/tmp/{self.name}.log")
        root = self.place / "rootfs"
        for directory in ("bin", "dev", "etc", "proc", "sbin", "sys", "tmp"):
            (root / directory).mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        for program in _PROGRAMS:
            (root / "bin" / program).symlink_to("busybox")
        (root / "index.html").write_text(f"page of {self.name}\n")
        init = root / "sbin/init"
        init.write_text(_INIT.format(first=first, ports=" ".join(map(str, ports))))
        init.chmod(0o755)
        if "lxc.idmap" in more:
            run("chown", "-R", "100000:100000", str(root))
        lines = run(CTL, "vm", "lxc-config", str(ctid)) + more
        (self.place / "config").write_text(_CONFIG.format(root=root, name=self.name, lines=lines))

    def start(self) -> subprocess.CompletedProcess[str]:
        """Start it, and wait until it runs or has failed."""
        self.log.unlink(missing_ok=True)
        command = ["lxc-start", "-n", self.name, "-l", "DEBUG", "-o", str(self.log)]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)

    def run(self, *command: str, check: bool = True) -> str:
        """Return what a program in it prints."""
        words = ["lxc-attach", "--clear-env", "-n", self.name, "--", f"/bin/{command[0]}", *command[1:]]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
        return done.stdout if done.returncode == 0 else ""

    def info(self, what: str) -> str:
        """Return one word of lxc-info: ``state``, ``pid``."""
        return run("lxc-info", "-n", self.name, "-H", f"--{what}").strip()

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self.info("state") != "STOPPED":
            run("lxc-stop", "-n", self.name, "-t", "10")

    def kill(self) -> None:
        """Have LXC's monitor die, and the container with it: nobody is left to run a script."""
        monitor = run("ps", "-o", "ppid=", "-p", self.info("pid"))
        ended(int(monitor), signal.SIGKILL)

    def remove(self) -> None:
        """Leave nothing of it."""
        self.stop()
        shutil.rmtree(self.place)


def restart_daemon() -> None:
    """Have the daemon end and start anew."""
    run("systemctl", "restart", SERVICE)
