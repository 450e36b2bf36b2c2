"""Packets played on a real kernel and by the simulator: tests/packets/*.txt, with either way to know a connection.

What a backend is to the tests: a function that brings a case's rules into the host of a `World`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pvenetd.drivers.nft import tells_bridge
from pvenetd.firewall.nft_base import Design
from tests.kernel.firewall import Guarded, Rules, chains_of, compiled, have_bridge_netfilter, load, sections
from tests.kernel.lines import Line, parse
from tests.kernel.packets import Heard, Player
from tests.kernel.simulated import outcome
from tests.kernel.world import World, inside, world

CASES = sorted((Path(__file__).parent.parent / "packets").glob("*.txt"))

Loader = Callable[[World, Rules], object]


def nftables(host: World, rules: Rules, *, design: Design) -> None:
    load(host, chains_of(rules, design))


BACKENDS = [
    pytest.param(partial(nftables, design="mark"), True, id="nftables-mark", marks=pytest.mark.netns),
    pytest.param(partial(nftables, design="ct"), False, id="nftables-ct", marks=pytest.mark.lab),
]
"""How rules are loaded, and whether br_netfilter shows bridged packets to IP's hooks."""


@pytest.mark.parametrize(("loader", "bridge_nf"), BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_packets_meet_their_verdict(case: Path, loader: Loader, bridge_nf: bool) -> None:
    files = sections(case.read_text())
    lines = parse(files["packets" if bridge_nf or "packets-ct" not in files else "packets-ct"])
    if bridge_nf:
        have_bridge_netfilter()
    with world(bridge_nf=bridge_nf) as made:
        with inside(made.names["host"]):
            guarded = Guarded(tells_bridge=tells_bridge())
        rules = compiled(files, guarded)
        loader(made, rules)
        with Player(made) as player:
            played = player.play(lines)
        simulated = [outcome(line, rules, made, bridge_nf=bridge_nf) for line in lines]
    wrong = [
        f"{line}: {verdict} {how} on the kernel, {simulation.verdict} by the simulator"
        for line, (verdict, heard), simulation in zip(lines, played, simulated, strict=True)
        if (verdict, simulation.verdict, (how := _otherwise(line, heard))) != (line.verdict, line.verdict, "")
    ]
    assert not wrong, "\n".join(wrong)


def _otherwise(line: Line, heard: Heard | None) -> str:
    """Return what a packet should have had where it arrived, and had not."""
    if not heard:
        return ""
    wanted = {"seen": heard.source, "port": str(heard.dport)}
    return " ".join(f"{key} {had}" for key, had in wanted.items() if line.options.get(key, had) != had)
