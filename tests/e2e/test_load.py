"""Many who read all the time, one of them deaf, while guests come and go: nobody is refused, and nobody forgotten."""

from __future__ import annotations

import pytest

from tests.bench.load import PATHS, rounds

pytestmark = pytest.mark.netns

_CLIENTS = 60


def test_guests_come_and_go_while_many_read_and_one_does_not() -> None:
    """The figures are `make bench BENCHES=load`'s: here is looked that every change is done, and all are answered."""
    _, changes, _, answers = rounds(guests=40, clients=_CLIENTS, seconds=2.0)
    assert changes["plug"]
    assert changes["unplug"]
    assert all(len(answers[path]) >= _CLIENTS / len(PATHS) for path in PATHS.values())
