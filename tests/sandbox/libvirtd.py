"""A libvirtd of a sandbox's own: in its hypervisor's network, with directories, hooks and users of its own.

It sees no systemd and no D-Bus, so its guests are in no cgroup, and its logs are files.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.guest.domain import Libvirt
from tests.patience import until
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, View
from tests.sandbox.world import World

_HIDDEN = ("/run", "/var/lib", "/var/cache", "/var/log")
"""Directories of the machine that it has in memory, empty."""
_OWN = {"etc": "/etc/libvirt", "run": "/run/libvirt", "passwd": "/etc/passwd", "group": "/etc/group"}
"""What it has of its own."""
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
security_driver = "none"
stdio_handler = "file"
"""
_USER = "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false"
"""libvirt looks for it whatever its settings say; the package libvirt-daemon-system makes it."""


class Libvirtd:
    """A libvirtd with our hook, for the guests of *world*."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.here = world.root / "libvirt"
        for name in ("etc/hooks/qemu.d", "run", "images"):
            (self.here / name).mkdir(parents=True)
        self.script = self._program("qemu-ifup", self.here / "qemu-ifup")
        self._program("libvirt-qemu", self.here / "etc/hooks/qemu.d/50-pvenetd")
        (self.here / "etc/qemu.conf").write_text(_QEMU)
        (self.here / "etc/libvirtd.conf").write_text('auth_unix_rw = "none"\n')
        (self.here / "passwd").write_text(f"{Path('/etc/passwd').read_text()}{_USER}\n")
        (self.here / "group").write_text(f"{Path('/etc/group').read_text()}libvirt-qemu:x:64055:\n")
        socket = self.here / "run/libvirt-sock"
        self.libvirt = Libvirt(f"qemu+unix:///system?socket={socket}", self.here / "run", self.here / "images")
        mounts = [f"mount -t tmpfs hidden {place}" for place in _HIDDEN]
        mounts += ["mkdir /run/libvirt", *(f"mount --bind {self.here / name} {place}" for name, place in _OWN.items())]
        self._view = View("libvirt", world.host.prefix(), mounts)
        world.keep(self._view.process)
        self._process = self._start()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.signal(number)

    def restart(self, number: int) -> None:
        """End it by a signal, and start another."""
        self._process.signal(number)
        self._process.wait()
        self._process = self._start()

    def _program(self, hook: str, place: Path) -> Path:
        """Make one of the package's hooks find this daemon: libvirt starts programs without its own environment."""
        words = " ".join(f"{name}={text}" for name, text in self._world.env().items())
        place.write_text(f'#!/bin/sh\nexport {words}\nexec {CHECKOUT}/hooks/{hook} "$@"\n')
        place.chmod(0o755)
        return place

    def _start(self) -> Process:
        process = self._world.keep(Process("libvirtd", [*self._view.prefix(), "libvirtd"]))
        asking = ["virsh", "-q", "-c", self.libvirt.uri, "uri"]
        until(lambda: subprocess.run(asking, capture_output=True).returncode == 0, "libvirtd serves")
        return process
