"""NICs as the machine has them, beside what ethtool(8) says."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from pvenetd.ctl.client import Request
from pvenetd.ctl.offline import answer
from pvenetd.drivers.nics import Nics, _permanent
from tests.netns import fresh, run, show

pytestmark = pytest.mark.netns


def test_nics_are_those_with_a_device_and_have_their_permanent_mac() -> None:
    found = {nic.name: nic for nic in Nics().present()}
    for link in show("ip", "-j", "link"):
        if nic := found.get(link["ifname"]):
            assert nic.path
            said = run("ethtool", "-P", nic.name).split(": ")[1].strip()
            assert nic.mac == (said if nic.lasting else link["address"])


def test_another_namespaces_device_of_the_same_name_is_none_here() -> None:
    names = [nic.name for nic in Nics().present()]
    with fresh():
        for name in names or ["eth0"]:
            run("ip", "link", "add", name, "type", "veth", "peer", "name", f"p{name}"[:15])
        assert Nics().present() == []


def test_a_name_that_a_link_answers_to_is_found() -> None:
    with fresh():
        run("ip", "link", "add", "x0", "type", "veth", "peer", "name", "x1")
        run("ip", "link", "property", "add", "dev", "x0", "altname", "eno1")
        assert Nics()._answering(["eno1", "x0", "none"]) == {"x0": ["eno1"]}


TEXT = "auto vmbr0\niface vmbr0 inet manual\n\tbridge-ports {}\n\niface {} inet manual\n"


def test_a_link_is_shown_with_all_its_names_and_is_there_by_each(tmp_path: Path) -> None:
    file = tmp_path / "etc/network/interfaces"
    file.parent.mkdir(parents=True)

    def asked(*path: str) -> Any:
        return answer(str(tmp_path), Request("GET", path))[1]["data"]

    with fresh():
        run("ip", "link", "add", "x0", "type", "veth", "peer", "name", "x1")
        for other in ("eno1", "enp9s0"):
            run("ip", "link", "property", "add", "dev", "x0", "altname", other)
        for name, there in ("x0", 1), ("eno1", 1), ("eno2", 0):
            file.write_text(TEXT.format("none", name))
            (record,) = (one for one in asked("interfaces") if one["iface"] == name)
            assert record["exists"] == there
            assert record.get("altnames", []) == ["eno1", "enp9s0"] * there
        file.write_text(TEXT.format("none", "eno1"))
        (problem,) = asked("check")["problems"]
        assert problem["message"] == "eno1 is only another name of x0, and nothing is done for it: write x0"
        file.write_text(TEXT.format("enp9s0", "x0"))
        (problem,) = asked("check")["problems"]
        assert (problem["code"], problem["line"], problem["hint"]) == (
            "missing-member",
            3,
            "enp9s0 is another name of x0: write x0",
        )
        assert "write x0" in answer(str(tmp_path), Request("GET", ("plan",)))[1]["message"]
        run("ip", "link", "property", "del", "dev", "x0", "altname", "eno1", "altname", "enp9s0")
        assert all("altnames" not in record for record in asked("interfaces"))


def test_a_link_without_hardware_has_no_permanent_mac() -> None:
    with fresh(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        run("ip", "link", "add", "x0", "type", "veth", "peer", "name", "x1")
        assert _permanent(handle, "x0") == ""
        assert _permanent(handle, "none") is None
