"""Other programs begin with ``nft flush ruleset``: guests are filtered again at once."""

from __future__ import annotations

import pytest

from tests.sandbox.world import GUEST, World


@pytest.mark.reliability(
    "another program flushes nftables, or takes some of our chains away",
    guarantee="loaded again at once, the guard first",
)
@pytest.mark.netns
@pytest.mark.parametrize(
    "words",
    [("flush", "ruleset"), ("delete", "table", "bridge", "pvenetd"), ("flush", "chain", "inet", "pvenetd", "host-in")],
    ids=" ".join,
)
def test_what_somebody_takes_away_is_loaded_again(world: World, words: tuple[str, ...]) -> None:
    _guest, pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    before = world.rules()
    assert "vm-100-out" in before
    assert world.daemon
    world.daemon.skip()
    world.host.run("nft", *words)
    world.daemon.expect("somebody has changed our chains: ")
    world.ctl("status")  # answered by the same thread, after what it had begun
    assert sorted(world.rules().split()) == sorted(before.split())
    pump.stop()
