"""The package comes onto a host that runs: all it needs is Debian's, and nothing of the network changes."""

from __future__ import annotations

import grp
import re
import stat
from pathlib import Path

import pytest

from tests.host.conftest import Installed
from tests.host.machine import CTL, SERVICE, SOCKET, asked, ctl, main_pid, unit
from tests.netns import run

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

CAP_NET_ADMIN, CAP_NET_RAW = 12, 13  # linux/capability.h
SECCOMP_MODE_FILTER = 2  # linux/seccomp.h


@pytest.mark.parametrize("what", ["links", "addresses", "routes", "routes6", "rules", "vlans", "rulesets", "settings"])
def test_installing_changes_nothing_of_the_network(installed: Installed, what: str) -> None:
    assert installed.after[what] == installed.before[what]


@pytest.mark.reliability("the package is installed on a host that ifupdown2 runs", guarantee="no packet is lost")
def test_installing_loses_no_packet(installed: Installed) -> None:
    assert installed.lost == set()


def test_what_taking_over_from_ifupdown2_would_change_is_told() -> None:
    found = asked("status")["interfaces"]
    assert (found["mode"], found["applied"]) == ("guest", 0)
    assert {op.split()[2] for op in found["switch"]} <= {"vmbr0", "default"}
    assert all(op.startswith("~ ") for op in found["switch"]), "nothing is made or deleted"


def test_the_files_are_as_the_package_has_them() -> None:
    assert run("dpkg", "--verify", "pvenetd") == ""


def test_bridged_packets_do_not_reach_the_hosts_own_chains() -> None:
    assert not Path("/proc/sys/net/bridge").exists()  # br_netfilter is not loaded


def test_all_python_is_debians() -> None:
    program = (
        "import sys, pvenetd.__main__, pvenetd.ctl.main, nftables\n"
        "print(*{m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)}, sep='\\n')"
    )
    files = run("python3", "-I", "-c", program).splitlines()
    assert any("/pyroute2/" in file for file in files)
    assert [file for file in files if not re.match(r"/usr/lib/python3(\.\d+)?/", file)] == []


def test_daemon_is_ready_by_its_own_word_and_watched() -> None:
    found = unit(SERVICE, "ActiveState", "SubState", "Type", "NRestarts", "WatchdogUSec", "UnitFileState")
    assert found == {
        "ActiveState": "active",
        "SubState": "running",
        "Type": "notify",
        "NRestarts": "0",
        "WatchdogUSec": "30s",
        "UnitFileState": "enabled",
    }


def test_daemon_may_do_little_but_networking() -> None:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{main_pid()}/status").read_text().splitlines())
    assert int(status["CapBnd"], 16) == 1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW
    assert int(status["NoNewPrivs"]) == 1
    assert int(status["Seccomp"]) == SECCOMP_MODE_FILTER


def test_exposure_is_three_at_most() -> None:
    run("systemd-analyze", "security", "--no-pager", "--threshold=30", SERVICE)


def test_each_relaxation_has_its_reason_in_the_unit() -> None:
    text = run("systemctl", "cat", SERVICE)
    listed = run("systemd-analyze", "security", "--no-pager", SERVICE).splitlines()
    relaxed = {line.split()[1].partition("=")[0] for line in listed if line.startswith("✗")}
    assert {"User", "PrivateNetwork"} <= relaxed
    assert {name for name in relaxed if f"{name}=" not in text} == set()


def test_socket_is_for_root_and_the_group() -> None:
    assert unit(SOCKET, "ActiveState")["ActiveState"] == "active"
    found = Path("/run/pvenetd/api.sock").stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert (found.st_uid, found.st_gid) == (0, grp.getgrnam("pvenetd").gr_gid)


def test_member_of_the_group_may_ask() -> None:
    run("setpriv", "--reuid=65534", "--regid=65534", "--groups=pvenetd", CTL, "status")


@pytest.mark.reliability("a local user who is in no group of ours asks the API", guarantee="refused")
def test_others_may_not() -> None:
    with pytest.raises(AssertionError, match="be root, or in the group pvenetd"):
        run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CTL, "status")


def test_status_and_check_answer() -> None:
    assert asked("status")["version"]
    ctl("interfaces", "check")


def test_iproute2_knows_our_name() -> None:
    run("ip", "route", "show", "proto", "pvenetd")


def test_units_are_sound_and_nothing_waits_in_a_circle() -> None:
    run("systemd-analyze", "verify", "--man=no", SERVICE, SOCKET, "multi-user.target")


def test_no_unit_has_failed() -> None:
    assert run("systemctl", "list-units", "--failed", "--no-legend", "pvenetd*") == ""
