"""A hypervisor for each test, applied and served."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.sandbox.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """Yield the example host (`examples/nat-host`), its provider beside it."""
    assert os.geteuid() == 0, "these tests make network namespaces: run them as root"
    with World() as built:
        built.serve_pages(80, 9999)
        built.start_daemon()
        built.ctl("apply")
        yield built
