"""``kill -9`` of the daemon at random moments, under applies, plugs and firewall changes at once: it always converges.

  python -m tests.kills [--times N] [--seed N] [--installed]

The seed is printed, and stands for the same load and moments.

One of four is killed while it starts.  Every tenth time the load stops, and everything is looked at: no file is torn
and none strewn, nothing is left to do.  In the end everybody is unplugged and the first configuration is applied:
links, chains, addresses, routes and files are those of the beginning.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from tests.bench.worker import Worker
from tests.host.world import Installed
from tests.hypervisor import INSTALLED, Built, Hypervisor
from tests.patience import until
from tests.sandbox.client import call
from tests.sandbox.world import World

TIMES = 500
_LOOK = 10
"""Kills between two looks at everything."""
_GUESTS = range(200, 206)
_ACTIVE, _STAGED = "etc/network/interfaces", "etc/network/interfaces.new"
_MORE = "\nauto vmbr{0}\niface vmbr{0} inet static\n\taddress 203.0.113.{1}/28\n\tbridge-ports none\n\tbridge-fd 0\n"
_DRAFT = re.compile(r"\.(?:.*\.)?[0-9a-f]{8}")


class Load:
    """Somebody who asks for something again and again; whom the daemon's death takes nothing from but an answer."""

    def __init__(self, name: str, step: Callable[[], None]) -> None:
        self._step = step
        self.done = self.lost = 0
        self.refusals: list[str] = []
        self._go, self._idle, self._end = threading.Event(), threading.Event(), False
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def go_on(self) -> None:
        """Ask on."""
        self._idle.clear()
        self._go.set()

    def pause(self) -> None:
        """Ask for nothing; the last answer is here."""
        self._go.clear()
        assert self._idle.wait(300)

    def stop(self) -> None:
        """End."""
        self._end = True
        self._go.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            if not self._go.is_set():
                self._idle.set()
            self._go.wait()
            if self._end:
                return
            try:
                self._step()
                self.done += 1
            except (OSError, HTTPException, ValueError):  # nobody is there, or he died while he answered
                self.lost += 1
                time.sleep(0.1)  # who asks without a pause keeps the daemon from starting
            except AssertionError as error:
                self.refusals.append(str(error))


class Kills:
    """The host, its load, and who is killed."""

    def __init__(self, world: Hypervisor, seed: int) -> None:
        self.world, self.seed = world, seed
        self._chance = random.Random(seed)
        self._worker = Worker(world.host)
        self._guests = world.root / "etc/pvenetd/qemu-server"
        self._rules = world.root / "etc/pvenetd/firewall/100.fw"
        self._first, self._first_rules = world.read(_ACTIVE), self._rules.read_text()
        more = [_MORE.format(number, 16 * number + 1) for number in (2, 3, 4)]
        self._variants = [self._first + "".join(more[begin:end]) for begin in range(3) for end in range(begin + 1, 4)]
        self._plugged: dict[int, bool] = {}
        """Guest → whether it is, as far as it was answered."""
        self._taps: set[int] = set()
        """Guests whose tap is QEMU's."""
        steps = {"apply": self._apply, "plug": self._plug, "rules": self._edit_rules}
        self._chances = {name: random.Random(f"{seed} {name}") for name in steps}
        self.loads = {name: Load(name, step) for name, step in steps.items()}
        self.starting = 0
        self._leash = 0.0
        """Seconds at most until a daemon is killed: as many as a start takes."""

    def run(self, times: int) -> None:
        """Kill *times*, and look."""
        for step in (self._apply, self._edit_rules, self._plug):
            step()
        self._put_back()  # files that come with the first of each are there
        self._leash = self._start()
        before = self.everything()
        for number in range(1, times + 1):
            self._goes_on(True)
            self._kill_one()
            if number % _LOOK == 0 or number == times:
                self._goes_on(False)
                self._look(number)
                print(f"{number + self.starting} kills", file=sys.stderr, flush=True)
        self._put_back()
        until(lambda: self.everything() == before, f"seed {self.seed}: all is as in the beginning", 60)

    def stop(self) -> None:
        """End the load."""
        for load in self.loads.values():
            load.stop()
        self._worker.stop()

    def everything(self) -> dict[str, Any]:
        """Return all that there is of the host."""
        host, root = self.world.host, self.world.root
        links, addresses = host.show("ip", "-j", "link"), host.show("ip", "-j", "-4", "address")
        return {
            "links": sorted((one["ifname"], one.get("master", ""), one.get("ifalias", "")) for one in links),
            "addresses": sorted((one["ifname"], it["local"]) for one in addresses for it in one["addr_info"]),
            "routes": host.run("ip", "route"),
            "rules": sorted(self.world.rules().splitlines()),
            "files": sorted(str(path.relative_to(root)) for path in self.world.files()),
        }

    def _start(self) -> float:
        """Return the seconds from a daemon's death until the next one serves."""
        began = time.monotonic()
        self.world.kill_daemon()
        self.world.start_daemon()
        return time.monotonic() - began

    def _kill_one(self) -> None:
        """Kill the daemon at a moment by chance, and start another; one of four while it starts."""
        time.sleep(self._chance.random() * self._leash)  # the moment is what is tried
        self.world.kill_daemon()
        if self._chance.random() < 0.25:
            self.starting += 1
            self.world.launch_daemon()
            time.sleep(self._chance.random() * self._leash)
            self.world.kill_daemon()
        self.world.start_daemon()

    def _goes_on(self, on: bool) -> None:
        for load in self.loads.values():
            if on:
                load.go_on()
            else:
                load.pause()

    def _look(self, number: int) -> None:
        """See that nothing is torn, strewn, or left to do."""
        root, why = self.world.root, f"seed {self.seed}, kill {number}"
        for name, load in self.loads.items():
            assert not load.refusals, f"{why}: {name}: {load.refusals}"
        (root / _STAGED).unlink(missing_ok=True)
        self.world.ctl("reconcile")
        assert self.world.ctl("plan") == "", why
        assert self.world.read(_ACTIVE) in [self._first, *self._variants], why
        for path in self.world.files():
            assert not _DRAFT.fullmatch(path.name), f"{why}: {path} is left"
            if path.suffix == ".json":
                json.loads(path.read_bytes())
        self.world.ctl("firewall", "check")
        status = self._ask("GET", "pvenetd/status")
        assert status["errors"] == {}, f"{why}: {status['errors']}"
        there = {link["ifname"] for link in self.world.host.show("ip", "-j", "link") if "UP" in link["flags"]}
        for vmid, plugged in self._plugged.items():
            assert (f"tap{vmid}i0" in there) == plugged, f"{why}: guest {vmid}: {there}"

    def _put_back(self) -> None:
        for vmid in _GUESTS:
            self._unplug(vmid)
        self._rules.write_text(self._first_rules)
        self._stage(self._first)
        self.world.ctl("apply", "--no-probe")
        self.world.ctl("reconcile")
        assert self.world.ctl("plan") == "", f"seed {self.seed}: with the first configuration"

    # What the load does, each in a thread of its own.

    def _apply(self) -> None:
        """Apply a configuration by chance; one of three is to be confirmed, and is."""
        chance = self._chances["apply"]
        self._stage(chance.choice(self._variants))
        if chance.random() < 0.3:
            self._ask("POST", "pvenetd/apply", no_probe=1, confirm=3600)
            self._confirm()
        else:
            self._ask("POST", "pvenetd/apply", no_probe=1)

    def _confirm(self) -> None:
        """Confirm the apply, unless the daemon was killed since: the next has undone it."""
        try:
            self._ask("POST", "pvenetd/confirm")
        except AssertionError as error:
            if "nothing waits to be confirmed" not in str(error):
                raise

    def _plug(self) -> None:
        """Plug a guest, or unplug one: its tap is QEMU's or the daemon's."""
        chance = self._chances["plug"]
        vmid = chance.choice(_GUESTS)
        was = self._plugged.pop(vmid, None)  # not known until it is answered
        if was:
            self._unplug(vmid)
            return
        bridge = chance.choice(("vmbr0", "vmbr1"))
        nic = f"net0: virtio=02:00:00:00:02:{vmid - 200:02x},bridge={bridge},firewall={chance.randint(0, 1)}\n"
        (self._guests / f"{vmid}.conf").write_text(nic)
        if chance.random() < 0.5 and vmid not in self._taps:
            self._worker.tap(f"tap{vmid}i0")
            self._taps.add(vmid)
        self._ask("POST", f"pvenetd/vms/{vmid}/plug")
        self._plugged[vmid] = True

    def _unplug(self, vmid: int) -> None:
        if (self._guests / f"{vmid}.conf").exists():
            self._ask("POST", f"pvenetd/vms/{vmid}/unplug")
        if vmid in self._taps:
            self._worker.drop(f"tap{vmid}i0")
            self._taps.discard(vmid)
        (self._guests / f"{vmid}.conf").unlink(missing_ok=True)
        self._ask("POST", "pvenetd/reconcile")
        self._plugged[vmid] = False

    def _edit_rules(self) -> None:
        """Add a rule of guest 100's, or delete one."""
        chance, rules = self._chances["rules"], "qemu/100/firewall/rules"
        if len(self._ask("GET", rules)) > 5:
            self._ask("DELETE", f"{rules}/0")
        else:
            port = chance.randint(1, 65535)
            self._ask("POST", rules, type="in", action="ACCEPT", proto="tcp", dport=str(port), enable=1)

    def _stage(self, text: str) -> None:
        """Write an edit, whole."""
        draft = self.world.root / "edit"
        draft.write_text(text)
        draft.rename(self.world.root / _STAGED)

    def _ask(self, method: str, path: str, **values: Any) -> Any:
        return call(self.world.root, method, path, **values)


def main(argv: list[str]) -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=TIMES, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--installed", action="store_true", help=INSTALLED)
    given = parser.parse_args(argv)
    print(f"seed {given.seed}", flush=True)
    print(json.dumps(kills(given.times, given.seed, Installed if given.installed else World)))
    return 0


def kills(times: int, seed: int, built: Built = World) -> dict[str, Any]:
    """Return how often the daemon was killed, and what was asked of it meanwhile.  Fails where it does not converge."""
    with built() as world:
        world.start_daemon()
        world.ctl("apply")
        running = Kills(world, seed)
        try:
            running.run(times)
        finally:
            running.stop()
        loads = running.loads.items()
        return {
            "kills": times + running.starting,
            "while starting": running.starting,
            "answered": {name: load.done for name, load in loads},
            "lost": {name: load.lost for name, load in loads},
        }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
