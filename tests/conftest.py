"""What all tests have."""

from __future__ import annotations

import signal
from collections.abc import Generator
from types import FrameType

import pytest
from hypothesis import settings

from tests.reliability import Outcome
from tests.sandbox.process import STARTED

_SAID = 8
"""Lines that are shown of what each process has said last."""

_HANGS = 600
"""Seconds after which a test, or what it is set up with, is held to hang: some five times what the longest takes."""

_DAEMON = frozenset({"api", "clients", "differential", "e2e"})

settings.register_profile("patient", settings(deadline=None))  # how long an example takes is the machine's pace
settings.load_profile("patient")


@pytest.fixture
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """Tell what a test marked ``reliability`` has tried and seen, for docs/reliability.md."""
    return Outcome(request.node.user_properties)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the plans of golden cases anew; then read the diff")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the lab leaves to others.

    What is about the daemon runs with that kernel on the Debian host, and what is about kernels without bridge
    conntrack on this machine's.
    """
    for item in items:
        if _DAEMON.intersection(item.path.relative_to(item.config.rootpath).parts):
            item.add_marker("daemon")
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "mark" in item.callspec.params.values():
            item.add_marker("no_bridge_conntrack")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    return (yield from _ended_in_time())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    return (yield from _ended_in_time())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    return (yield from _ended_in_time())


def _ended_in_time() -> Generator[None, None, None]:
    """Fail what hangs, where it hangs: else the whole part would end without a word of it."""

    def hangs(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"it hangs: not ended after {_HANGS} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(_HANGS)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have the report of a test that has failed end with what its processes have said last."""
    del item
    report = yield
    if report.failed and (add := getattr(report.longrepr, "addsection", None)):
        for process in STARTED:
            if process.lines:
                add(f"{process.name} has said", "\n".join(process.lines[-_SAID:]))
    if call.when == "teardown":
        STARTED.clear()
    return report
