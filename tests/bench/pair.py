"""Two hosts on which a NIC is plugged and unplugged: ours with its daemon, and the peer's; a network namespace each.

A NIC starts from the same each time: QEMU's tap is there, and nothing else of that guest is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pvenetd.ctl.client import Request, ask
from tests.bench.floor import Floor
from tests.bench.worker import Worker
from tests.sandbox.client import request
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, Space
from tests.sandbox.world import World

BRIDGE = "vmbr1"
PEER = CHECKOUT / "tests/bench/peer.pl"
_RULES = """\
[OPTIONS]
enable: 1
policy_in: DROP

[RULES]
IN ACCEPT -p tcp -dport 8080
OUT DROP -p tcp -dport 9999
"""
_INTERFACES = "etc/network/interfaces"
BRIDGE_TEXT = "\nauto {name}\niface {name} inet manual\n\tbridge-ports none\n\tbridge-stp off\n\tbridge-fd 0\n"
_AWARE = "\tbridge-vlan-aware yes\n\tbridge-vids 2-4094\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration of the NIC."""

    name: str
    """As `peer.pl` has it, too."""
    firewall: bool
    tag: int | None = None

    def net(self, vmid: int, bridge: str = BRIDGE) -> str:
        """Return the netN line."""
        mac = f"02:00:00:00:{vmid >> 8:02x}:{vmid & 255:02x}"
        tag = f",tag={self.tag}" if self.tag else ""
        return f"net0: virtio={mac},bridge={bridge},firewall={int(self.firewall)}{tag}\n"


PLAIN, FIREWALLED = Case("plain", firewall=False), Case("firewalled", firewall=True)
VLAN_FIREWALLED = Case("vlan-firewalled", firewall=True, tag=20)


def write(world: World, vmid: int, case: Case, bridge: str = BRIDGE) -> None:
    """Write a guest's files; nobody tells the daemon."""
    world.write(f"etc/pvenetd/qemu-server/{vmid}.conf", case.net(vmid, bridge))
    if case.firewall:
        world.write(f"etc/pvenetd/firewall/{vmid}.fw", _RULES)


def forget(world: World, vmid: int) -> None:
    """Remove them."""
    files = world.root / "etc/pvenetd"
    (files / f"qemu-server/{vmid}.conf").unlink()
    (files / f"firewall/{vmid}.fw").unlink(missing_ok=True)


def hooked(world: World, phase: str, tap: str) -> float:
    """Return the milliseconds from the request of QEMU's hook to its answer; *phase* is ``up`` or ``down``."""
    wanted = Request("POST", ("hook", "qemu"), {"phase": phase, "ifname": tap})
    started = time.perf_counter()
    status, answer = ask(str(world.root), wanted)
    taken = (time.perf_counter() - started) * 1000
    assert status == 200, answer
    return taken


class Pair:
    """Both hosts, with the bridge `BRIDGE` and *more*; if they are *aware* of VLANs, the first is.

    Of two pairs at once, one has a *name*.
    """

    def __init__(self, *, aware: bool = False, more: Sequence[str] = (), name: str = "") -> None:
        self._aware, self._more, self._name = aware, more, name
        self._ends = ExitStack()
        self.daemon: Process

    def __enter__(self) -> Self:
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

    def _build(self) -> None:
        self.world = self._ends.enter_context(World(name=self._name))
        aware = _AWARE if self._aware else ""
        others = "".join(BRIDGE_TEXT.format(name=name) for name in self._more)
        self.world.write(_INTERFACES, self.world.read(_INTERFACES) + aware + others)
        self.daemon = self.world.start_daemon()
        self.world.ctl("apply")
        self.peer_host = Space(f"{self._name}peer")
        self._ends.callback(self.peer_host.remove)
        for bridge in (BRIDGE, *self._more):
            filtering = ["vlan_filtering", 1] if self._aware and bridge == BRIDGE else []
            self.peer_host.run("ip", "link", "add", bridge, "type", "bridge", *filtering)
            self.peer_host.run("ip", "link", "set", bridge, "up")
        self._floor = self.world.root / "floor"
        self._floor.mkdir()
        self.ours = self._worker(self.world.host)
        self.theirs = self._worker(self.peer_host)

    def _worker(self, space: Space) -> Worker:
        worker = Worker(space, self.world.env())
        self._ends.callback(worker.stop)
        return worker

    def configure(self, vmid: int, case: Case, bridge: str = BRIDGE) -> None:
        """Write the guest's files; nobody tells the daemon."""
        write(self.world, vmid, case, bridge)

    def forget(self, vmid: int) -> None:
        """Remove them."""
        forget(self.world, vmid)

    def plug(self, vmid: int) -> float:
        """Return the milliseconds from the hook's request to its answer."""
        return hooked(self.world, "up", f"tap{vmid}i0")

    def unplug(self, vmid: int) -> float:
        """Return the milliseconds likewise."""
        return hooked(self.world, "down", f"tap{vmid}i0")

    def peer(self, phase: str, case: Case, vmid: int) -> float:
        """Return the milliseconds of the peer's programs; *phase* is ``up`` or ``down``."""
        tap = f"tap{vmid}i0"
        taken = self.theirs.run(["perl", PEER, phase, case.name, tap, BRIDGE])
        ports = {tap, f"fwpr{vmid}p0"}
        assert bool(ports & self._ports(self.peer_host)) == (phase == "up"), f"{phase}: {ports}"
        return taken

    def check(self, vmid: int) -> None:
        """Fail where our host has not plugged the guest."""
        assert f"tap{vmid}i0" in self._ports(self.world.host), f"tap{vmid}i0 is not in {BRIDGE}"

    def floor(self, case: Case, vmid: int) -> Floor:
        """Return what the kernel takes at least."""
        compiled = self.world.ctl("firewall", "compile", "--vmid", vmid)
        return Floor(self._floor, vmid, BRIDGE, compiled, case.tag)

    def has_rules(self, vmid: int) -> bool:
        """Return whether the guest's rules are loaded on our host."""
        return f'"vm:{vmid}" comment' in self.world.host.run("nft", "list", "table", "bridge", "pvenetd")

    def reload(self, vmid: int) -> None:
        """Have the daemon forget what a guest without files has left."""
        request(self.world.root, "POST", f"vms/{vmid}/unplug")

    def start(self) -> None:
        """Start our daemon again."""
        self.daemon = self.world.start_daemon()

    def batch(self, *words: object, text: str) -> list[object]:
        """Return the command *words* with a file that holds *text* at its end."""
        path = self._floor / f"batch-{words[0]}"
        path.write_text(text)
        return [*words, path]

    @staticmethod
    def _ports(space: Space) -> set[str]:
        return {link["ifname"] for link in space.show("ip", "-j", "link", "show", "master", BRIDGE)}
