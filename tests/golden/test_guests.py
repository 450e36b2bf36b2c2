"""Every golden case of guests on the fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvenetd.drivers.fake import Fake
from tests.guests import GuestCase, check, parameters


@pytest.mark.parametrize("case", parameters(marked=False))
async def test_case(case: GuestCase, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    await check(case, Fake(case.others.values()), tmp_path, update=pytestconfig.getoption("update"))
