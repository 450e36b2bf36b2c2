"""Tasks: who had what done, as Proxmox VE's clients ask for it; kept over a restart."""

from __future__ import annotations

import json
import socket

import pytest

from pvenetd.daemon.tasks import KEPT, TASKS, Tasks
from pvenetd.drivers.files import Files
from pvenetd.errors import Conflict
from tests.api.server import NODE, OURS, Api

ROWS = [
    ("srvreload", "networking", "root", ""),
    ("qmconfig", "100", "alice@pam!mine", ""),
    ("qmconfig", "101", "alice@pam", "the kernel: has no room\nand more"),
    ("srvreload", "networking", "odd name", ""),
]


async def filled(tasks: Tasks) -> list[str]:
    """Do what `ROWS` has, and return their UPIDs."""
    host, upids = socket.gethostname().partition(".")[0], []
    for kind, about, who, wrong in ROWS:
        try:
            async with tasks.run(kind, about, who) as task:
                upids.append(task.upid(host))
                if wrong:
                    raise Conflict(wrong)
        except Conflict:
            continue
    return upids


async def test_what_is_done_has_who_had_it_done_and_how_it_ended(api: Api) -> None:
    upids = await filled(api.daemon.tasks)
    assert len(set(upids)) == len(ROWS)
    told = await api.data("GET", f"{NODE}/tasks")
    assert [one["upid"] for one in told] == upids[::-1]
    assert [(one["type"], one["id"], one["user"], one.get("tokenid"), one["status"]) for one in told[::-1]] == [
        ("srvreload", "networking", "root@pam", None, "OK"),
        ("qmconfig", "100", "alice@pam", "mine", "OK"),
        ("qmconfig", "101", "alice@pam", None, "the kernel: has no room"),
        ("srvreload", "networking", "odd_name@pam", None, "OK"),
    ]
    assert await api.data("GET", "/api2/json/cluster/tasks") == told
    one = await api.data("GET", f"{NODE}/tasks/{upids[1]}/status")
    assert (one["status"], one["exitstatus"], one["user"], one["tokenid"]) == ("stopped", "OK", "alice@pam", "mine")
    assert await api.data("GET", f"{NODE}/tasks/{upids[2]}/log") == [
        {"n": 1, "t": "TASK ERROR: the kernel: has no room"}
    ]
    _, body = await api.ask("GET", f"{NODE}/tasks/{upids[2]}/log?start=1")
    assert (body["data"], body["total"]) == ([], 1)
    assert (await api.ask("GET", f"{NODE}/tasks/{upids[2]}x/status"))[0] == 404


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("limit=1", [3]),
        ("start=1&limit=2", [2, 1]),
        ("userfilter=alice", [2, 1]),
        ("typefilter=srvreload", [3, 0]),
        ("vmid=101", [2]),
        ("errors=1", [2]),
        ("errors=0", [3, 2, 1, 0]),
        ("statusfilter=ok", [3, 1, 0]),
        ("statusfilter=error,warning", [2]),
        ("statusfilter=error&statusfilter=ok", [3, 2, 1, 0]),
        ("since=1&until=9999999999", [3, 2, 1, 0]),
        ("since=9999999999", []),
        ("until=1", []),
        ("source=active", []),
        ("source=all", [3, 2, 1, 0]),
    ],
)
async def test_which_tasks_are_told(api: Api, asked: str, rows: list[int]) -> None:
    upids = await filled(api.daemon.tasks)
    _, body = await api.ask("GET", f"{NODE}/tasks?{asked}")
    assert [one["upid"] for one in body["data"]] == [upids[row] for row in rows]
    assert body["total"] == (len(ROWS) if "limit" in asked else len(rows))


async def test_requests_are_tasks_done_or_refused(api: Api) -> None:
    await api.data("PUT", f"{NODE}/network")
    await api.data("POST", f"{NODE}/qemu/100/config", "-d", "net0=virtio=02:00:5E:00:53:01,bridge=vmbr0,mtu=1400")
    api.files.write("etc/network/interfaces", b"auto br0\niface br0 inet manual\n\tbridge-ports none\n\tmtu x\n")
    assert (await api.ask("POST", f"{OURS}/apply"))[0] != 200
    told = await api.data("GET", f"{NODE}/tasks")
    assert [(one["type"], one["id"], one["user"]) for one in told] == [
        ("srvreload", "networking", "root@pam"),
        ("qmconfig", "100", "root@pam"),
        ("srvreload", "networking", "root@pam"),
    ]
    assert [one["status"] == "OK" for one in told] == [False, True, True]


async def test_tasks_outlive_the_daemon_and_are_no_more_than_a_thousand(api: Api) -> None:
    upids = await filled(api.daemon.tasks)
    files = Files(api.files.root)
    files.append(TASKS, b'{"pid": 1}\nhalf a li')
    again = Tasks(files)
    host = socket.gethostname().partition(".")[0]
    assert [one.upid(host) for one in again.newest()] == upids[::-1]
    await filled(again)
    assert len((files.read(TASKS) or b"").splitlines()) == 2 * len(ROWS)
    for _ in range(2 * KEPT):
        async with again.run("srvreload", "networking", "root"):
            pass
    lines = (files.read(TASKS) or b"").splitlines()
    assert len(lines) < 2 * KEPT
    assert all(json.loads(line)["kind"] == "srvreload" for line in lines[:10])
    assert len([*again.newest()]) == KEPT
