"""A hypervisor for each test, applied and served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sandbox.world import NAT_HOST, World


@pytest.fixture
def world() -> Iterator[World]:
    """Yield the example host (`examples/nat-host`), its provider beside it."""
    with applied(NAT_HOST) as built:
        yield built


@contextmanager
def applied(example: Path, settings: str = "") -> Iterator[World]:
    """Yield an example host whose configuration is applied, with these *settings* of the daemon."""
    assert os.geteuid() == 0, "these tests make network namespaces: run them as root"
    with World(example) as built:
        if settings:
            built.write("etc/pvenetd/pvenetd.toml", settings)
        built.serve_pages(80, 9999)
        built.start_daemon()
        built.ctl("apply")
        yield built
