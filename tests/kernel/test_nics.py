"""NICs as the machine has them, beside what ethtool(8) says."""

from __future__ import annotations

import socket

import pytest

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


def test_a_link_without_hardware_has_no_permanent_mac() -> None:
    with fresh(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        run("ip", "link", "add", "x0", "type", "veth", "peer", "name", "x1")
        assert _permanent(handle, "x0") == ""
        assert _permanent(handle, "none") is None
