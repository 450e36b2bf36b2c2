"""`make bench`: one JSON object a line on stdout, a table for people on stderr.

ratio = ours / peer: below 1 pvenetd is the faster one.  Arguments choose benches: ``plug bridges memory``.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.bench import bridges, ctl, edit, firewall, load, many, packets, plug

BENCHES: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    "plug": plug.run,
    "vlan": plug.vlan,
    "many": many.run,
    "load": load.run,
    "ctl": ctl.run,
    "edit": edit.run,
    "memory": bridges.memory,
    "bridges": bridges.rows,
    "firewall": firewall.rows,
    "packets": packets.rows,
    "packets-ct": packets.with_bridge_conntrack,
}
HERE: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    "vlan-here": plug.vlan_here,
    "packets-ct-here": packets.rows,
}
"""What others run on another kernel, and hold to their own promises."""
PROMISES = (
    (r"plug-(plain|firewalled)", "ratio", 0.1),
    (r"(un)?plug-(plain|firewalled)-floor", "ratio", 2.0),
    (r"(un)?plug-(plain|firewalled)-1000", "ratio", 1.2),
    (r"(un)?plug-(plain|firewalled)-1000-floor", "ratio", 2.0),
    (r"load-plug", "ratio", 2.0),
    (r"(hook|restart)-.*", "ratio", 1.0),
    (r"ctl-start", "ratio", 1.0),
    (r"edit-\d+-cpu", "ratio", 1.0),
    (r"edit-\d+-wait", "ratio", 0.2),
    (r"bridges-\w+-500-first", "ours", 2000.0),
    (r"bridges-\w+-500-(same|one)", "ours", 100.0),
    (r"memory-.*", "ratio", 1.0),
    (r"firewall-load-.*", "ratio", 1.2),
    (r"packet-\w+-last", "ratio", packets.EQUAL),
    (r"packet-new-iptables", "ratio", 0.25),
    (r"firewall-(compile|change|idle)-.*", "ratio", 1.0),
)
"""Pattern of a bench's name, figure, and what it is at most."""


def main(names: list[str]) -> int:
    """Run all benches, or those of *names*; fail where a promise is not kept."""
    if os.geteuid() != 0:
        print("the benches make network namespaces: run them as root", file=sys.stderr)
        return 1
    if unknown := set(names) - BENCHES.keys() - HERE.keys():
        print(f"no bench {', '.join(unknown)}: there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    broken: list[str] = []
    _say(f"{'bench':<36}{'ours':>10}{'peer':>10}{'unit':>6}{'ratio':>8}{'n':>5}")
    for name in names or BENCHES:
        for found in (BENCHES | HERE)[name]():
            _say("{bench:<36}{ours:>10.2f}{peer:>10.2f}{unit:>6}{ratio:>8.3f}{n:>5}".format(**found))
            print(json.dumps(found), flush=True)
            broken += _broken(found) if name in BENCHES else ()
        if name == "plug":
            started = plug.started_programs()
            _say(f"programs started by pvenetd while it plugged (strace -f -e trace=process): {len(started)}")
            broken += [f"pvenetd started a program: {line}" for line in started]
    for line in broken:
        _say(f"FAILED {line}")
    return 1 if broken else 0


def _broken(found: Mapping[str, Any]) -> list[str]:
    return [
        f"{found['bench']}: {figure} is {found[figure]}, and at most {most:g} is promised"
        for pattern, figure, most in PROMISES
        if re.fullmatch(pattern, found["bench"]) and found[figure] > most
    ]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
