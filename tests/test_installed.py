"""Whose code the tests are about: the checkout's or, where tests/lab/installed has started them, the package's."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import pvenetd
from tests.sandbox.space import CHECKOUT
from tests.sandbox.world import World

pytestmark = [pytest.mark.netns, pytest.mark.daemon]

CODE = Path("/usr/lib/python3/dist-packages") if "PVENET_INSTALLED" in os.environ else CHECKOUT


def test_tests_import_that_code() -> None:
    assert Path(pvenetd.__file__).parent == CODE / "pvenetd"


@pytest.mark.parametrize("name", ["pvenetd", "pvenetctl"])
def test_programs_that_tests_start_run_that_code(name: str) -> None:
    with World() as world:
        program = world.bin / name
        told = world.host.run("sh", "-c", f"{program} --help 2>&1", env={**world.env(), "PYTHONVERBOSE": "1"})
    assert set(re.findall(r"(?:matches|from) '?(/.*)/pvenetd/__init__\.py", told)) == {str(CODE)}
