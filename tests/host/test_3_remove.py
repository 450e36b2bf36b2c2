"""The package goes: the network runs on as it is, and after a purge no file of ours is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.flow import Flow
from tests.host.machine import apt, files, network
from tests.netns import run

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]


def test_removal_leaves_the_network_running() -> None:
    before = network()
    with Flow() as flow:
        told = apt("remove", "pvenetd")
        assert flow.lost() == set()
    assert network() == before
    assert ("guests that run keep their rules" in told) == ("table bridge pvenetd {" in before["rulesets"])


def test_purge_leaves_no_file_but_an_edit_that_waits(paths: set[str]) -> None:
    edit = Path("/var/lib/pvenetd/staged/etc/network/interfaces.d/lan.new")
    edit.parent.mkdir(parents=True)
    edit.write_text("iface lan0 inet manual\n")
    apt("purge", "pvenetd")
    assert [path for path in Path("/var/lib/pvenetd").rglob("*") if path.is_file()] == [edit]
    run("rm", "-r", "/var/lib/pvenetd")
    assert {name for name in files() if "pvenetd" in name.lower()} == set()
    come = {name for name in files() - paths if name.startswith(("/etc/", "/usr/")) and not name.endswith("-")}
    assert come == set(), "whatever its name, backups of the accounts' files (/etc/group-) apart"
