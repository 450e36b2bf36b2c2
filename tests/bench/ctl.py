"""pvenetctl's start: from its fork to its exit, with an answer of the daemon's, and the memory that takes.

Beside it a Python that does nothing, and iproute2's own program for the same question.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.pair import BRIDGE
from tests.bench.record import record
from tests.sandbox.world import World

LIMIT = 60.0
"""Milliseconds that a command answered by the daemon may take."""
_REPETITIONS = 20
_RUN = """\
import sys
if sys.argv[1:]:
    from pvenetd.ctl.main import main
    main(sys.argv[1:])
print(open("/proc/self/status").read())
"""
"""Its memory is told by itself: what rusage tells of a child may be its parent's."""
_QUIET = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]


def run() -> Iterator[dict[str, Any]]:
    """Yield a record for each bench."""
    with World() as world:
        world.start_daemon()
        world.ctl("apply")
        ours: Sequence[object] = (world.bin / "pvenetctl", "--root", world.root, "fdb", BRIDGE)
        theirs = {"python": (sys.executable, "-c", "pass"), "bridge": ("bridge", "fdb", "show", "br", BRIDGE)}
        found: dict[str, list[tuple[float, float]]] = {}
        sizes = [_size(world, words) for words in ([], ["--root", world.root, "fdb", BRIDGE])]
        for _ in range(_REPETITIONS + 1):  # the first of each warms up
            for name, command in {"ours": ours, **theirs}.items():
                found.setdefault(name, []).append(_once([*world.host.prefix(), *command]))
    times, used = ({name: [one[at] for one in all_[1:]] for name, all_ in found.items()} for at in (0, 1))
    yield record("ctl-start", times["ours"], [LIMIT] * _REPETITIONS, peer_is="limit")
    for name in theirs:
        yield record(f"ctl-start-{name}", times["ours"], times[name], peer_is=name)
    yield record("ctl-cpu", used["ours"], used["python"], peer_is="python")
    yield record("ctl-memory", [sizes[1]], [sizes[0]], "MiB", peer_is="python")


def _once(command: Sequence[object]) -> tuple[float, float]:
    """Return the milliseconds that *command* takes, and those of a processor.  Fails if it does."""
    words = [str(word) for word in command]
    started = time.perf_counter()
    _, status, used = os.wait4(os.posix_spawnp(words[0], words, os.environ, file_actions=_QUIET), 0)
    taken = (time.perf_counter() - started) * 1000
    assert status == 0, f"{' '.join(words)}: {status}"
    return taken, (used.ru_utime + used.ru_stime) * 1000


def _size(world: World, words: Sequence[object]) -> float:
    """Return the MiB of memory that Python has at most when it runs pvenetctl with *words*, or nothing."""
    said = world.host.run(sys.executable, "-c", _RUN, *words, env=world.env())
    return int(re.findall(r"^VmHWM:\s*([0-9]+) kB", said, re.MULTILINE)[0]) / 1024
