"""The host boots again, with an edit that waits, one that nobody has confirmed, and a broken file.

A whole Debian host with its own kernel is rebooted, by systemd and by the kernel alone.  Its first boot is ifupdown2's,
with the same interfaces: how long either takes until the network is online is printed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reboot import scenario
from tests.reboot.guest import STEPS
from tests.reboot.scenario import ADDRESS, BROKEN, OTHER, TEXT
from tests.reliability import Outcome
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, scratch

BOOTS = 570.0
"""Seconds for all boots, less than a test has: 80 on a machine that has nothing else to do."""
IFUPDOWN2, STAGED, UNCONFIRMED, CRASHED, BROKE = range(len(STEPS))
"""What each boot found."""
OURS = (STAGED, UNCONFIRMED, CRASHED, BROKE)

pytestmark = pytest.mark.reboot


@pytest.fixture(scope="module")
def boots() -> Iterator[list[dict[str, Any]]]:
    """Yield how the host was after each boot."""
    place = scratch()
    try:
        scenario.write(place)
        yield run(place)
    finally:
        shutil.rmtree(place)


def run(place: Path) -> list[dict[str, Any]]:
    """Boot a host with the files in *place* as often as it wants; return what it tells."""
    command = [CHECKOUT / "tests/lab/hostvm", f"--timeout={BOOTS:g}", "--add", place, "--"]
    host = Process("host", [*command, "python3", "-m", "tests.reboot.guest"])
    try:
        status = host.wait(BOOTS)
        told = [json.loads(line.removeprefix("boot ")) for line in host.lines if line.startswith("boot {")]
        assert (status, len(told)) == (0, len(STEPS)), "\n".join(host.lines[-60:])
        return told
    finally:
        host.stop()


@pytest.mark.reliability("the host boots", guarantee="its interfaces are up before `network-online.target`")
def test_every_boot_is_online_with_its_address(
    boots: list[dict[str, Any]], outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [boot["addresses"] for boot in boots] == [[ADDRESS]] * len(STEPS)
    for at in OURS:
        assert f" {ADDRESS} " in boots[at]["there"], "the address is there before the network is online"
    ours, peer = boots[STAGED]["online"], boots[IFUPDOWN2]["online"]
    seen = f"online {ours:.1f} s after the kernel's start, with ifupdown2 {peer:.1f} s"
    with capsys.disabled():
        print(f"\n{seen}")
    outcome(tried=len(OURS), seen=seen)


@pytest.mark.parametrize("at", OURS)
def test_the_firewall_is_loaded_before_the_first_interface_is_up(boots: list[dict[str, Any]], at: int) -> None:
    first = boots[at]["witness"][0]
    assert "table bridge pvenetd" in first
    assert "table inet pvenetd" in first
    assert all("eno1=down" in line for line in boots[at]["witness"] if line.startswith(("eno1 ", "--all ")))


@pytest.mark.parametrize("at", OURS)
def test_a_guest_that_libvirt_starts_at_boot_is_plugged_behind_its_rules(boots: list[dict[str, Any]], at: int) -> None:
    found = boots[at]
    assert (found["guest"]["master"], found["guest"]["plugged"], found["guest"]["filtered"]) == ("vmbr0", 1, 1)
    assert found["guest's chains"]
    assert found["failed"] == ""


@pytest.mark.reliability("a reboot with an edit that is staged", guarantee="the active configuration is applied")
def test_a_staged_edit_waits(boots: list[dict[str, Any]]) -> None:
    found = boots[STAGED]
    assert (found["active"], found["staged"]) == (TEXT, TEXT.replace(ADDRESS, OTHER))
    assert (found["state"], found["errors"]) == ("staged", {})


@pytest.mark.reliability(
    "a reboot, orderly and by a crash, while an apply waits to be confirmed",
    guarantee="the configuration before it is active, and the edit waits",
)
@pytest.mark.parametrize("at", [UNCONFIRMED, CRASHED])
def test_what_nobody_confirmed_is_undone(boots: list[dict[str, Any]], at: int) -> None:
    found = boots[at]
    assert (found["active"], found["staged"]) == (TEXT, TEXT.replace(ADDRESS, OTHER))
    assert (found["state"], found["errors"]) == ("staged", {})


@pytest.mark.reliability("a reboot with a broken file", guarantee="the last good configuration is applied, and told of")
def test_where_the_file_is_broken_the_last_good_one_is_applied_and_told_of(boots: list[dict[str, Any]]) -> None:
    found = boots[BROKE]
    assert found["active"] == TEXT.replace(ADDRESS, BROKEN), "the admin's file is left as it is"
    assert "the last good one is applied" in found["errors"]["boot"]
    assert found["state"] == "broken"
