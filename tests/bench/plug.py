"""Plugging and unplugging one NIC: from the request that QEMU's hook makes until the answer.

Beside it the programs that Proxmox VE's tools start for it (`peer.pl`), and the kernel's own time (`floor`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.bench import lab
from tests.bench.pair import BRIDGE, FIREWALLED, PEER, PLAIN, VLAN_FIREWALLED, Case, Pair
from tests.bench.record import record
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT
from tests.sandbox.world import World

REPETITIONS = 50
FIRST = 200
HOOK_LIMIT = 100.0
"""Milliseconds that a guest's start may wait for its hook."""
PROCESSES = {PLAIN: (16, 4), FIREWALLED: (25, 6), VLAN_FIREWALLED: (27, 6)}
"""What Proxmox VE starts for a plug and an unplug, itself among them, by a trace of it."""
_LAB_REPETITIONS = 12
"""Fewer, as the lab's kernel starts no more than ten programs a second, and the peer takes more than 30 for each."""


def run() -> Iterator[dict[str, Any]]:
    """Yield a record for each bench on this kernel."""
    with Pair() as pair:
        for case in (FIREWALLED, PLAIN):
            yield from _rows(pair, case, REPETITIONS)
        yield _hook(pair)


def vlan() -> Iterator[dict[str, Any]]:
    """Yield those of a NIC in a VLAN; the lab's kernel has VLANs on bridges, whatever this one has."""
    yield from lab.benches("vlan-here")


def vlan_here() -> Iterator[dict[str, Any]]:
    """Yield the same on this kernel."""
    with Pair(aware=True) as pair:
        yield from _rows(pair, VLAN_FIREWALLED, _LAB_REPETITIONS)


def _rows(pair: Pair, case: Case, repetitions: int) -> Iterator[dict[str, Any]]:
    """Yield what a plug and an unplug of *case* take, one after the other beside the peer's and the kernel's."""
    assert (found := peers_processes(pair, case)) == PROCESSES[case], f"the peer starts {found} processes"
    times: dict[str, dict[str, list[float]]] = {what: {} for what in ("plug", "unplug")}
    for vmid in range(FIRST, FIRST + repetitions):
        for who, plug, unplug in _once(pair, case, vmid):
            times["plug"].setdefault(who, []).append(plug)
            times["unplug"].setdefault(who, []).append(unplug)
    for what, by in times.items():
        yield record(f"{what}-{case.name}", by["ours"], by["peer"])
        yield record(f"{what}-{case.name}-floor", by["ours"], by["floor"], peer_is="ip -batch, nft -f")


def _once(pair: Pair, case: Case, vmid: int) -> Iterator[tuple[str, float, float]]:
    """Yield who has done it, and the milliseconds of plug and unplug."""
    tap = f"tap{vmid}i0"
    pair.configure(vmid, case)
    floor = pair.floor(case, vmid)
    pair.ours.tap(tap)
    plugged = pair.plug(vmid)
    pair.check(vmid)
    yield "ours", plugged, pair.unplug(vmid)
    rules_went = not pair.has_rules(vmid)
    pair.ours.drop(tap)
    pair.theirs.tap(tap)
    yield "peer", pair.peer("up", case, vmid), pair.peer("down", case, vmid)
    pair.theirs.drop(tap)
    pair.theirs.tap(tap)
    if vmid == FIRST:
        pair.theirs.run(*floor.base())
    yield "floor", pair.theirs.run(*floor.up()), pair.theirs.run(*floor.down(rules=rules_went))
    pair.theirs.drop(tap)
    pair.theirs.run(*floor.gone(rules=not rules_went))
    pair.forget(vmid)
    pair.reload(vmid)


def _hook(pair: Pair) -> dict[str, Any]:
    """Return what QEMU waits for its script: from its fork to its exit."""
    times = []
    for vmid in range(FIRST, FIRST + REPETITIONS):
        tap = f"tap{vmid}i0"
        pair.configure(vmid, FIREWALLED)
        pair.ours.tap(tap)
        times.append(pair.ours.run([CHECKOUT / "hooks/qemu-ifup", tap]))
        pair.unplug(vmid)
        pair.ours.drop(tap)
        pair.forget(vmid)
        pair.reload(vmid)
    return record("hook-qemu-ifup", times, [HOOK_LIMIT] * len(times), peer_is="limit")


def peers_processes(pair: Pair, case: Case) -> tuple[int, int]:
    """Return how many processes the peer has for a plug and for an unplug: itself, and what strace sees it start."""
    pair.theirs.tap("tap100i0")
    found = []
    for phase in ("up", "down"):
        log = pair.world.root / f"peer.{phase}"
        trace = ["strace", "-f", "-qq", "-e", "trace=process", "-o", log]
        pair.theirs.run([*trace, "perl", PEER, phase, case.name, "tap100i0", BRIDGE])
        found.append(1 + len(re.findall(r"^[0-9]+ +(?:fork|vfork|clone3?)\(", log.read_text(), re.MULTILINE)))
    pair.theirs.drop("tap100i0")
    return found[0], found[1]


def started_programs() -> list[str]:
    """Return the lines in which strace saw the daemon start a process or a program while it plugged."""
    with Pair() as pair:
        trace = Process("strace", ["strace", "-f", "-e", "trace=process", "-p", pair.daemon.pid])
        pair.world.keep(trace).expect("attached")
        for vmid in range(FIRST, FIRST + 5):
            pair.configure(vmid, FIREWALLED)
            pair.ours.tap(f"tap{vmid}i0")
            pair.plug(vmid)
            pair.check(vmid)
            pair.unplug(vmid)
        plugged = len(trace.lines)
        stage(pair.world, "\tup true\n")
        pair.world.ctl("apply")
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
