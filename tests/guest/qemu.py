"""A QEMU guest under emulation (TCG: it runs on every machine), spoken to by its serial line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guest.initramfs import build
from tests.patience import PATIENCE
from tests.sandbox.process import Process

WORDS = ("console=ttyS0", "quiet", "loglevel=0", "panic=-1", "no_timer_check")
"""What its kernel is told: its console is the serial line; it ends where it cannot go on; and not because an
emulated timer has not ticked ten times while somebody else had the processor ("IO-APIC + timer doesn't work").
"""
MEMORY_MIB = 96
"""With 64 its file system does not fit beside the kernel."""


@dataclass(frozen=True, slots=True)
class Nic:
    """One NIC of a guest, and the address it gives itself."""

    tap: str
    mac: str
    address: str
    """``10.10.10.2/24``."""
    up: Path
    """Program QEMU calls with the tap's name when it has made it; the guest starts if it ends well."""
    down: Path


class Shell:
    """The serial line of a guest, on which its `init` runs what it is told.

    *process* prints what the guest says, and sends it the lines that it is given.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self._from = 0

    def ready(self, seconds: float = 3 * PATIENCE) -> None:
        """Wait until it has its addresses and listens."""
        self.process.expect("^@ ready$", seconds)

    def start(self, command: str) -> None:
        """Let it run *command*; `result` waits for the end."""
        self._from = len(self.process.lines)
        self.process.send(command)

    def result(self, seconds: float = PATIENCE) -> tuple[int, str]:
        """Return exit status and output of what was started."""
        status = int(self.process.expect(r"^@ (\d+)$", seconds)[1])
        output: list[str] = []
        for line in self.process.lines[self._from :]:
            if re.fullmatch(r"@ \d+", line):
                break
            output.append(line)
        return status, "\n".join(output).strip()

    def run(self, command: str, seconds: float = PATIENCE) -> tuple[int, str]:
        """Return exit status and output of *command*."""
        self.start(command)
        return self.result(seconds)


class Guest(Shell):
    """A running guest: with a *monitor* for pvenetd, and one for the test beside it (``.test``)."""

    def __init__(
        self,
        kernel: Path,
        scratch: Path,
        nics: Sequence[Nic],
        *,
        gateway: str = "",
        listen: Sequence[int] = (),
        monitor: Path | None = None,
        reboots: bool = False,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        archive = scratch / "initramfs"
        archive.write_bytes(build(kernel / "modules"))
        words = [*WORDS]
        words += [f"guest.address={nic.address},eth{number}" for number, nic in enumerate(nics)]
        words += [f"guest.gateway={gateway}"] if gateway else []
        words += [f"guest.listen={','.join(map(str, listen))}"] if listen else []
        devices: list[str] = [] if reboots else ["-no-reboot"]
        for path in (monitor, monitor.with_suffix(".test")) if monitor else ():
            devices += ["-qmp", f"unix:{path},server=on,wait=off"]
        for number, nic in enumerate(nics):
            devices += [
                "-netdev",
                f"tap,id=net{number},ifname={nic.tap},script={nic.up},downscript={nic.down}",
                "-device",
                f"virtio-net-pci,id=net{number},netdev=net{number},mac={nic.mac},romfile=",
            ]
        command = [
            *(*prefix, "qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", str(MEMORY_MIB)),
            *("-device", "pcie-root-port,id=slot0,chassis=1"),
            *("-nodefaults", "-display", "none", "-serial", "stdio"),
            *("-kernel", kernel / "vmlinuz", "-initrd", archive, "-append", " ".join(words), *devices),
        ]
        super().__init__(Process("guest", command, env))

    def power_off(self, seconds: float = PATIENCE) -> int:
        """Let it shut down; return QEMU's exit status."""
        self.process.send("poweroff -f")
        return self.process.wait(seconds)

    def stop(self) -> int:
        """End QEMU."""
        return self.process.stop()
