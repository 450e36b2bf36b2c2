"""The schema of the metadata says what their reader says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import pvenetd.guests
from pvenetd.errors import ConfigError
from pvenetd.guests.libvirt_meta import render
from pvenetd.guests.libvirt_xml import parse_domain
from pvenetd.guests.wiring import SPACE

SCHEMAS = (Path(pvenetd.guests.__file__).with_name("libvirt.rng"), Path("/usr/share/pvenetd/libvirt.rng"))
"""Where the checkout has it, and where the package."""
SCHEMA = next(path for path in SCHEMAS if path.exists())
EVERYTHING = {
    "bridge": "vmbr0",
    "tag": "4094",
    "trunks": "1;10-20",
    "firewall": "yes",
    "rate": "12.5",
    "mtu": "1400",
    "queues": "4",
    "link_down": "0",
    "isolated": "on",
}


EXAMPLE = Path(__file__).parents[2] / "examples/libvirt/web.xml"


def guest(inner: str, vmid: str = "100") -> str:
    return f'<guest xmlns="{SPACE}" vmid="{vmid}">{inner}</guest>'


@pytest.mark.parametrize(
    ("element", "right"),
    [
        (render(100, {}), True),
        (render(999999999, {0: {}, 31: EVERYTHING}), True),
        (guest('<net mac="52:54:00:00:53:01" firewall="1"/>'), True),
        (guest('<net mac="52:54:00:00:53:01" index="3"/>'), True),
        (guest("", "99"), False),
        (guest("", "1000000000"), False),
        (guest("<net/>"), False),
        (guest('<net index="32"/>'), False),
        (guest('<net mac="52:54:00:00:53"/>'), False),
        (guest('<net index="0" tag="0"/>'), False),
        (guest('<net index="0" tag="4095"/>'), False),
        (guest('<net index="0" trunks="a"/>'), False),
        (guest('<net index="0" bridge="a very long name"/>'), False),
        (guest('<net index="0" rate="-1"/>'), False),
        (guest('<net index="0" mtu="65521"/>'), False),
        (guest('<net index="0" queues="65"/>'), False),
        (guest('<net index="0" firewall="perhaps"/>'), False),
        (guest('<net index="0" colour="red"/>'), False),
        (guest("<host/>"), False),
    ],
)
def test_schema_and_reader_agree(element: str, right: bool, tmp_path: Path) -> None:
    file = tmp_path / "guest.xml"
    file.write_text(element)
    checked = subprocess.run(
        ["xmllint", "--noout", "--relaxng", SCHEMA, file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert (checked.returncode == 0) == right, checked.stdout.decode()
    uuid = "<uuid>6d0b3c9a-52f4-4c5e-9d7e-0123456789ab</uuid>"
    nic = "<devices><interface type='bridge'><mac address='52:54:00:00:53:01'/></interface></devices>"
    domain = f"<domain><name>web-100</name>{uuid}<metadata>{element}</metadata>{nic}</domain>"
    try:
        found = parse_domain(domain).guest
        assert found
        problems = found.problems
    except ConfigError as error:
        problems = error.problems
    assert (problems == ()) == right, problems


def test_the_example_is_a_guest_without_a_problem() -> None:
    found = parse_domain(EXAMPLE.read_text()).guest
    assert found
    assert found.problems == ()
    assert {index: str(nic) for index, nic in found.nics.items()} == {
        0: "virtio=52:54:00:00:53:64,bridge=vmbr0,firewall=1,queues=2,rate=100,tag=20",
        1: "virtio=52:54:00:00:53:65,bridge=vmbr0,firewall=1,trunks=30-39",
    }
