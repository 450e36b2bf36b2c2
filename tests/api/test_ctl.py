"""pvenetctl against a daemon on a fake machine."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pvenetd.ctl import client
from pvenetd.ctl.client import NoAnswerError, NoDaemonError, Request, ask
from pvenetd.ctl.main import main
from pvenetd.drivers.fake import Fake
from tests.api.server import STAGED, Api


class Ctl:
    """pvenetctl, in a thread of this process."""

    def __init__(self, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
        self._root, self._capsys = str(api.root), capsys

    async def __call__(self, words: str, status: int = 0) -> str:
        """Return what a command prints: on standard output, or on standard error where it is refused."""
        found = await asyncio.to_thread(main, ["--root", self._root, *words.split()])
        out, err = self._capsys.readouterr()
        assert found == status, err
        return out if status == 0 else err


@pytest.fixture
def ctl(api: Api, capsys: pytest.CaptureFixture[str]) -> Ctl:
    return Ctl(api, capsys)


async def test_plan_apply_and_nothing_to_do(ctl: Ctl) -> None:
    plan = await ctl("plan")
    assert "# /etc/network/interfaces:8" in plan
    assert await ctl("apply --dry-run") == plan
    assert await ctl("apply") == f"{plan}applied\n"
    assert await ctl("plan") == ""
    assert await ctl("apply") == "in sync\n"


async def test_each_operation_stands_beside_its_line(ctl: Ctl) -> None:
    rows = [line.split("  # ") for line in (await ctl("plan")).splitlines()]
    assert {op.rstrip(): origin for op, origin in rows}["+ address vmbr0 192.0.2.1/24"] == "/etc/network/interfaces:8"
    assert len({len(op) for op, _ in rows}) == 1


async def test_confirm_and_rollback(ctl: Ctl, api: Api) -> None:
    await ctl("apply")
    api.files.write("etc/network/interfaces.new", STAGED.encode())
    assert "configuration  staged: 1 operation to do" in await ctl("status")
    op, outcome = (await ctl("apply --confirm 3600")).splitlines()
    assert op == "~ link vmbr0 ageing=120  # /etc/network/interfaces.new:7"
    found = re.fullmatch("rolled back in 3[56][0-9]{2} s unless confirmed: pvenetctl confirm ([0-9a-f]{8})", outcome)
    assert found
    waits = f"configuration  waiting for confirmation: pvenetctl confirm {found[1]}, or it is rolled back in 3"
    assert waits in await ctl("status")
    refused = await ctl("confirm 00000000", 1)
    assert refused == f"apply 00000000 does not wait to be confirmed: {found[1]} does\n"
    extended = f"rolled back in 7[12][0-9]{{2}} s unless confirmed \\(apply {found[1]}\\)\n"
    assert re.fullmatch(extended, await ctl("confirm --extend 3600"))
    assert await ctl("rollback") == "rolled back\n"
    assert await ctl("confirm", 1) == "nothing waits to be confirmed\n"
    assert "staged" in await ctl("status")


async def test_a_guest_from_plug_to_unplug(ctl: Ctl) -> None:
    await ctl("apply")
    assert (await ctl("vm plug 100 net0")).startswith("+ link tap100i0 tap master=vmbr0 ")
    assert (await ctl("vm list")).splitlines() == [
        "VMID  NAME  NIC   TAP       BRIDGE  VLAN  MAC                LINK  FIREWALL  SOURCE",
        "100   web   net0  tap100i0  vmbr0   -     02:00:5e:00:53:01  up    filtered  file",
    ]
    assert (await ctl("topology")).splitlines() == [
        "eth0 ethernet up",
        "└─ vmbr0 bridge 192.0.2.1/24 up",
        "   └─ tap100i0 tap up  → guest 100 web (net0, filtered)",
    ]
    assert '"tap100i0" -> "guest 100" [label="net0\\nfiltered"];' in await ctl("topology --format dot")
    assert json.loads(await ctl("topology --format json")) == json.loads(await ctl("topology --json"))
    assert "  bridge: vmbr0\n" in await ctl("vm show 100")
    assert await ctl("vm plug 100") == "nothing to do\n"
    assert await ctl("vm unplug 100") == "- link tap100i0\n"
    assert "unplugged" in await ctl("vm list")
    assert (
        await ctl("vm plug 101", 1)
        == "no guest 101: neither a file below /etc/pvenetd nor a libvirt domain defines it\n"
    )


async def test_a_hook_that_fails_stops_a_start_and_no_end(ctl: Ctl) -> None:
    await ctl("apply")
    assert (
        await ctl("hook qemu-ifup tap100i0", 1)
        == "tap100i0 is not there: QEMU makes it before it asks for its network\n"
    )
    assert await ctl("hook qemu-ifup eth0", 1) == "ifname: is no guest's tap: tap<vmid>i<n>\n"
    await ctl("hook qemu-ifdown eth0")


async def test_firewall(ctl: Ctl, api: Api) -> None:
    assert await ctl("firewall status") == "firewall: on, nftables; loaded: base, groups, guard, host, vm:100\n"
    assert "tap100i0" in await ctl("firewall compile --vmid 100")
    told = await ctl("firewall simulate --from outside --to vm/100 --proto tcp --dport 9")
    assert told.startswith("DROP  outside -> vm/100/net0: ")
    assert "  policy_in: drop" in told
    assert isinstance(api.machine, Fake)
    api.machine.lacks = frozenset({"answers", "queue"})
    api.files.write("etc/pvenetd/firewall/100.fw", b"[RULES]\nIN REJECT\n")
    means = "this kernel has no chains where the host sends: REJECT of what it sends, or routes, to a guest is DROP"
    assert f"\n{means} (NF_TABLES_NETDEV, NETFILTER_EGRESS, NFT_FWD_NETDEV): 100.fw:2\n" in await ctl("firewall status")
    assert "\nthis kernel has no queues: " in await ctl("firewall status")
    assert f"100.fw:2: warning kernel: {means}" in await ctl("firewall check")
    assert f"               {means} " in await ctl("status")
    assert f"{means}: 100.fw:2" in (await api.data("GET", "/api2/json/nodes/localhost/pvenetd/health"))["reasons"]
    api.files.write("etc/pvenetd/firewall/100.fw", b"[RULES]\nIN PERHAPS\n")
    assert await asyncio.to_thread(main, ["--root", str(api.root), "firewall", "apply"]) == 1
    await ctl("reconcile", 1)


async def test_events_tell_why(ctl: Ctl) -> None:
    await ctl("apply")
    assert " op owner=interfaces op=+ address vmbr0 192.0.2.1/24 origin=/etc/network/interfaces:8\n" in await ctl(
        "events"
    )


async def test_problems_are_told_line_by_line(ctl: Ctl, api: Api) -> None:
    api.files.write("etc/network/interfaces.new", b"iface a inet static\n\taddress x\n")
    line = "/etc/network/interfaces.new:2: error address: "
    assert (await ctl("plan", 1)).startswith(line)
    assert (await ctl("apply", 1)).startswith(line)
    assert line in await ctl("status")
    await ctl("interfaces check", 1)


def test_who_is_silent_is_not_waited_for_beyond_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("POST", ("hook", "qemu"), {"phase": "up"}, seconds=0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        monkeypatch.setattr(client, "SOCKET", "silent")
        with pytest.raises(NoAnswerError, match=r"within 0.05 s \(waited for POST /api2/json/.*/hook/qemu\)"):
            ask(str(tmp_path), request)


def test_a_hook_waits_for_a_daemon_that_is_not_there_yet_until_its_deadline(tmp_path: Path) -> None:
    (tmp_path / "run/pvenetd").mkdir(parents=True)
    with pytest.raises(NoDaemonError, match=r"nobody answers at .*; waited for it for 0\.2 s"):
        ask(str(tmp_path), Request("POST", ("hook", "qemu"), seconds=0.2, patient=True))
    with pytest.raises(NoDaemonError, match=r"api\.sock$"):
        ask(str(tmp_path), Request("POST", ("hook", "qemu"), seconds=60))
    with socket.socket(socket.AF_UNIX) as late, ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(ask, str(tmp_path), Request("POST", ("hook", "qemu"), seconds=60, patient=True))
        late.bind(str(tmp_path / client.SOCKET))
        late.listen()
        there, _ = late.accept()
        with there:
            assert there.recv(1 << 16).startswith(b"POST ")
            there.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"data": 1}')
        assert answer.result() == (200, {"data": 1})


async def test_drift_is_told_apart_from_edits(ctl: Ctl, api: Api) -> None:
    status = await ctl("status")
    assert "configuration  never applied by pvenetd: " in status
    assert "owner mode     no; the package pvenetd-ifupdown would take the interfaces over with " in status
    assert "drift" not in status
    await ctl("apply")
    api.files.write("etc/network/interfaces.new", STAGED.encode())
    assert await ctl("plan --drift") == ""
    assert "drift" not in await ctl("status")
    applied = api.daemon.engine.owners()["interfaces"]
    without = {key: one for key, one in applied.items() if key[0] not in ("address", "route")}
    await api.daemon.engine.desire("interfaces", without)
    assert "+ address vmbr0 192.0.2.1/24" in await ctl("plan --drift")
    assert "drift          2 operations to bring the host back to it (pvenetctl plan --drift)" in await ctl("status")


async def test_a_session_is_read_as_ssh_tells_it(api: Api) -> None:
    status, body = await api.ask("POST", "/api2/json/nodes/localhost/pvenetd/apply", "-d", "session=nonsense")
    assert status == 400
    assert body["errors"] == {"session": "should be CLIENT CLIENT-PORT SERVER SERVER-PORT, as in SSH_CONNECTION"}


async def test_ports_and_who_is_behind_them(ctl: Ctl) -> None:
    await ctl("apply")
    await ctl("vm plug 100")
    found = (await ctl("ports")).splitlines()
    columns = "port in link guest packets received packets sent dropped errors"
    assert found[0].lower().split() == columns.split()
    (port,) = [line for line in found if line.startswith("tap100i0")]
    assert port.split()[:6] == ["tap100i0", "vmbr0", "up", "100", "web", "net0"]
    assert await ctl("fdb vmbr0") == "nobody has been heard of\n"
    assert "health         ok" in await ctl("status")
