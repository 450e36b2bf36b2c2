"""`make bench`: one JSON object a line on stdout, a table for people on stderr.

ratio = ours / peer: below 1 pvenetd is the faster one.
"""

from __future__ import annotations

import json
import os
import sys

from tests.bench import plug

TARGET = 0.2
"""A firewalled NIC is to be plugged in a fifth of the peer's time."""


def main() -> int:
    """Run all benches; fail where a promise is not kept."""
    if os.geteuid() != 0:
        print("the benches make network namespaces: run them as root", file=sys.stderr)
        return 1
    broken = []
    _say(f"{'bench':<18}{'ours':>10}{'peer':>10}{'unit':>6}{'ratio':>8}{'n':>5}")
    for found in plug.run():
        _say("{bench:<18}{ours:>10.2f}{peer:>10.2f}{unit:>6}{ratio:>8.3f}{n:>5}".format(**found))
        print(json.dumps(found), flush=True)
        if found["bench"] == "plug-firewalled" and found["ratio"] > TARGET:
            broken.append(f"{found['bench']}: ratio {found['ratio']}, and at most {TARGET} is promised")
    started = plug.started_programs()
    _say(f"programs started by pvenetd while it plugged (strace -f -e trace=process): {len(started)}")
    broken += [f"pvenetd started a program: {line}" for line in started]
    for line in broken:
        _say(f"FAILED {line}")
    return 1 if broken else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
