"""A daemon with filtered guests on a fake machine: files are put, and what their chains do is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import Store
from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.errors import KernelError
from pvenetd.kinds.bridge import Bridge
from pvenetd.plan import Op
from pvenetd.settings import Settings
from pvenetd.state import Chains

ON = "[OPTIONS]\nenable: 1\n"
RULES = f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 22\n"
OTHERS = f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 80\n"
BROKEN = f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 99999\n"


ALTERNATIVE = "enp0s31f6-on-the-left"


class Host:
    """Guests 100 to 102 with a filtered NIC on a fake machine, and a clock that is set by hand."""

    def __init__(self, root: Path) -> None:
        self.root = Files(root)
        self.machine = Fake([Bridge(name="vmbr0")])
        self.put("etc/network/interfaces", "auto lo\niface lo inet loopback\n")
        for vmid in (100, 101, 102):
            line = f"net0: virtio=02:00:00:00:00:{vmid - 100:02x},bridge=vmbr0,firewall=1\n"
            self.put(f"etc/pvenetd/qemu-server/{vmid}.conf", line)
        self.time = 0.0
        self.start()

    def start(self) -> None:
        """Start a daemon, as after a restart."""
        self.engine = Engine(self.machine, Journal(self.root))
        self.daemon = Daemon(Store(self.root), self.engine, Journal(self.root), Settings(), "ct")
        self.daemon.firewall.files.clock = lambda: self.time

    def put(self, name: str, text: str | None) -> None:
        self.root.put(name, None if text is None else text.encode())

    def fw(self, name: str, text: str | None) -> None:
        self.put(f"etc/pvenetd/firewall/{name}.fw", text)

    async def apply(self) -> dict[str, str]:
        """Do what `firewall apply` does."""
        self.daemon.firewall.files.decide()
        return await self.follow()

    async def follow(self) -> dict[str, str]:
        """Do what follows from a change of files."""
        failed = await self.daemon.load()
        await self.daemon.firewall.files.flush()
        return failed

    async def reboot(self) -> None:
        """Forget all that a kernel knows."""
        self.engine.close()
        self.machine = Fake([Bridge(name="vmbr0")])
        self.start()
        await self.follow()

    def chains(self, name: str) -> str:
        found = self.machine.observe().get(("chains", name))
        return found.text if isinstance(found, Chains) else ""

    def of(self, vmid: int) -> str:
        """Return what guest's chains do: its port 22, its port 80, dropping all, nothing, or that there are none."""
        text = self.chains(f"vm:{vmid}")
        for word, sign in (("closed", "broken rules"), ("ssh", "dport 22"), ("web", "dport 80"), ("open", ": accept")):
            if sign in text:
                return word
        return "rules" if text else "none"


def told(machine: Fake) -> list[tuple[Op, ...]]:
    """Return a list that every step goes into which *machine* is told from now on."""
    done: list[tuple[Op, ...]] = []
    apply = machine.apply

    def listening(*ops: Op) -> None:
        done.append(ops)
        apply(*ops)

    machine.apply = listening  # type: ignore[method-assign]
    return done


def refuse(machine: Fake, which: Callable[[Op], bool]) -> list[str]:
    """Have *machine* refuse what *which* tells, as long as the list that is returned holds something."""
    refusing = ["yes"]
    apply = machine.apply

    def choosy(*ops: Op) -> None:
        if refusing and any(map(which, ops)):
            raise KernelError("; ".join(map(str, ops)), 22, "Invalid argument")
        apply(*ops)

    machine.apply = choosy  # type: ignore[method-assign]
    return refusing
