"""Guests that come and go by chance for half an hour: what is left in the end is counted, in the kernel and the daemon.

  python -m tests.soak [--times N] [--taps N] [--seconds S] [--seed N] [--installed]

The guests have one NIC each: its bridge, VLAN, firewall, rate and MTU by chance, made by the daemon or by "QEMU"
(VLANs and rates where this kernel has them).  QEMU takes some of its taps away without a word; some
configurations are changed while they are plugged, rules are edited by the API, others read it all the time, and the
uplink loses its carrier.  Counted are links, qdiscs, chains, sets and elements of nftables, what stands in
``run/pvenetd``, of the daemon file descriptors, threads and memory, and how long a plug takes, at first and in the
end.  It ends with what it counted, and with exit status 1 if something has leaked.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pvenetd.ctl.client import HOST, NODE, Request, ask
from tests.bench.worker import Worker
from tests.host.world import Installed
from tests.hypervisor import INSTALLED, Built, Daemon, Hypervisor
from tests.patience import PATIENCE
from tests.sandbox.world import World

TIMES, TAPS, SECONDS = 1_000_000, 200, 1800.0
GROWTH = 1.05
"""What the daemon's memory may be in the end, of what it was once every guest had come and gone."""
SLOWER = 2.0
"""What a plug may take in the end, of what it took at first: the median of `_SAMPLE`; the machine may do other work."""
_SAMPLE = 500
_WARM = 4
"""Part of the time that passes before anything is counted: until then the allocator takes more, and keeps it."""
_TIDIED = 25
"""Seconds in which the daemon surely looks once for what nobody refers to (`pvenetd.collector`)."""
_READERS = ("status", "vms", "topology", "firewall/counters")
"""What others read, a thread each."""
_PACE = 0.5
"""Seconds between two reads of one."""
_FIRST = 1000
_INTERFACES = "etc/network/interfaces"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BRIDGES = ("vmbr1", "vmbr2", "vmbr3")
_BRIDGE = "\nauto {0}\niface {0} inet manual\n\tbridge-ports none\n\tbridge-stp off\n\tbridge-fd 0\n"
_RULES = "[OPTIONS]\nenable: 1\npolicy_in: {policy}\n\n[RULES]\n{rules}"
_RULE = (
    "IN ACCEPT -p tcp -dport 22\n",
    "IN ACCEPT -p tcp -dport 8000:8100,443\n",
    "OUT DROP -p udp -dport 53\n",
    "IN ACCEPT -source 192.0.2.0/24\n",
)


_DONE = ("plug", "unplug", "vanish", "change", "rule", "flap")


@dataclass(slots=True)
class Churn:
    """The guests, and what has been done to them."""

    world: Hypervisor
    worker: Worker
    random: random.Random
    vlans: bool
    rates: bool
    plugged: set[int] = field(default_factory=set)
    qemus: set[int] = field(default_factory=set)
    """Those whose tap QEMU has made."""
    done: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_DONE, 0))
    took: list[float] = field(default_factory=list)
    """Milliseconds that each plug by hand has taken."""

    def go_on(self, guests: Sequence[int], times: int, seconds: float) -> None:
        """Take *times* steps with guests by chance, or as many as are taken in *seconds*."""
        until = time.monotonic() + seconds
        for _ in range(times):
            self.step(self.random.choice(guests))
            if time.monotonic() > until:
                break

    def step(self, vmid: int) -> None:
        """Plug a guest, or else unplug it, have its tap vanish, or change its configuration."""
        if self.random.random() < 0.01:
            self.flap()
        elif vmid not in self.plugged:
            self.plug(vmid)
        elif vmid in self.qemus and self.random.random() < 0.2:
            self.worker.drop(_tap(vmid))
            self.qemus.discard(vmid)
            self._gone(vmid, "vanish")
        elif self.random.random() < 0.1:
            rule = {"type": "in", "action": "ACCEPT", "proto": "tcp", "dport": "4242", "enable": 1}
            self._ask("qemu", vmid, "firewall", "rules", below=HOST, **rule)
            self.done["rule"] += 1
        elif self.random.random() < 0.1:
            self.configure(vmid)
            self._ask("vms", vmid, "plug")
            self.done["change"] += 1
        else:
            self.unplug(vmid)

    def flap(self) -> None:
        """Have the uplink lose its carrier, and find it again."""
        for state in ("down", "up"):
            self.world.provider.run("ip", "link", "set", "customer0", state)
        self.done["flap"] += 1

    def configure(self, vmid: int) -> None:
        """Give a guest a configuration by chance."""
        mac = f"02:00:00:00:{vmid >> 8:02x}:{vmid & 255:02x}"
        bridge = self.random.choice(_BRIDGES)
        more = [f"firewall={self.random.randint(0, 1)}"]
        if self.vlans and bridge == _BRIDGES[0] and self.random.random() < 0.7:
            more.append(self.random.choice([f"tag={self.random.randint(2, 4094)}", "trunks=10;20-30"]))
        if self.rates and self.random.random() < 0.3:
            more.append(f"rate={self.random.randint(1, 100)}")
        if self.random.random() < 0.2:
            more.append(f"mtu={self.random.randint(600, 1500)}")
        files = self.world.root / "etc/pvenetd"
        rules = "".join(self.random.sample(_RULE, self.random.randint(0, len(_RULE))))
        policy = self.random.choice(("ACCEPT", "DROP"))
        (files / f"firewall/{vmid}.fw").write_text(_RULES.format(policy=policy, rules=rules))
        (files / f"qemu-server/{vmid}.conf").write_text(f"net0: virtio={mac},bridge={bridge},{','.join(more)}\n")

    def plug(self, vmid: int) -> None:
        """Configure a guest anew and plug it: as QEMU's hook does, or by hand."""
        self.configure(vmid)
        if self.random.random() < 0.5:
            self.worker.tap(_tap(vmid))
            self.qemus.add(vmid)
            self._ask("hook", "qemu", phase="up", ifname=_tap(vmid))
        else:
            began = time.perf_counter()
            self._ask("vms", vmid, "plug")
            self.took.append((time.perf_counter() - began) * 1000)
        self.plugged.add(vmid)
        self.done["plug"] += 1

    def unplug(self, vmid: int) -> None:
        """Unplug a guest, take its tap away if that is QEMU's, and then its files."""
        self._ask("vms", vmid, "unplug")
        if vmid in self.qemus:
            self.worker.drop(_tap(vmid))
            self.qemus.discard(vmid)
        self._gone(vmid, "unplug")

    def end(self) -> None:
        """Unplug everybody."""
        for vmid in sorted(self.plugged):
            self.unplug(vmid)

    def _gone(self, vmid: int, how: str) -> None:
        files = self.world.root / "etc/pvenetd"
        (files / f"qemu-server/{vmid}.conf").unlink()
        (files / f"firewall/{vmid}.fw").unlink()
        self._ask("vms", vmid, "unplug")
        self.plugged.discard(vmid)
        self.done[how] += 1

    def _ask(self, *path: object, below: str = NODE, **params: Any) -> None:
        wanted = Request("POST", tuple(map(str, path)), params, below=below)
        status, answer = ask(str(self.world.root), wanted)
        assert status == 200, f"{' '.join(map(str, path))}: {answer}"


def _tap(vmid: int) -> str:
    return f"tap{vmid}i0"


def main(argv: list[str]) -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=TIMES, help="plugs and unplugs (default: %(default)s)")
    parser.add_argument("--taps", type=int, default=TAPS, help="guests at most at a time (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for all of them (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--installed", action="store_true", help=INSTALLED)
    given = parser.parse_args(argv)
    print(f"seed {given.seed}", flush=True)
    built = Installed if given.installed else World
    told = soak(given.times, given.taps, given.seconds, random.Random(given.seed), built)
    print(json.dumps(told))
    return 1 if told["leaked"] else 0


def soak(times: int, taps: int, seconds: float, chance: random.Random, built: Built = World) -> dict[str, Any]:
    """Return what was done, what was counted before and after, and what has leaked."""
    with _churn(chance, built) as (churn, daemon):
        guests = range(_FIRST, _FIRST + taps)
        for vmid in guests:
            churn.plug(vmid)
        with readers(churn.world):
            churn.go_on(guests, times, seconds / _WARM)
            churn.end()
        before = _settled(lambda: _counts(churn.world, daemon.pid), {})
        churn.took.clear()
        began = time.monotonic()
        with readers(churn.world) as reads:
            churn.go_on(guests, times, seconds)
            churn.end()
        after = _settled(lambda: _counts(churn.world, daemon.pid), before)
        taken = round(time.monotonic() - began, 1)
    sample = min(_SAMPLE, len(churn.took) // 2)
    before["plug_ms"], after["plug_ms"] = _median(churn.took[:sample]), _median(churn.took[-sample:])
    leaked = {name: (before[name], after[name]) for name in before if _leaks(name, before[name], after[name])}
    return {
        "done": {**churn.done, "read": len(reads)},
        "seconds": taken,
        "vlans": churn.vlans,
        "rates": churn.rates,
        "before": before,
        "after": after,
        "leaked": leaked,
    }


def _leaks(name: str, before: float, after: float) -> bool:
    if name == "plug_ms":
        return after > before * SLOWER
    return after > before * GROWTH if name == "rss_kib" else after != before


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 2) if values else 0.0


@contextmanager
def readers(world: Hypervisor) -> Iterator[list[int]]:
    """Have others read from the API for a while; yield the statuses they were answered."""
    answered: list[int] = []
    ended = threading.Event()

    def read(path: str) -> None:
        while not ended.wait(_PACE):
            answered.append(ask(str(world.root), Request("GET", tuple(path.split("/"))))[0])

    threads = [threading.Thread(target=read, args=(path,)) for path in _READERS]
    for one in threads:
        one.start()
    try:
        yield answered
    finally:
        ended.set()
        for one in threads:
            one.join()
    assert set(answered) <= {200}


@contextmanager
def _churn(chance: random.Random, built: Built) -> Iterator[tuple[Churn, Daemon]]:
    with built() as world, ExitStack() as ends:
        vlans = _has_vlans(world)
        aware = "\tbridge-vlan-aware yes\n\tbridge-vids 2-4094\n" if vlans else ""
        more = "".join(_BRIDGE.format(name) for name in _BRIDGES[1:])
        world.write(_INTERFACES, world.read(_INTERFACES) + aware + more)
        daemon = world.start_daemon()
        world.ctl("apply")
        worker = Worker(world.host)
        ends.callback(worker.stop)
        yield Churn(world, worker, chance, vlans, _has_rates(world)), daemon


def _has_vlans(world: Hypervisor) -> bool:
    """Return whether this kernel has VLANs on bridges."""
    world.host.run("ip", "link", "add", "probe", "type", "bridge", "vlan_filtering", "1", check=False)
    found = world.host.run("ip", "-j", "-d", "link", "show", "probe", check=False)
    world.host.run("ip", "link", "delete", "probe", check=False)
    return '"vlan_filtering":1' in found


def _has_rates(world: Hypervisor) -> bool:
    """Return whether this kernel has what limits a rate."""
    world.host.run("tc", "qdisc", "add", "dev", "lo", "clsact", check=False)
    world.host.run("tc", "filter", "add", "dev", "lo", "egress", "matchall", "action", "ok", check=False)
    found = world.host.run("tc", "filter", "show", "dev", "lo", "egress", check=False)
    world.host.run("tc", "qdisc", "del", "dev", "lo", "clsact", check=False)
    return "matchall" in found


def _settled(count: Callable[[], Mapping[str, float]], before: Mapping[str, float]) -> dict[str, float]:
    """Return the counts once they are as *before*, or, if there is none, stay as they are.

    The daemon may still be at something.  Its memory is the least of what it has while it tidies up once more.
    """
    until = time.monotonic() + PATIENCE
    now, last = count(), before
    while time.monotonic() < until and any(last.get(name) != now[name] for name in now if name != "rss_kib"):
        last = before or now
        time.sleep(1)  # counts are asked for, nobody tells when they are right
        now = count()
    memory = [now["rss_kib"]]
    while len(memory) < _TIDIED:
        time.sleep(1)
        memory.append(count()["rss_kib"])
    return {**now, "rss_kib": min(memory)}


def _counts(world: Hypervisor, pid: int) -> dict[str, float]:
    host = world.host
    rules = json.loads(host.run("nft", "-j", "list", "ruleset"))["nftables"]
    found = {noun: sum(noun in one for one in rules) for noun in ("table", "chain", "rule", "set", "map")}
    elements = [one.get("set") or one.get("map") or {} for one in rules]
    state = world.root / "run/pvenetd"
    process = Path(f"/proc/{pid}")
    return {
        "links": len(host.show("ip", "-j", "link", "show")),
        "qdiscs": sum(
            one["kind"] not in ("noqueue", "pfifo_fast", "fq_codel") for one in host.show("tc", "-j", "qdisc")
        ),
        **found,
        "elements": sum(len(one.get("elem", ())) for one in elements),
        "files": sum(path.is_file() for path in state.rglob("*")),
        "descriptors": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
        "rss_kib": int((process / "statm").read_text().split()[1]) * _PAGE // 1024,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
