"""pvenetctl interfaces create, set, delete, diff and revert without a daemon, and in a file of the user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pvenetd.ctl.complete import candidates
from tests.unit.test_ctl import FILES, Run, ctl, root

__all__ = ["ctl", "root"]

BASE = FILES["etc/network/interfaces"]
FD = "\tbridge-fd 0\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "mine"
    found.write_text(BASE)
    return found


def test_edits_wait_until_they_are_applied(ctl: Run, root: Path) -> None:
    staged = root / "etc/network/interfaces.new"
    text = BASE.replace("eth0", "none")
    (root / "etc/network/interfaces").write_text(text)
    assert ctl("interfaces", "set", "vmbr0", "bridge_fd=0", "comments=LAN") == (
        0,
        "staged (pvenetctl interfaces diff, pvenetctl plan, pvenetctl apply)\n",
        "",
    )
    assert staged.read_text() == f"{text}{FD}\t#LAN\n"
    _, out, _ = ctl("interfaces", "diff")
    assert out.splitlines()[:2] == ["--- /etc/network/interfaces", "+++ /etc/network/interfaces.new"]
    assert out.splitlines()[-2:] == ["+\tbridge-fd 0", "+\t#LAN"]
    assert json.loads(ctl("interfaces", "diff", "--json")[1])["interfaces"][0]["options"] == {
        "bridge-fd": {"before": [], "after": ["0"]},
        "comments": {"before": [], "after": ["LAN"]},
    }
    assert ctl("interfaces", "create", "vmbr1", "type=bridge", "post-up=true", "post-up=false")[0] == 0
    assert staged.read_text().endswith("\tpost-up true\n\tpost-up false\n")
    assert ctl("interfaces", "delete", "vmbr1")[0] == 0
    assert ctl("interfaces", "set", "vmbr0", "--delete", "bridge_fd", "--delete", "comments")[0] == 0
    assert not staged.exists()
    assert ctl("interfaces", "diff") == (0, "", "")
    ctl("interfaces", "set", "vmbr0", "mtu=1400")
    assert ctl("interfaces", "revert")[1] == "nothing is staged any more\n"
    assert not staged.exists()
    assert (root / "etc/network/interfaces").read_text() == text


@pytest.mark.parametrize(
    ("name", "reason"), [("loop", "Too many levels of symbolic links"), (".", "not a regular file")]
)
def test_what_is_no_file_is_told(ctl: Run, tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = str(tmp_path / name)
    assert ctl("interfaces", "check", path) == (1, f"{path}:0: error syntax: cannot be read: {reason}\n", "")
    assert ctl("interfaces", "show", "eth0", "--file", path)[0] == 1
    assert ctl("interfaces", "set", "eth0", "mtu=1400", "--file", path) == (1, "", f"{path}: {reason}\n")
    assert ctl("interfaces", "check", "")[0] == 1


def test_what_no_edit_takes_is_told_by_key(ctl: Run, file: Path) -> None:
    for more in ((), ("--file", str(file))):
        status, _, err = ctl("interfaces", "set", "vmbr0", "type=bridge", "type=bond", "node=x", *more)
        assert (status, err) == (1, "node: is 'localhost' in the path\n")
        assert ctl("interfaces", "set", "vmbr0", "type=bridge", "type=bond", *more)[2].startswith("type: ")


def test_a_host_without_interfaces_gets_its_first(ctl: Run, root: Path) -> None:
    active, staged = (root / "etc/network" / name for name in ("interfaces", "interfaces.new"))
    active.unlink()
    assert ctl("interfaces", "set", "vmbr0", "mtu=1400") == (1, "", "iface: interface does not exist\n")
    assert ctl("interfaces", "create", "vmbr0", "type=bridge", "autostart=1")[0] == 0
    assert staged.read_text().startswith("auto vmbr0\niface vmbr0 inet manual\n")
    assert ctl("interfaces", "diff")[1].startswith("--- /etc/network/interfaces\n+++ /etc/network/interfaces.new\n")
    assert ctl("interfaces", "revert")[0] == 0
    assert not staged.exists()
    assert not active.exists()


def test_a_file_is_edited_in_its_place(ctl: Run, file: Path) -> None:
    file.chmod(0o640)
    at = ("--file", str(file), "--nics", "eth0,eth1")
    assert ctl("interfaces", "set", "vmbr0", "mtu=1400", *at) == (0, "written\n", "")
    assert file.read_text() == f"{BASE}\tmtu 1400\n"
    assert ctl("interfaces", "create", "eth1", "type=eth", *at)[0] == 0
    assert ctl("interfaces", "delete", "eth1", *at)[0] == 0
    assert ctl("interfaces", "set", "vmbr0", "--delete", "mtu", *at)[0] == 0
    assert file.read_text() == BASE
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == ["mine"]


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ("set vmbr0 mtu=x bridge_ports=eth7", 1, ["bridge_ports: ", "mtu: "]),
        ("set vmbr0 cidr=x gateway=y", 1, ["cidr: ", "gateway: "]),
        ("set vmbr9 mtu=1400", 1, ["iface: interface does not exist"]),
        ("create vmbr0 type=bridge", 1, ["iface: interface already exists"]),
        ("delete vmbr9", 1, ["iface: interface does not exist"]),
        ("set vmbr0 mtu", 2, []),
        ("set vmbr0 =1", 2, []),
        ("create", 2, []),
    ],
)
def test_refusals_are_told_by_key(ctl: Run, file: Path, words: str, status: int, told: list[str]) -> None:
    found, out, err = ctl("interfaces", *words.split(), "--file", str(file), "--nics", "eth0")
    assert (found, out) == (status, "")
    assert all(one in err for one in told)
    assert len(err.splitlines()) == len(told) or status == 2
    assert file.read_text() == BASE


def test_a_file_that_is_not_there(ctl: Run, tmp_path: Path) -> None:
    status, _, err = ctl("interfaces", "set", "a", "mtu=1", "--file", str(tmp_path / "none"), "--nics", "")
    assert (status, err) == (1, f"{tmp_path}/none: no such file\n")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("interfaces set lo bridge_v", ["bridge_vids=", "bridge_vlan_aware="]),
        ("interfaces set lo mtu=1 cidr", ["cidr6=", "cidr="]),
        ("interfaces set lo --delete cidr", ["cidr", "cidr6"]),
        ("interfaces set l", ["lo"]),
        ("interfaces create x type", ["type="]),
    ],
)
def test_keys_are_completed(typed: str, found: list[str]) -> None:
    assert candidates(typed.split(" ")) == found


def test_lines_of_nat_are_staged_and_taken_back(ctl: Run, root: Path) -> None:
    staged = root / "etc/network/interfaces.new"
    text = BASE + "\niface vmbr1 inet static\n\taddress 10.0.0.1/24\n\tbridge-ports none\n"
    (root / "etc/network/interfaces").write_text(text)
    lines = ("nat-masquerade=vmbr0", "nat-forward=tcp 80 10.0.0.2", "nat-forward=udp 53 10.0.0.2")
    assert ctl("nat", "add", "vmbr1", *lines)[::2] == (0, "")
    assert staged.read_text() == text + "".join(f"\t{one.replace('=', ' ')}\n" for one in lines)
    status, _, err = ctl("nat", "add", "vmbr1", "nat-forward=tcp 80")
    assert (status, "wants PROTOCOL PORT ADDRESS:PORT" in err) == (1, True)
    assert ctl("nat", "delete", "vmbr1", *lines)[0] == 0
    assert not staged.exists()
    assert candidates(["nat", "add", "vmbr1", "nat-o"]) == ["nat-one-to-one="]
