"""From any State to any other and back on the real kernel, and the fake goes the same way."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import Engine
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.state import State
from tests.harness import kinder, plain, run_async, same
from tests.kernel.seen import seen
from tests.netns import fresh
from tests.states import NICS, wanted_states

slow = settings(max_examples=20, report_multiple_bugs=False, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.netns
@slow
@given(wanted_states(full=False), wanted_states(full=False))
def test_bridges_and_nics(first: State, second: State) -> None:
    run_async(_there_and_back(first, second))


@pytest.mark.lab
@slow
@given(wanted_states(), wanted_states())
def test_every_kind(first: State, second: State) -> None:
    run_async(_there_and_back(first, second))


async def _there_and_back(first: State, second: State) -> None:
    fake = Fake(Ethernet.model_construct(name=name, kind="ethernet", mtu=1500, up=False) for name in NICS)
    with fresh() as namespaces, tempfile.TemporaryDirectory() as root:
        for name in NICS:
            namespaces.cable(name)
        with closing(Host(Files(Path(root)))) as host:
            engines = [
                Engine(host, Journal(Files(Path(root)))),
                Engine(fake, Journal(Files(Path(root) / "fake"))),
            ]
            for engine in engines:
                await engine.apply(first, {})
            assert not kinder(fake.observe(), host.observe())
            before = plain(host.observe()), seen()
            for engine in engines:
                await engine.apply(second, {}, confirm=3600.0)
            assert not kinder(fake.observe(), host.observe())
            for engine in engines:
                if engine.pending:  # what changed nothing waits for nobody
                    await engine.roll_back()
                engine.close()
            same((plain(host.observe()), seen()), before, "as before")
            assert not kinder(fake.observe(), host.observe())
