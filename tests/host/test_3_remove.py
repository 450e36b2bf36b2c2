"""The package goes: the network runs on as it is, and after a purge no file of ours is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.machine import apt, network
from tests.netns import run

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

PLACES = ("/etc", "/usr", "/var", "/run", "/opt", "/root", "/srv")
KEPT_BY_OTHERS = ("/var/log/", "/var/cache/", "/var/backups/", "/run/log/", "/run/systemd/")
"""Logs and caches of apt, dpkg and systemd."""


def test_removal_leaves_the_network_running() -> None:
    before = network()
    apt("remove", "pvenetd")
    assert network() == before


def test_purge_leaves_no_file_but_an_edit_that_waits() -> None:
    edit = Path("/var/lib/pvenetd/staged/etc/network/interfaces.d/lan.new")
    edit.parent.mkdir(parents=True)
    edit.write_text("iface lan0 inet manual\n")
    apt("purge", "pvenetd")
    assert [path for path in Path("/var/lib/pvenetd").rglob("*") if path.is_file()] == [edit]
    run("rm", "-r", "/var/lib/pvenetd")
    found = run("find", *PLACES, "-xdev", "-iname", "*pvenetd*").splitlines()
    assert [path for path in found if not path.startswith(KEPT_BY_OTHERS)] == []
    assert not list(Path("/etc/network").glob("if-*.d/pvenetd"))
