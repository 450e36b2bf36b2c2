"""Containers: in lists of their own, with the lines for LXC, and what LXC's script tells."""

from __future__ import annotations

import asyncio
import json

import pytest

from pvenetd.ctl.main import main
from tests.api.server import NODE, OURS, Api

CONFIG = "hostname: dns\nnet0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=02:00:5E:00:53:02,ip=192.0.2.200/24,tag=5\n"
LINES = [
    "lxc.net.0.type = veth",
    "lxc.net.0.veth.pair = veth200i0",
    "lxc.net.0.flags = up",
    "lxc.net.0.name = eth0",
    "lxc.net.0.hwaddr = 02:00:5e:00:53:02",
    "lxc.net.0.ipv4.address = 192.0.2.200/24",
    "lxc.net.0.script.up = /usr/libexec/pvenetd/lxc-net",
    "lxc.net.0.script.down = /usr/libexec/pvenetd/lxc-net",
]


@pytest.fixture
def container(api: Api) -> None:
    api.files.write("etc/pvenetd/lxc/200.conf", CONFIG.encode())


async def ctl(api: Api, capsys: pytest.CaptureFixture[str], command: str, status: int = 0) -> str:
    """Return what pvenetctl prints, on either way."""
    assert await asyncio.to_thread(main, ["--root", str(api.root), *command.split()]) == status
    return "".join(capsys.readouterr())


@pytest.mark.usefixtures("container")
async def test_a_container_is_listed_apart_from_vms(api: Api) -> None:
    assert await api.data("GET", f"{NODE}/lxc") == [{"vmid": 200, "name": "dns", "status": "stopped"}]
    assert [guest["vmid"] for guest in await api.data("GET", f"{NODE}/qemu")] == [100]
    config = await api.data("GET", f"{NODE}/lxc/200/config")
    assert (config["hostname"], config["net0"]) == ("dns", CONFIG.splitlines()[1].partition(": ")[2])
    assert (await api.data("GET", f"{NODE}/lxc/200/status/current"))["status"] == "stopped"
    status, body = await api.ask("GET", f"{NODE}/lxc/100/config")
    assert (status, body["message"]) == (404, "no container 100: there is no /etc/pvenetd/lxc/100.conf")


@pytest.mark.usefixtures("container")
async def test_lxc_gets_its_lines(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await ctl(api, capsys, "vm lxc-config 200")).splitlines() == LINES
    told = json.loads(await ctl(api, capsys, "--json vm lxc-config 200"))
    assert told["text"].splitlines() == LINES
    assert await ctl(api, capsys, "vm lxc-config 100", 1) == (
        "no container 100: there is no /etc/pvenetd/lxc/100.conf\n"
    )


async def test_a_vm_wins_over_a_container_with_its_number(api: Api) -> None:
    api.files.write("etc/pvenetd/lxc/100.conf", CONFIG.encode())
    assert await api.data("GET", f"{NODE}/lxc") == []
    (problem,) = (await api.data("GET", f"{OURS}/firewall/check"))["problems"]
    assert (problem["path"], problem["severity"]) == ("/etc/pvenetd/lxc/100.conf", "warning")


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        ("hook lxc dns net up veth vethX7", 1, "ifname: 'vethX7' is no container's port: lxc.net.0.veth.pair = "),
        ("hook lxc dns net up veth vmbr0 veth201i0", 1, "no guest 201: "),
        ("hook lxc dns net maybe veth veth200i0", 1, "phase: Input should be 'up' or 'down'"),
        ("hook lxc dns net down veth vethX7", 0, "ifname: 'vethX7' is no container's port"),
        ("hook lxc dns net up veth veth201i0", 1, "no guest 201: "),
    ],
)
async def test_what_is_wrong_stops_a_start_and_no_end(
    api: Api, capsys: pytest.CaptureFixture[str], command: str, status: int, told: str
) -> None:
    assert (await ctl(api, capsys, command, status)).startswith(told)


async def test_lxc_may_tell_by_its_environment(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("NAME", "dns"), ("HOOK_TYPE", "up"), ("NET_PEER", "veth201i0")):
        monkeypatch.setenv(f"LXC_{name}", value)
    assert (await ctl(api, capsys, "hook lxc", 1)).startswith("no guest 201: ")
