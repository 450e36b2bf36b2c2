"""Packets played on a real kernel: tests/packets/*.txt, with either way to know a connection's state."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvenetd.drivers.nft import tells_bridge
from pvenetd.firewall.nft_base import Design
from tests.kernel.firewall import DESIGNS, Guarded, desired, have_bridge_netfilter, load, sections
from tests.kernel.packets import Packet, Player
from tests.kernel.world import inside, world

CASES = sorted((Path(__file__).parent.parent / "packets").glob("*.txt"))


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_packets_meet_their_verdict(case: Path, design: Design) -> None:
    files = sections(case.read_text())
    lines = [line.split() for line in files["packets"].splitlines() if line and not line.startswith("#")]
    packets = [Packet(line[0], line[1], line[2], int(line[3]), int(line[5]) if line[5:] else None) for line in lines]
    if design == "mark":
        have_bridge_netfilter()
    with world(bridge_nf=design == "mark") as made:
        with inside(made.names["host"]):
            guarded = Guarded(tells_bridge=tells_bridge())
        load(made, desired(files, design, guarded))
        with Player(made) as player:
            verdicts = player.verdicts(packets)
    played = [
        f"{line[0]} {line[1]} {line[2]} {line[3]} {verdict}" for line, verdict in zip(lines, verdicts, strict=True)
    ]
    assert played == [" ".join(line[:5]) for line in lines]
