"""Guests on the fake: whatever happens in whatever order, what comes of it follows from what is."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from pvenetd.drivers.fake import Fake
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.tap import Tap
from tests.happening import Event, Scene, events
from tests.harness import run_async


class Others:
    """Others on a fake."""

    def __init__(self) -> None:
        self.machine = Fake()

    def appear(self, device: str) -> None:
        self.machine.appear(Tap(name=device, up=False, made_here=False))

    def vanish(self, device: str) -> None:
        if ("link", device) in self.machine.observe():
            self.machine.vanish(device)

    def bridge(self, name: str) -> None:
        self.machine.appear(Bridge(name=name))

    def meddle(self, device: str, master: str, *, up: bool) -> None:
        self.machine.meddle(device, master=master, up=up)

    def restart(self) -> None:
        pass


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(events())
def test_what_a_guest_has_follows_from_what_is(happening: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as root:
        run_async(Scene(Path(root), Others()).play(happening))
