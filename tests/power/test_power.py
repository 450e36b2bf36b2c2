"""The power goes at each moment of an apply of 20 operations: what is on disk is whole, the old or the new.

The machine is a guest with a kernel of its own and a disk that survives it; the cut is a SIGKILL of that
kernel: what it had not yet written is lost with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.power.scenario import MAIN, NEW, OLD, SOURCED, moments, operations
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, scratch

BOOT = 120.0
"""Seconds from power on to the next cut: five, on a machine that has nothing else to do."""
MOMENTS = moments()

pytestmark = pytest.mark.power


@pytest.fixture(scope="module")
def left() -> Iterator[list[dict[str, Any]]]:
    """Yield what each cut has left, one boot after it."""
    root = scratch()
    try:
        found = [boot(root, str(at)) for at in range(len(MOMENTS))]
        yield [one for one in (*found[1:], boot(root, "")) if one]
    finally:
        shutil.rmtree(root)


def boot(root: Path, at: str) -> dict[str, Any] | None:
    """Power the guest on, let it look at what there is and run into moment *at*, cut its power; return what it saw."""
    command = [CHECKOUT / "tests/lab/vmtest", f"--timeout={BOOT:g}", "--rw", root, "--mem", "1G", "--"]
    guest = Process("guest", [*command, CHECKOUT / ".venv/bin/python", "-m", "tests.power.guest", root, *at.split()])
    try:
        if at:
            guest.expect("^cut$", BOOT)
            cut(guest.pid)
        guest.wait(BOOT)
        lines = [line.removeprefix("left ") for line in guest.lines if line.startswith("left ")]
        assert at or lines, "\n".join(guest.lines)
        return json.loads(lines[0]) if lines else None
    finally:
        guest.stop()


def cut(pid: int) -> None:
    """Kill the kernel that process *pid* started, and all that is in it."""
    (kernel,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.killpg(int(kernel), signal.SIGKILL)


def test_the_plan_has_twenty_steps() -> None:
    assert len(operations()) >= 20


@pytest.mark.reliability(
    "the power goes at each moment of an apply of 20 operations",
    guarantee="files are whole, the old or the new; a restart leaves nothing to do",
)
@pytest.mark.parametrize("at", range(len(MOMENTS)), ids=MOMENTS)
def test_a_power_cut(at: int, left: list[dict[str, Any]]) -> None:
    assert len(left) == len(MOMENTS)
    texts = left[at]["texts"]
    staged = {f"{name}.new": text for name, text in NEW.items()}
    if MOMENTS[at] == "after it is committed":
        assert texts == {**NEW, f"{MAIN}.new": None, f"{SOURCED}.new": None}, "the new configuration"
    else:
        assert texts == {**OLD, **staged}, "the old configuration, and the edit waits still"
    assert left[at]["plan"] == [], "after a restart nothing is left to do"
