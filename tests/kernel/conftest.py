"""A host of one's own: a fresh network namespace that the test process is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pvenetd.drivers.files import Files
from pvenetd.drivers.host import Host
from tests.netns import Namespaces, fresh


@pytest.fixture
def namespaces() -> Iterator[Namespaces]:
    with fresh() as found:
        yield found


@pytest.fixture
def host(namespaces: Namespaces, tmp_path: Path) -> Iterator[Host]:
    namespaces.cable("eno1")
    with closing(Host(Files(tmp_path))) as found:
        yield found
