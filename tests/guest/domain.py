"""Guests of libvirt's: their XML, their life by virsh, and the serial line of those with a system of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pvenetd.guests.wiring import IFUP, SPACE
from tests.guest.initramfs import build, kernel
from tests.guest.qemu import MEMORY_MIB, WORDS, Shell
from tests.netns import run
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT

VMID = 100
NETWORK = "lan"
"""A network of libvirt's that is the host's bridge vmbr0."""
_FAILED = 5  # VIR_DOMAIN_EVENT_STOPPED_FAILED


class Wiring(StrEnum):
    """How an interface of a domain comes to its tap."""

    SCRIPT = "ethernet, with our script"
    OURS = "ethernet, with a tap of ours"
    BRIDGE = "bridge, with the tap's name"
    NETWORK = "network, with the tap's name"
    PLAIN = "bridge, as people have it"


_INTERFACE = {
    Wiring.SCRIPT: "<interface type='ethernet'><script path='{script}'/><target dev='{tap}'/>{rest}</interface>",
    Wiring.OURS: "<interface type='ethernet'><target dev='{tap}' managed='no'/>{rest}</interface>",
    Wiring.BRIDGE: "<interface type='bridge'><source bridge='{bridge}'/><target dev='{tap}'/>{rest}</interface>",
    Wiring.NETWORK: "<interface type='network'><source network='lan'/><target dev='{tap}'/>{rest}</interface>",
    Wiring.PLAIN: "<interface type='bridge'><source bridge='{bridge}'/>{rest}</interface>",
}

_DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <metadata>{metadata}</metadata>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>{boot}</os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact'><model>qemu64</model></cpu>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    {interfaces}
    <serial type='unix'><source mode='bind' path='/run/libvirt/{name}.serial'/></serial>
  </devices>
</domain>
"""


def mac(index: int) -> str:
    """Return the MAC of net*index*."""
    return f"02:00:00:00:01:{index:02x}"


def interface(wiring: Wiring, index: int = 0, *, bridge: str = "vmbr0", script: object = IFUP) -> str:
    """Return the XML of net*index*."""
    rest = f"<mac address='{mac(index)}'/><model type='virtio'/><rom enabled='no'/>"
    return _INTERFACE[wiring].format(script=script, bridge=bridge, tap=f"tap{VMID}i{index}", rest=rest)


def metadata(*nets: str) -> str:
    """Return what the XML cannot say; of each NIC in turn, the attributes of its element."""
    inside = "".join(f"<pvenetd:net index='{index}' {words}/>" for index, words in enumerate(nets))
    return f"<pvenetd:guest xmlns:pvenetd='{SPACE}' vmid='{VMID}'>{inside}</pvenetd:guest>"


@dataclass(frozen=True)
class Libvirt:
    """A libvirtd, as virsh speaks to it."""

    uri: str = "qemu:///system"
    run: Path = Path("/run/libvirt")
    """What it sees as /run/libvirt."""
    images: Path = Path("/var/lib/libvirt/images")
    """Where QEMU may read."""

    def virsh(self, *words: object) -> str:
        """Return what virsh prints; fail with what it says."""
        return run("virsh", "-q", "-c", self.uri, *map(str, words))

    def refused(self, *words: object) -> str:
        """Return what virsh says of something that is not to succeed."""
        command = ["virsh", "-q", "-c", self.uri, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode != 0, f"virsh {words[0]} was not refused: {done.stdout}"
        return done.stderr

    def events(self) -> Process:
        """Follow what it tells of its domains, from now on."""
        command = [sys.executable, "-m", "tests.guest.watch", self.uri]
        follower = Process("events", command, {"PYTHONPATH": str(CHECKOUT)})
        follower.expect("^watching$")
        return follower

    def install_kernel(self) -> None:
        """Put the guests' kernel and their file system where QEMU may read them."""
        shutil.copy(kernel() / "vmlinuz", self.images / "vmlinuz")
        (self.images / "initramfs").write_bytes(build(kernel() / "modules"))
        for name in ("vmlinuz", "initramfs"):
            (self.images / name).chmod(0o644)

    def define_network(self) -> None:
        """Define and start `NETWORK`."""
        file = self.run / "network.xml"
        file.write_text(f"<network><name>{NETWORK}</name><forward mode='bridge'/><bridge name='vmbr0'/></network>")
        self.virsh("net-define", file)
        self.virsh("net-start", NETWORK)


class Domain:
    """Guest 100; one with addresses has a system that gives them to its NICs in turn, any other only runs its BIOS."""

    def __init__(
        self,
        libvirt: Libvirt,
        interfaces: Sequence[str],
        *,
        metadata: str = "",
        addresses: Sequence[str] = (),
        name: str = f"vm{VMID}",
    ) -> None:
        self.libvirt, self.name, self.addresses = libvirt, name, addresses
        self._defined = False
        boot = ""
        if addresses:
            words = " ".join([*WORDS, *(f"guest.address={one},eth{index}" for index, one in enumerate(addresses))])
            files = f"<kernel>{libvirt.images}/vmlinuz</kernel><initrd>{libvirt.images}/initramfs</initrd>"
            boot = f"{files}<cmdline>{words}</cmdline>"
        self.xml = _DOMAIN.format(
            name=self.name,
            metadata=metadata,
            memory=MEMORY_MIB if addresses else 16,
            boot=boot,
            interfaces="\n    ".join(interfaces),
        )

    def define(self) -> Domain:
        """Tell libvirt of it."""
        self.libvirt.virsh("define", self.file(self.xml))
        self._defined = True
        return self

    def start(self) -> None:
        """Start it."""
        self.libvirt.virsh("start", self.name)

    def refused(self) -> str:
        """Try to start it; return why not."""
        return self.libvirt.refused("start", self.name)

    def destroy(self) -> None:
        """Pull its plug."""
        self.libvirt.virsh("destroy", self.name)

    def crash(self) -> None:
        """Kill its QEMU, and wait until libvirt has noticed."""
        follower = self.libvirt.events()
        os.kill(self.pid(), signal.SIGKILL)
        follower.expect(f"^{self.name} stopped {_FAILED}$")
        follower.stop()

    def power_off(self, shell: Shell) -> None:
        """Let its system end, and wait until libvirt has noticed."""
        follower = self.libvirt.events()
        shell.process.send("poweroff -f")
        follower.expect(f"^{self.name} stopped ")
        follower.stop()

    def remove(self) -> None:
        """Let nothing be left of it, however it is; doing it twice is fine."""
        if self._defined:
            words = f"destroy {self.name}; undefine {self.name}"
            subprocess.run(["virsh", "-q", "-c", self.libvirt.uri, words], capture_output=True)
            self._defined = False

    def pid(self) -> int:
        """Return the process that is its QEMU."""
        return int((self.libvirt.run / "qemu" / f"{self.name}.pid").read_text())

    def state(self) -> str:
        """Return what libvirt says that it does."""
        return self.libvirt.virsh("domstate", self.name).strip()

    def device(self, index: int = 0) -> str:
        """Return the tap of one of its NICs, by libvirt's word."""
        rows = [line.split() for line in self.libvirt.virsh("domiflist", self.name).splitlines() if line.strip()]
        return next(row[0] for row in rows if row[-1] == mac(index))

    def attach(self, interface: str) -> None:
        """Hotplug a NIC."""
        self.libvirt.virsh("attach-device", self.name, self.file(interface), "--live")

    def detach(self, interface: str) -> None:
        """Ask the guest to give a NIC back."""
        self.libvirt.virsh("detach-device", self.name, self.file(interface), "--live")

    def tell(self, metadata: str) -> None:
        """Give it other metadata, live."""
        text = metadata.replace(f" xmlns:pvenetd='{SPACE}'", "").replace("pvenetd:", "")
        self.libvirt.virsh("metadata", self.name, "--live", "--uri", SPACE, "--key", "pvenetd", "--set", text)

    def shell(self) -> Shell:
        """Return its serial line."""
        command = [sys.executable, "-m", "tests.guest.relay", self.libvirt.run / f"{self.name}.serial"]
        return Shell(Process(f"serial line of {self.name}", command, {"PYTHONPATH": str(CHECKOUT)}))

    def file(self, text: str) -> Path:
        """Return a file with *text*, for virsh."""
        file = self.libvirt.run / f"{self.name}.xml"
        file.write_text(text)
        return file
