"""What our edits write is read by Debian's ifupdown and by ifupdown2 as it is meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pvenetd.daemon.edits import creation
from pvenetd.interfaces.edit import COMMANDS
from pvenetd.interfaces.stanza import Iface
from pvenetd.interfaces.syntax import parse
from tests import peers
from tests.unit.test_edits import BASE, run, wish

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("namespaces")]

NEW = [
    wish("eth3", type="eth", autostart="1", method="dhcp", comments="uplink\n"),
    wish("bond0", type="bond", autostart="1", slaves="eth1 eth2", bond_mode="active-backup", bond__primary="eth1"),
    wish("dmz", type="vlan", autostart="1", vlan__raw__device="eth0", vlan__id="7", mtu="1400"),
    wish("eth0.5", type="vlan", autostart="1", cidr="198.51.100.1/24", comments="two\n # lines\n"),
    wish("d0", type="dummy", autostart="1", cidr6="2001:db8:d::1/64"),
    wish(
        "vmbr1",
        type="bridge",
        autostart="1",
        bridge_ports="bond0",
        bridge_vlan_aware="1",
        cidr="203.0.113.1/24",
        cidr6="2001:db8::1/64",
        gateway6="fe80::1",
        post__up=("echo 'a  b'", "true"),
        comments="servers\n",
    ),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Yield a file to which every kind of interface was added by the API's keys."""
    text = BASE
    for one in NEW:
        text = run(text, creation(one))
    found = tmp_path / "interfaces"
    found.write_text(text)
    return found


def stanzas(file: Path) -> list[Iface]:
    return [stanza for stanza in parse(file.read_text()).stanzas if isinstance(stanza, Iface)]


def options(stanza: Iface) -> dict[str, Any]:
    values: dict[str, list[str]] = {}
    for option in stanza.options:
        values.setdefault(option.key, []).append(option.value)
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def test_ifupdown2_reads_what_is_meant(file: Path, tmp_path: Path) -> None:
    done = peers.run(tmp_path / "state", file, "ifquery", "-a", "-o", "json")
    assert done.returncode == 0, done.stderr
    read = {(one["name"], one["addr_family"]): one for one in json.loads(done.stdout)}
    wanted = {(one.name, one.family): one for one in stanzas(file) if one.name != "eth0"}
    assert read.keys() == wanted.keys()
    for key, stanza in wanted.items():
        assert (read[key]["addr_method"], read[key]["auto"]) == (stanza.method, True)
        assert read[key]["config"] == options(stanza)


def test_ifupdown_reads_what_is_meant(file: Path, tmp_path: Path) -> None:
    listed = peers.run(tmp_path / "state", file, "classic-ifquery", "--list", "-a")
    assert sorted(listed.stdout.split()) == sorted({stanza.name for stanza in stanzas(file)} - {"eth0"})
    for stanza in stanzas(file):
        done = peers.run(tmp_path / "state", file, "classic-ifquery", stanza.name)
        assert (done.returncode, done.stderr) == (0, "")
        said = done.stdout.splitlines()
        for option in stanza.options:
            name = "up" if option.key in COMMANDS else option.name
            assert f"{name}: {option.value.partition('/')[0] if name == 'address' else option.value}" in said
