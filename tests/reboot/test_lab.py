"""What the lab promises of guests that boot again."""

from __future__ import annotations

import pytest

from tests.patience import PATIENCE
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT

pytestmark = pytest.mark.reboot


def test_a_guest_that_has_lost_what_it_wrote_says_so_and_ends() -> None:
    vmtest = [CHECKOUT / "tests/lab/vmtest", f"--timeout={PATIENCE:g}", "--"]
    guest = Process("guest", [*vmtest, "bash", "-c", "echo b >/proc/sysrq-trigger"])
    try:
        assert guest.wait(2 * PATIENCE) == 125
    finally:
        guest.stop()
    assert "vmtest: boot 2 lacks what boot 1 had written: nobody has run /run/keep" in guest.lines
