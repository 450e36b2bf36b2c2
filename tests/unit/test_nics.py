"""A NIC that has lost its name is known by its MAC, else by its place; what is pinned keeps its name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from pvenetd.compile import compile_interfaces
from pvenetd.daemon.nics import RECORD, Nics
from pvenetd.drivers.files import Files
from pvenetd.errors import Conflict, NotFound
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.nics import Nic

TEXT = "auto vmbr0\niface vmbr0 inet manual\n\tbridge-ports eno1\n"
ENO1 = Nic("eno1", "02:00:5e:00:53:01", "pci0000:00/0000:00:1f.6")
ENO2 = Nic("eno2", "02:00:5e:00:53:02", "pci0000:00/0000:00:1f.7")


class Seen:
    def __init__(self) -> None:
        self.nics: list[Nic] = [ENO1, ENO2]

    def present(self, asked: Collection[str] = ()) -> list[Nic]:
        del asked
        return self.nics


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def nics(tmp_path: Path, seen: Seen) -> Nics:
    found = Nics(Files(tmp_path))
    found.source = seen
    found.remember(compile_interfaces(single(parse(TEXT)), ["eno1", "eno2"]))
    return found


def told(nics: Nics, text: str = TEXT) -> list[str]:
    return [str(problem) for problem in nics.problems(compile_interfaces(single(parse(text)), []))]


def test_while_all_are_there_nothing_is_told(nics: Nics) -> None:
    assert told(nics) == []


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (
            Nic("enp3s0", ENO1.mac, "pci0000:00/0000:03:00.0"),
            "eno1 is gone; enp3s0 has its MAC 02:00:5e:00:53:01: pvenetctl interfaces pin eno1",
        ),
        (
            Nic("eno9", "02:00:5e:00:53:09", ENO1.path),
            "eno1 is gone; eno9 is in its place pci0000:00/0000:00:1f.6: pvenetctl interfaces pin eno1",
        ),
        (
            Nic("eth7", "02:00:5e:00:53:09", "x", other_names=("eno1",)),
            "eno1 is only another name of eth7, and nothing is done for it: write eth7",
        ),
    ],
    ids=["moved", "replaced", "altname"],
)
def test_the_one_that_looks_like_it_is_told(nics: Nics, seen: Seen, now: Nic, why: str) -> None:
    seen.nics = [ENO2, now]
    assert told(nics) == [f"interfaces:3: warning nic-renamed: {why}"]
    assert told(nics, f"iface eno1 inet manual\n{TEXT}") == [f"interfaces:1: warning nic-renamed: {why}"]
    assert told(nics, "iface vlan5 inet manual\n vlan-raw-device eno1\n") == [
        f"interfaces:2: warning nic-renamed: {why}"
    ]


def test_the_mac_tells_more_than_the_place(nics: Nics, seen: Seen) -> None:
    seen.nics = [Nic("a", "02:00:5e:00:53:09", ENO1.path), Nic("b", ENO1.mac, "elsewhere")]
    assert "; b has its MAC" in told(nics)[0]


def test_what_is_gone_is_remembered_as_long_as_it_is_configured(nics: Nics, seen: Seen, tmp_path: Path) -> None:
    seen.nics = [Nic("enp3s0", ENO1.mac, "elsewhere")]
    nics.remember(compile_interfaces(single(parse(TEXT)), []))
    assert "enp3s0 has its MAC" in told(nics)[0]
    nics.remember(compile_interfaces(single(parse("")), []))
    assert "eno1" not in (tmp_path / RECORD).read_text()


def test_a_record_that_cannot_be_read_is_none(nics: Nics, tmp_path: Path) -> None:
    for text in ("{", "[1]", '[{"name": "eno1", "other": 1}]', "7", '{"a": 1}'):
        (tmp_path / RECORD).write_text(text)
        assert told(nics) == []


def test_a_pinned_nic_gets_back_the_name_it_had(nics: Nics, seen: Seen, tmp_path: Path) -> None:
    seen.nics = [Nic("enp3s0", ENO1.mac, "elsewhere"), Nic("vf0", "02:00:5e:00:53:07", "", lasting=False)]
    file = tmp_path / "etc/systemd/network/70-pvenetd-eno1.link"
    assert nics.pin(["eno1"], remove=False) == [
        {"iface": "eno1", "file": "/etc/systemd/network/70-pvenetd-eno1.link", "mac": ENO1.mac, "now": "enp3s0"}
    ]
    assert file.read_text() == (
        "# pvenetctl interfaces pin eno1\n[Match]\nPermanentMACAddress=02:00:5e:00:53:01\nType=ether\n\n"
        "[Link]\nName=eno1\n"
    )
    nics.pin([], remove=False)
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "70-pvenetd-eno1.link",
        "70-pvenetd-enp3s0.link",
        "70-pvenetd-vf0.link",
    ]
    assert "\nMACAddress=02:00:5e:00:53:07\n" in (file.parent / "70-pvenetd-vf0.link").read_text()
    nics.pin(["eno1"], remove=True)
    assert not file.exists()
    assert len(nics.pin([], remove=True)) == 2
    assert [*file.parent.iterdir()] == []


def test_what_cannot_be_pinned_writes_nothing(nics: Nics, seen: Seen, tmp_path: Path) -> None:
    seen.nics = [ENO2, Nic("slip0")]
    for names in (["eno2", "eth7"], ["slip0"]):
        with pytest.raises((NotFound, Conflict)):
            nics.pin(names, remove=False)
    with pytest.raises(NotFound):
        nics.pin(["eno2"], remove=True)
    assert not (tmp_path / "etc/systemd").exists()
