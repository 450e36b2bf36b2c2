"""Every golden case, five ways, on the fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvenetd.drivers.fake import Fake
from tests.harness import Case, check, parameters


@pytest.mark.parametrize("case", parameters(marked=False))
async def test_case(case: Case, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    sysctls = [key[1] for key in case.desired if key[0] == "sysctl"]
    machine = Fake(case.state.values(), sysctls)
    await check(case, machine, tmp_path, update=pytestconfig.getoption("update"))
