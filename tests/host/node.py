"""A second host on this one's kernel, for guests to move to: its namespaces, its libvirtd, its pvenetd."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.guest.domain import Libvirt
from tests.host.machine import CTL
from tests.host.talk import TAGS
from tests.netns import run, show
from tests.patience import until
from tests.sandbox.process import Process
from tests.sandbox.space import View

HERE = Path("/run/node2")
NAME = "node2"
THERE = Libvirt(
    f"qemu+unix:///system?socket={HERE}/run/libvirt/libvirt-sock",
    HERE / "run/libvirt",
    HERE / "var/lib/libvirt/images",
)
MOVING = HERE / "moving"
"""Where QEMU listens for a guest that comes."""
_VLANS = f"{TAGS[0]}-{TAGS[-1]}"
"""What the cable carries."""
_OWN = (
    *("etc/libvirt", "run/libvirt", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt"),
    *("etc/pvenetd", "etc/network", "run/pvenetd", "var/lib/pvenetd", "run/dbus"),
)
"""Directories of which it has its own."""
_COPIED = ("etc/libvirt", "var/cache/libvirt", "var/lib/libvirt/images", "etc/pvenetd", "etc/network")
_SETTINGS = {
    "etc/libvirt/libvirtd.conf": 'host_uuid = "f0a0f0a0-0000-4000-8000-000000000002"\n',
    # Its machines have the same names as the first host's, whose systemd-machined and virtlogd it does not see.
    "etc/libvirt/qemu.conf": 'cgroup_controllers = [ ]\nstdio_handler = "file"\n',
    "etc/network/interfaces": "iface eno1 inet manual\n",
}


class Node:
    """The second host; its eno1 is a cable to the first one's vmbr0."""

    def __init__(self) -> None:
        for place in _OWN:
            (HERE / place).mkdir(parents=True)
        for place in _COPIED:
            shutil.copytree(f"/{place}", HERE / place, dirs_exist_ok=True, symlinks=True)
        for domain in (HERE / "etc/libvirt/qemu").glob("*.xml"):
            domain.unlink()
        for place, text in _SETTINGS.items():
            with (HERE / place).open("a") as file:
                file.write(text)
        MOVING.mkdir()
        MOVING.chmod(0o777)
        run("ip", "netns", "add", NAME)
        run("ip", "link", "add", "to-node2", "type", "veth", "peer", "name", "eno1", "netns", NAME)
        run("ip", "link", "set", "to-node2", "master", "vmbr0", "up")
        run("bridge", "vlan", "add", "dev", "to-node2", "vid", _VLANS)
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "add", "vmbr0", "type", "bridge", "vlan_filtering", "1"),
            ("link", "set", "vmbr0", "up"),
            ("link", "set", "eno1", "master", "vmbr0", "up"),
        ):
            run("ip", "-n", NAME, *words)
        run("bridge", "-n", NAME, "vlan", "add", "dev", "eno1", "vid", _VLANS)
        inside = [f"mount --bind {HERE}/{place} /{place}" for place in _OWN]
        inside += [f"echo {NAME} >/proc/sys/kernel/hostname", f"echo 127.0.0.1 {NAME} >>/etc/hosts"]
        self._view = View(NAME, ["ip", "netns", "exec", NAME], inside)
        self._daemon = Process("pvenetd of node2", [*self._view.prefix(), "pvenetd"])
        self._daemon.expect("serving ")
        words = ["libvirtd", "--pid-file", "/run/libvirt/pid"]
        self._libvirtd = Process("libvirtd of node2", [*self._view.prefix(), *words])
        until((HERE / "run/libvirt/libvirt-sock").exists, "libvirtd of node2 listens")

    def run(self, *words: str) -> str:
        """Run a program there and return what it prints; fail with what it says."""
        return run(*self._view.prefix(), *words)

    def asked(self, *words: str) -> Any:
        """Return its pvenetctl's answer as a record."""
        return json.loads(self.run(CTL, "--json", *words))

    def vlans(self, name: str) -> list[int]:
        """Return the VLANs of one of its ports."""
        found = show(*self._view.prefix(), "bridge", "-j", "vlan")
        return [vlan["vlan"] for one in found if one["ifname"] == name for vlan in one["vlans"]]

    def links(self) -> set[str]:
        """Return the names of its links."""
        return {link["ifname"] for link in show(*self._view.prefix(), "ip", "-j", "link")}

    def remove(self) -> None:
        """Take it away."""
        for process in (self._libvirtd, self._daemon, self._view.process):
            process.stop()
        run("ip", "link", "delete", "to-node2")
        run("ip", "netns", "delete", NAME)
        shutil.rmtree(HERE)
