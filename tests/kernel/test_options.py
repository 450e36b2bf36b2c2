"""Every option that has a kernel attribute does what it says: set, changed, rolled back, removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.options import Row, families, prove, unproven
from tests.netns import Namespaces

SCENES = {name: scene for family in families() for name, scene in family.scenes.items()}
ROWS = [row for family in families() for row in family.rows]


@pytest.mark.lab
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
async def test_option(row: Row, tmp_path: Path, namespaces: Namespaces) -> None:
    await prove(row, row.scene or SCENES[row.where], namespaces, tmp_path)


def test_every_option_has_a_row() -> None:
    assert not unproven(ROWS)
