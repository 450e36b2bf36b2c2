"""Plugging one NIC: from the request that QEMU's hook makes until the answer, beside the peer's programs.

Both start from the same each time: QEMU's tap is there, and nothing else of that guest is.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.bench.record import record
from tests.sandbox.client import hook, request
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, Space, make_tap
from tests.sandbox.world import World

REPETITIONS = 30
_BRIDGE = "vmbr1"
_FIRST = 200
_RULES = """\
[OPTIONS]
enable: 1
policy_in: DROP

[RULES]
IN ACCEPT -p tcp -dport 8080
OUT DROP -p tcp -dport 9999
"""


def run() -> Iterator[dict[str, Any]]:
    """Yield a record for each bench."""
    with World() as world, _peer_host() as (host, peer):
        world.start_daemon()
        world.ctl("apply")
        for name, firewall in (("plug-firewalled", True), ("plug-plain", False)):
            ours, theirs = [], []
            for vmid in range(_FIRST, _FIRST + REPETITIONS):
                ours.append(_ours(world, vmid, firewall=firewall))
                theirs.append(_theirs(host, peer, vmid, firewall=firewall))
            yield record(name, ours, theirs)


def started_programs() -> list[str]:
    """Return the lines in which strace saw the daemon start a process or a program while it plugged."""
    with World() as world:
        daemon = world.start_daemon()
        world.ctl("apply")
        trace = Process("strace", ["strace", "-f", "-e", "trace=process", "-p", daemon.pid])
        world.keep(trace).expect("attached")
        for vmid in range(_FIRST, _FIRST + 5):
            _ours(world, vmid, firewall=True)
        plugged = len(trace.lines)
        stage(world, "\tup true\n")
        world.ctl("apply")
        trace.stop()
    starts = [number for number, line in enumerate(trace.lines) if is_start(line)]
    assert any(number >= plugged for number in starts), "strace sees the user's own command being started"
    return [trace.lines[number] for number in starts if number < plugged]


def stage(world: World, more: str) -> None:
    """Stage the active interfaces file with *more* at its end."""
    active = world.root / "etc/network/interfaces"
    (active.parent / "interfaces.new").write_text(active.read_text() + more)


def is_start(line: str) -> bool:
    """Return whether a line of strace tells of a new process (not a thread) or program."""
    return (
        bool(re.match(r"(\[pid +\d+\] )?(fork|vfork|clone3?|execveat|execve)\(", line)) and "CLONE_THREAD" not in line
    )


def _ours(world: World, vmid: int, *, firewall: bool) -> float:
    """Return the milliseconds of one plug."""
    tap, files = f"tap{vmid}i0", world.root / "etc/pvenetd"
    conf, rules = files / f"qemu-server/{vmid}.conf", files / f"firewall/{vmid}.fw"
    conf.write_text(f"net0: virtio={_mac(vmid)},bridge={_BRIDGE},firewall={int(firewall)}\n")
    if firewall:
        rules.write_text(_RULES)
    guest = make_tap(world.host, tap)
    started = time.perf_counter()
    hook(world.root, "up", tap)
    taken = (time.perf_counter() - started) * 1000
    assert tap in _ports(world.host), f"{tap} is not in {_BRIDGE}"
    hook(world.root, "down", tap)
    guest.stop()
    conf.unlink()
    rules.unlink(missing_ok=True)
    request(world.root, "POST", "firewall/apply")
    return taken


def _theirs(host: Space, peer: Process, vmid: int, *, firewall: bool) -> float:
    """Return the milliseconds of one plug by the peer's programs."""
    tap = f"tap{vmid}i0"
    guest = make_tap(host, tap)
    peer.send(f"firewalled {tap} {_mac(vmid)}" if firewall else f"plain {tap}")
    taken = float(peer.expect(r"^[\d.]+$", 60)[0])
    guest.stop()
    return taken


@contextmanager
def _peer_host() -> Iterator[tuple[Space, Process]]:
    """Yield a namespace with a bridge, and the program that plugs guests into it."""
    host = Space("peer")
    try:
        host.run("ip", "link", "add", _BRIDGE, "type", "bridge")
        host.run("ip", "link", "set", _BRIDGE, "up")
        command = [*host.prefix(), sys.executable, "-m", "tests.bench.peer", _BRIDGE]
        process = Process("peer", command, {"PYTHONPATH": str(CHECKOUT)})
        try:
            process.expect("^ready$")
            yield host, process
        finally:
            process.stop()
    finally:
        host.remove()


def _ports(space: Space) -> set[str]:
    return {link["ifname"] for link in space.show("ip", "-j", "link", "show", "master", _BRIDGE)}


def _mac(vmid: int) -> str:
    return f"02:00:00:00:{vmid >> 8:02x}:{vmid & 255:02x}"
