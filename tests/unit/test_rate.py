"""How often somebody may ask."""

from __future__ import annotations

import pytest

from pvenetd.access import rate
from pvenetd.access.rate import BURST, STRANGERS, Rate

_TEN = 10.0


@pytest.mark.parametrize(
    ("times", "answered"),
    [
        ([0.0] * 60, 50),
        ([number / 10 for number in range(100)], 100),
        ([number / 20 for number in range(200)], 149),
        ([0.0] * 50 + [0.05], 50),
        ([0.0] * 50 + [0.15], 51),
        ([0.0] * 50 + [1000.0] * 60, 100),
    ],
    ids=["at once", "as often as allowed", "twice as often", "too soon", "soon enough", "never more than a bucket"],
)
def test_a_bucket_lets_through_what_it_holds_and_what_comes_in_meanwhile(times: list[float], answered: int) -> None:
    limit = Rate(_TEN)
    assert sum(not limit.wait("alice", now) for now in times) == answered


def test_the_wait_that_is_told_is_enough() -> None:
    limit = Rate(_TEN)
    waits = [limit.wait("alice", 0.0) for _ in range(int(_TEN * BURST) + 1)]
    assert waits[-1] == pytest.approx(0.1)
    assert not limit.wait("alice", waits[-1])


def test_nobody_pays_for_others_and_strangers_have_less() -> None:
    limit = Rate(_TEN)
    while not limit.wait("alice", 0.0):
        pass
    assert not limit.wait("bob", 0.0)
    assert sum(not limit.wait("at 192.0.2.1", 0.0, STRANGERS) for _ in range(60)) == int(_TEN * BURST * STRANGERS)


def test_no_limit_is_none() -> None:
    assert not any(Rate(0).wait("alice", 0.0) for _ in range(10_000))


def test_who_is_remembered_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "_MOST", 3)
    limit = Rate(_TEN)
    for number in range(100):
        limit.wait(f"at 192.0.2.{number}", 0.0)
    assert len(limit._left) == 3
