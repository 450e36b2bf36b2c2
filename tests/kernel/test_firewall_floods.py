"""What is counted in the kernel: connections that one source begins."""

from __future__ import annotations

import time

import pytest

from pvenetd.firewall.nft_base import Design
from tests.kernel.firewall import DESIGNS, desired, have_bridge_netfilter, load
from tests.kernel.lines import Line
from tests.kernel.packets import Player
from tests.kernel.world import world

FILES = {
    "cluster.fw": "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n",
    "host.fw": "[OPTIONS]\nprotection_synflood: 1\nprotection_synflood_rate: 1\nprotection_synflood_burst: 5\n",
}


@pytest.mark.reliability(
    "a source that begins connection after connection",
    guarantee="it begins as many as are allowed; others are not held up",
)
@pytest.mark.parametrize("design", DESIGNS)
def test_a_source_begins_so_many_connections_and_no_more(design: Design) -> None:
    """To the host and to a guest that nobody filters; another source is counted on its own."""
    if design == "mark":
        have_bridge_netfilter()
    with world(bridge_nf=design == "mark") as made:
        load(made, desired(FILES, design))
        with Player(made) as player:
            for source, end in (("outside", "vm/109"), ("vm/101", "host")):
                began = time.monotonic()
                # Said to be dropped, so that nobody waits for those that are.
                verdicts = player.verdicts([Line(source, end, "tcp", 80, "DROP") for _ in range(40)])
                assert 5 <= 40 - verdicts.count("DROP") <= 7 + time.monotonic() - began
