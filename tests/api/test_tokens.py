"""`pvenetctl token`: with a daemon and without, for people and as JSON; and what a node tells of itself."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from pvenetd.access.tokens import given
from pvenetd.ctl.main import main
from pvenetd.daemon.access import TOKENS, Access
from pvenetd.drivers.files import Files
from tests.api.server import NODE, Api


def ctl(root: Path, capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    """Return what pvenetctl prints."""
    assert main(["--root", str(root), *words]) == status
    return "".join(capsys.readouterr())


def opens(root: Path, header: str) -> bool:
    """Return whether a token's header gives its user's rights."""
    name, secret = given(header.removeprefix("Authorization: ")) or ("", "")
    return asyncio.run(Access(Files(root), "none").by_token(name, secret)).may_write


def test_a_token_is_made_listed_and_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ctl(tmp_path, capsys, "token", "create", "ansible", "--role", "admin", "--comment", "plays")
    first, secret, _, header = made.splitlines()
    assert first == "root@pam!ansible: admin, never"
    assert header == f"Authorization: PVEAPIToken=root@pam!ansible={secret.removeprefix('secret ')}"
    assert opens(tmp_path, header)
    record = json.loads(ctl(tmp_path, capsys, "--json", "token", "create", "root@pam!reads", "--days", "30"))
    assert record["info"]["privsep"] == 1
    assert not opens(tmp_path, f"PVEAPIToken=root@pam!reads={record['value']}")
    listed = ctl(tmp_path, capsys, "token", "list")
    assert re.search(r"root@pam!ansible +admin +never +plays\n", listed)
    assert re.search(r"root@pam!reads +read +2\d{3}-\d\d-\d\d \d\d:\d\d", listed)
    assert record["value"] not in listed + (tmp_path / TOKENS).read_text()
    assert ctl(tmp_path, capsys, "token", "delete", "ansible") == "root@pam!ansible opens nothing any more\n"
    assert [one["tokenid"] for one in json.loads(ctl(tmp_path, capsys, "--json", "token", "list"))] == ["reads"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["delete", "none"], "no such token 'none' for user 'root@pam'"),
        (
            ["create", "eve@pam!mine"],
            "userid: is no user that has rights here: root@pam, or a member of the group pvenetd",
        ),
        (["create", "1"], "tokenid: should be a letter, then one or more letters, digits, '.', '_' or '-'"),
    ],
)
def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert ctl(tmp_path, capsys, "token", *words, status=1).strip() == said


@pytest.mark.parametrize("words", [["create", "x", "--days", "0"], ["create", "!x"], ["create", "x!"], ["create"]])
def test_wrong_usage(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--root", str(tmp_path), "token", *words])


async def test_a_token_of_the_daemons(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    await asyncio.to_thread(ctl, api.root, capsys, "token", "create", "one")
    assert [token.name for token in api.daemon.access.tokens()] == ["root@pam!one"]
    assert await api.data("GET", f"{NODE}/pvenetd/tokens") == [
        {"userid": "root@pam", "tokenid": "one", "expire": 0, "privsep": 1}
    ]


async def test_a_node_tells_how_it_is(api: Api) -> None:
    status = await api.data("GET", f"{NODE}/status")
    assert status["memory"]["total"] > status["memory"]["used"] > 0
    assert len(status["loadavg"]) == 3
    assert status["kversion"].startswith("Linux ")
    assert 0 <= status["cpu"] <= 1
    assert status["uptime"] > 0


async def test_a_node_tells_where_names_come_from(api: Api) -> None:
    assert await api.data("GET", f"{NODE}/dns") == {}
    api.files.write("etc/resolv.conf", b"domain example.org\nnameserver 192.0.2.53\n# x\nnameserver 2001:db8::53\n")
    api.files.write("etc/hosts", b"127.0.0.1 localhost\n")
    found = {"search": "example.org", "dns1": "192.0.2.53", "dns2": "2001:db8::53"}
    assert await api.data("GET", f"{NODE}/dns") == found
    assert (await api.data("GET", f"{NODE}/hosts"))["data"] == "127.0.0.1 localhost\n"
    (api.root / "etc/resolv.conf").unlink()
    (api.root / "etc/resolv.conf").symlink_to("/run/elsewhere")
    assert await api.data("GET", f"{NODE}/dns") == {}


async def test_a_cluster_of_one_has_its_guests(api: Api) -> None:
    api.files.write("etc/pvenetd/lxc/200.conf", b"hostname: dns\nnet0: name=eth0,bridge=vmbr0\n")
    found = await api.data("GET", "/api2/json/cluster/resources")
    assert [one["type"] for one in found] == ["node", "qemu", "lxc"]
    assert [one["id"] for one in await api.data("GET", "/api2/json/cluster/resources?type=vm")] == [
        "qemu/100",
        "lxc/200",
    ]
    (member,) = await api.data("GET", "/api2/json/cluster/status")
    assert (member["local"], member["type"]) == (1, "node")
    await api.data("POST", f"{NODE}/pvenetd/apply")
    await api.data("POST", f"{NODE}/pvenetd/vms/100/plug")
    assert [(one["vmid"], one["dev"]) for one in await api.data("GET", f"{NODE}/netstat")] == [("100", "net0")]
