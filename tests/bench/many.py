"""With 1,000 guests already there: a plug, an unplug, and how soon a daemon that is started anew is ready.

They are spread over ten bridges: of a bridge's ports the kernel itself keeps a list, which it walks for each.
Each plug is beside one on a host without them, right before it: what else the machine does concerns both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.pair import BRIDGE, FIREWALLED, PLAIN, Case, Pair
from tests.bench.plug import FIRST
from tests.bench.record import record

GUESTS = range(10_000, 11_000)
_MORE = tuple(f"vmbr{number}" for number in range(11, 20))
_BRIDGES = (BRIDGE, *_MORE)
_REPETITIONS = 50
_RESTARTS = 3
RESTART_LIMIT = 5000.0
"""Milliseconds that 1,000 guests may take after a restart."""

Times = Mapping[str, list[float]]


def run() -> Iterator[dict[str, Any]]:
    """Yield a record for each bench."""
    with Pair(more=_MORE) as alone, Pair(more=_MORE, name="crowded-") as crowded:
        _crowd(crowded)
        for case in (PLAIN, FIREWALLED):
            _stand(alone, case)
            without, ours = _times((alone, crowded), case)
            for what in ("plug", "unplug"):
                name, taken = f"{what}-{case.name}-1000", ours[f"ours {what}"]
                yield record(name, taken, without[f"ours {what}"], peer_is="no other guests")
                yield record(f"{name}-floor", taken, ours[f"floor {what}"], peer_is="ip -batch, nft -f")
        yield _restart("restart-1000", crowded, lost=False)
        yield _restart("restart-1000-lost", crowded, lost=True)


def _times(pairs: Sequence[Pair], case: Case) -> list[Times]:
    """Return the milliseconds of plugs and unplugs on each pair, in turn; the first of each warms up."""
    found: list[dict[str, list[float]]] = [{} for _ in pairs]
    for vmid in range(FIRST, FIRST + _REPETITIONS + 1):
        for times, pair in zip(found, pairs, strict=True):
            for what, taken in _once(pair, case, vmid):
                times.setdefault(what, []).append(taken)
    return [{what: all_[1:] for what, all_ in times.items()} for times in found]


def _once(pair: Pair, case: Case, vmid: int) -> Iterator[tuple[str, float]]:
    """Yield what was done by whom, and its milliseconds: a plug and an unplug by us, and the kernel's own for them."""
    tap = f"tap{vmid}i0"
    pair.configure(vmid, case)
    floor = pair.floor(case, vmid)
    pair.ours.tap(tap)
    yield "ours plug", pair.plug(vmid)
    pair.check(vmid)
    yield "ours unplug", pair.unplug(vmid)
    rules_went = not pair.has_rules(vmid)
    pair.ours.drop(tap)
    pair.theirs.tap(tap)
    yield "floor plug", pair.theirs.run(*floor.up())
    yield "floor unplug", pair.theirs.run(*floor.down(rules=rules_went))
    pair.theirs.drop(tap)
    pair.theirs.run(*floor.gone(rules=not rules_went))
    pair.forget(vmid)
    pair.reload(vmid)


def _stand(pair: Pair, case: Case) -> None:
    """Load on the peer's host what the rules of a guest stand on; on the crowded one it came with the guests."""
    pair.configure(FIRST, case)
    pair.theirs.run(*pair.floor(case, FIRST).base())
    pair.forget(FIRST)


def _crowd(pair: Pair) -> None:
    """Plug 1,000 filtered guests, on the peer's host too."""
    links = []
    for number, vmid in enumerate(GUESTS):
        tap, bridge = f"tap{vmid}i0", _BRIDGES[number % len(_BRIDGES)]
        pair.configure(vmid, FIREWALLED, bridge)
        pair.ours.tap(tap)
        pair.plug(vmid)
        pair.theirs.tap(tap)
        links.append(f"link set {tap} master {bridge}\nlink set {tap} up\n")
    rules = pair.world.ctl("firewall", "compile")
    pair.theirs.run(pair.batch("ip", "-batch", text="".join(links)), pair.batch("nft", "-f", text=rules))


def _restart(name: str, pair: Pair, *, lost: bool) -> dict[str, Any]:
    """Return how long a start takes until everything is in its bridge; with *lost*, nothing was when it began."""
    times = []
    for _ in range(_RESTARTS):
        pair.daemon.stop()
        if lost:
            text = "".join(f"link set tap{vmid}i0 nomaster\n" for vmid in GUESTS)
            pair.ours.run(pair.batch("ip", "-batch", text=text))
        started = time.perf_counter()
        pair.start()
        times.append((time.perf_counter() - started) * 1000)
        assert (found := _plugged(pair)) == len(GUESTS), f"{found} of {len(GUESTS)} are plugged"
    return record(name, times, [RESTART_LIMIT] * _RESTARTS, peer_is="limit")


def _plugged(pair: Pair) -> int:
    return sum(bool(link.get("master")) for link in pair.world.host.show("ip", "-j", "link") if _is_tap(link["ifname"]))


def _is_tap(name: str) -> bool:
    return name.startswith("tap")
