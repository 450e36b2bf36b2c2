"""An edit of a long configuration: what it costs, and how long who asks the daemon for one waits.

The peer is Proxmox VE's Perl, which is no part of this project and not in Debian: its times were measured once,
on a virtual machine of two cores, and stand here for reference.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.record import record
from tests.sandbox.client import call
from tests.sandbox.space import CHECKOUT
from tests.sandbox.world import World

CPU = {1000: 44.0, 5000: 264.0}
"""Stanzas → milliseconds of CPU to parse, check, edit and write them (PVE::INotify, without loading Perl)."""
WAIT = {1000: 100.0, 5000: 750.0}
"""Stanzas → milliseconds until an edit by the API is answered."""
_REPETITIONS = 7
_NIC_VLANS = 2000


def text(stanzas: int) -> str:
    """Return a configuration of NICs, bonds, VLANs and bridges with addresses: so many iface stanzas."""
    pairs = stanzas // 2 - 1
    nics = range(-(-pairs // _NIC_VLANS))
    found = ["auto lo\niface lo inet loopback\n\n", *(f"iface eno{nic} inet manual\n\n" for nic in nics)]
    for at in range(pairs):
        port = f"eno{at // _NIC_VLANS}.{at % _NIC_VLANS + 2}"
        found.append(
            f"auto {port}\niface {port} inet manual\n\n"
            f"auto vmbr{at}\niface vmbr{at} inet static\n\taddress 10.{at >> 8}.{at & 255}.1/24\n"
            f"\tbridge-ports {port}\n\tbridge-stp off\n\tbridge-fd 0\n# tenant {at}\n\n"
        )
    return "".join(found)


def run() -> Iterator[dict[str, Any]]:
    """Yield a record for each bench."""
    for stanzas, peer in CPU.items():
        ours = [_cpu(stanzas) for _ in range(_REPETITIONS)]
        yield record(f"edit-{stanzas}-cpu", ours, [peer] * _REPETITIONS, peer_is="reference")
    for stanzas, peer in WAIT.items():
        yield record(f"edit-{stanzas}-wait", _waits(stanzas), [peer] * _REPETITIONS, peer_is="reference")


def _cpu(stanzas: int) -> float:
    """Return the milliseconds of CPU of one edit in a process that has done nothing before but load its modules."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "interfaces"
        path.write_text(text(stanzas))
        command = [sys.executable, "-m", "tests.bench.edit_once", str(path)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=CHECKOUT).stdout)


def _waits(stanzas: int) -> list[float]:
    """Return the milliseconds from each request to its answer, the edit being on the disk by then."""
    times = []
    with World(cables=["eno0", "eno1"]) as world:
        world.write("etc/network/interfaces", text(stanzas))
        world.start_daemon()
        staged = world.root / "etc/network/interfaces.new"
        for again in range(_REPETITIONS):
            name, comment = f"vmbr{again * stanzas // 20}", f"edit {again}"
            started = time.perf_counter()
            call(world.root, "PUT", f"network/{name}", type="bridge", comments=comment)
            times.append((time.perf_counter() - started) * 1000)
            assert f"#{comment}" in staged.read_text()
    return times
