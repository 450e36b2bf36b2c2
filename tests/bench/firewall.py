"""The firewall of 1,000 guests with ten rules each: compiled, loaded, changed in one file, and left alone."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pvenetd.daemon.store import Store
from pvenetd.drivers.files import Files
from pvenetd.drivers.nft import Nftables, drain, events, probe
from pvenetd.firewall import nft
from pvenetd.firewall.compile import Guest, Nic, compile_ruleset
from pvenetd.firewall.nft_base import Design
from pvenetd.plan import plan, steps
from pvenetd.resource import Resource
from pvenetd.state import Chains, state
from tests.bench.plug import is_start
from tests.bench.record import record
from tests.kernel.world import inside
from tests.patience import PATIENCE
from tests.sandbox.process import Process
from tests.sandbox.space import Space, run, scratch
from tests.sandbox.world import World

GUESTS = range(10_000, 11_000)
PROXMOX_COMPILE = 800.0
"""Milliseconds of CPU that Proxmox VE's compilation of as many guests and rules takes on such a machine."""
CHANGE_LIMIT, CHANGE_CPU_LIMIT = 50.0, 30.0
"""Milliseconds from a file's write to the kernel, and of CPU."""
IDLE_LIMIT = 0.1
"""Per cent of a core."""
_COMPILATIONS, _LOADS, _CHANGES = 3, 3, 20
_IDLE_SECONDS = 60.0
_TIDIED = 25.0
"""Seconds after which what was made by reading the files has been looked through by the garbage collector."""

CLUSTER = """\
[OPTIONS]
enable: 1
policy_in: ACCEPT
"""
"""It lets everybody in: what is measured is guests'."""
GUEST = """\
[OPTIONS]
enable: 1
policy_in: DROP

[RULES]
IN ACCEPT -p tcp -dport 22 -source 192.0.2.0/24
IN ACCEPT -p tcp -dport 80,443
IN ACCEPT -p tcp -dport 8000:8100 -source 198.51.100.{last}
IN ACCEPT -p udp -dport 53
IN ACCEPT -p icmp -icmp-type echo-request
IN DROP -p tcp -dport 25
IN ACCEPT -p tcp -dport {port} -source 203.0.113.1-203.0.113.9
OUT DROP -p tcp -dport 25
OUT DROP -dest 198.51.100.{last}
OUT REJECT -p udp -dport {port}
"""


def rows() -> Iterator[dict[str, Any]]:
    """Yield a record for each bench."""
    root = scratch()
    try:
        write(root)
        yield _compilation(root)
        yield _loading(root)
    finally:
        run("rm", "-r", root)
    with World() as world:
        write(world.root)
        daemon = world.start_daemon()
        yield from _changing(world, daemon)
        yield from _idle(daemon)


def write(root: Path) -> None:
    """Write the files of all guests below *root*."""
    for name in ("firewall", "qemu-server"):
        (root / "etc/pvenetd" / name).mkdir(parents=True, exist_ok=True)
    for old in (root / "etc/pvenetd/qemu-server").glob("*.conf"):
        old.unlink()
    for number, vmid in enumerate(GUESTS):
        mac = f"02:00:00:00:{vmid >> 8:02x}:{vmid & 255:02x}"
        conf = f"net0: virtio={mac},bridge=vmbr1,firewall=1\n"
        (root / f"etc/pvenetd/qemu-server/{vmid}.conf").write_text(conf)
        fw_path(root, vmid).write_text(GUEST.format(last=number % 250 + 1, port=10_000 + number))
    (root / "etc/pvenetd/firewall/cluster.fw").write_text(CLUSTER)


def fw_path(root: Path, vmid: int) -> Path:
    """Return where a guest's rules are."""
    return root / f"etc/pvenetd/firewall/{vmid}.fw"


def compiled(root: Path, design: Design) -> list[Resource]:
    """Return the files' pieces, from their text on, each time."""
    store = Store(Files(root))
    guests = [
        Guest(
            guest.vmid,
            store.rules(str(guest.vmid)),
            {index: Nic(guest.device(index), nic.firewall, nic.mac or "") for index, nic in guest.nics.items()},
        )
        for guest in store.guests()
    ]
    return nft.pieces(compile_ruleset(store.rules("cluster"), store.rules("host"), guests), design)


def _compilation(root: Path) -> dict[str, Any]:
    times = []
    for _ in range(_COMPILATIONS):
        started = time.process_time()
        compiled(root, "mark")
        times.append((time.process_time() - started) * 1000)
    return record("firewall-compile-1000", times, [PROXMOX_COMPILE] * len(times), peer_is="Proxmox VE, CPU")


def _loading(root: Path) -> dict[str, Any]:
    """Return how long the kernel takes for all pieces, sent by us and by `nft -f`."""
    ours, theirs = [], []
    text = root / "rules.nft"
    for _ in range(_LOADS):
        space = Space("load")
        try:
            with inside(space.name):
                pieces = [one for one in compiled(root, probe()) if isinstance(one, Chains)]
                started = time.perf_counter()
                driver = Nftables()
                for step in steps(plan(state(pieces), driver.observe())):
                    driver.apply(*step)
                ours.append((time.perf_counter() - started) * 1000)
                assert len(driver.observe()) == len(pieces), "all of it is loaded"
        finally:
            space.remove()
        text.write_text(nft.render(pieces))
        space = Space("load")
        try:
            started = time.perf_counter()
            run("ip", "netns", "exec", space.name, "nft", "-f", text)
            theirs.append((time.perf_counter() - started) * 1000)
        finally:
            space.remove()
    return record("firewall-load-1000", ours, theirs, peer_is="nft -f")


def _changing(world: World, daemon: Process) -> Iterator[dict[str, Any]]:
    """Yield what one guest's change takes, and one that is about all of them."""
    with inside(world.host.name):
        told = events()
    with told:
        times, spent = [], []
        for vmid in GUESTS[: _CHANGES * 7 : 7]:
            text = fw_path(world.root, vmid).read_text().replace("-dport 53", "-dport 5353")
            taken, cpu = _followed(daemon, told, partial(fw_path(world.root, vmid).write_text, text))
            times.append(taken)
            spent.append(cpu)
        limits = [CHANGE_LIMIT] * len(times)
        yield record("firewall-change-1000", times, limits, peer_is="limit")
        yield record("firewall-change-1000-cpu", spent, [CHANGE_CPU_LIMIT] * len(spent), peer_is="limit")


def _followed(daemon: Process, told: socket.socket, change: Callable[[], object]) -> tuple[float, float]:
    """Return the milliseconds from a *change* of a file until the kernel tells of new rules, and the daemon's CPU."""
    _calm(daemon)
    drain(told)
    before, started = _cpu(daemon), time.perf_counter()
    change()
    readable, _, _ = select.select([told], [], [], PATIENCE)
    taken = (time.perf_counter() - started) * 1000
    assert readable, "the kernel has new rules"
    _calm(daemon)
    return taken, (_cpu(daemon) - before) * 1000


def _calm(daemon: Process) -> None:
    """Return when the daemon has done nothing for a tenth of a second."""
    deadline, last = time.monotonic() + PATIENCE, -1.0
    while (now := _cpu(daemon)) - last > 0.001:
        assert time.monotonic() < deadline, "the daemon comes to rest"
        last = now
        time.sleep(0.1)


def _cpu(daemon: Process) -> float:
    """Return the seconds that the daemon has been on a CPU (/proc/PID/task/TID/schedstat, nanoseconds)."""
    tasks = Path(f"/proc/{daemon.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def _idle(daemon: Process) -> Iterator[dict[str, Any]]:
    """Yield what 1,000 guests cost while nothing happens, and what is started for them meanwhile."""
    time.sleep(_TIDIED)
    before = _cpu(daemon)
    time.sleep(_IDLE_SECONDS)
    share = (_cpu(daemon) - before) / _IDLE_SECONDS * 100
    yield record("firewall-idle-1000", [share], [IDLE_LIMIT], "%", peer_is="limit")
    trace = Process("strace", ["strace", "-f", "-e", "trace=process", "-p", daemon.pid])
    try:
        trace.expect("attached")
        time.sleep(_IDLE_SECONDS / 6)
    finally:
        trace.stop()
    started = [line for line in trace.lines if is_start(line)]
    assert not started, f"the daemon has started {started}"
