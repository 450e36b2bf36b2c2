"""The API by curl, on a fake machine."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from pvenetd.api.app import MAX_BODY
from pvenetd.api.peer import listening
from pvenetd.errors import Conflict
from tests.api.server import INTERFACES, NODE, OURS, STAGED, Api, fake, served
from tests.harness import Failing


async def test_network_is_proxmox_shaped(api: Api) -> None:
    records = await api.data("GET", f"{NODE}/network")
    assert {record["iface"]: record["type"] for record in records} == {"eth0": "eth", "vmbr0": "bridge"}
    assert len(records[1].pop("digest")) == 64
    assert records[1] == {
        "iface": "vmbr0",
        "type": "bridge",
        "method": "static",
        "method6": "manual",
        "priority": 3,
        "families": ["inet"],
        "autostart": 1,
        "exists": 0,
        "active": 0,
        "address": "192.0.2.1",
        "netmask": "24",
        "cidr": "192.0.2.1/24",
        "gateway": "192.0.2.254",
        "bridge_ports": "eth0",
        "bridge_stp": "off",
        "bridge_fd": "0",
    }
    assert records[1].items() < (await api.data("GET", f"{NODE}/network/vmbr0")).items()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("bridge", ["vmbr0"]),
        ("any_bridge", ["vmbr0"]),
        ("eth", ["eth0"]),
        ("bond", []),
        ("include_sdn", ["eth0", "vmbr0"]),
    ],
)
async def test_network_by_type(api: Api, kind: str, names: list[str]) -> None:
    records = await api.data("GET", f"{NODE}/network?type={kind}")
    assert [record["iface"] for record in records] == names


async def test_what_is_staged_stands_beside_until_it_is_applied(api: Api) -> None:
    api.files.write("etc/network/interfaces.new", STAGED.encode())
    _, body = await api.ask("GET", f"{NODE}/network")
    assert body["changes"].splitlines()[:2] == ["--- /etc/network/interfaces", "+++ /etc/network/interfaces.new"]
    assert "+\tbridge-ageing 120" in body["changes"].splitlines()
    upid = await api.data("PUT", f"{NODE}/network")
    assert upid.startswith(f"UPID:{socket.gethostname().partition('.')[0]}:")
    _, body = await api.ask("GET", f"{NODE}/network")
    assert "changes" not in body
    assert await api.data("GET", f"{OURS}/plan") == []


async def test_an_apply_waits_to_be_confirmed(api: Api) -> None:
    todo = await api.data("GET", f"{OURS}/plan")
    assert {"op": "+ link vmbr0 bridge mtu=1500 forward_delay=0", "origin": "/etc/network/interfaces:7"} in todo
    dry = await api.data("POST", f"{OURS}/apply", "-d", "dry_run=1")
    assert dry["ops"] == todo == await api.data("GET", f"{OURS}/plan")
    done = await api.data("POST", f"{OURS}/apply", "-d", "confirm=3600")
    assert done["ops"] == todo
    assert (await api.data("GET", f"{OURS}/status"))["interfaces"]["state"] == "waiting for confirmation"
    assert (await api.ask("POST", f"{OURS}/apply"))[0] == 409
    await api.data("POST", f"{OURS}/rollback")
    assert await api.data("GET", f"{OURS}/plan") == todo
    assert (await api.ask("POST", f"{OURS}/confirm"))[0] == 409
    await api.data("POST", f"{OURS}/apply", "-d", "confirm=3600")
    await api.data("POST", f"{OURS}/confirm")
    assert (await api.data("GET", f"{OURS}/status"))["interfaces"]["state"] == "in sync"
    events = await api.data("GET", f"{OURS}/events")
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event"] == "confirmed"
    assert await api.data("GET", f"{OURS}/events?since={len(events) - 1}") == events[-1:]


async def test_a_guest_is_plugged_and_unplugged(api: Api) -> None:
    await api.data("POST", f"{OURS}/apply")
    assert (await api.data("GET", f"{NODE}/qemu")) == [{"vmid": 100, "name": "web", "status": "stopped"}]
    await api.data("POST", f"{OURS}/vms/100/plug", "-d", "nic=net0")
    nic = (await api.data("GET", f"{OURS}/vms/100"))["nics"][0]
    assert (nic["plugged"], nic["filtered"], nic["up"], nic["source"]) == (1, 1, 1, "file")
    assert (await api.data("GET", f"{NODE}/qemu"))[0]["status"] == "running"
    guest = next(link for link in await api.data("GET", f"{OURS}/topology") if link["name"] == "tap100i0")["guest"]
    assert guest == {"vmid": 100, "name": "web", "nic": "net0", "filtered": 1}
    assert (await api.data("POST", f"{OURS}/vms/100/unplug"))["ops"] == [{"op": "- link tap100i0", "origin": ""}]
    config = await api.data("GET", f"{NODE}/qemu/100/config")
    assert (config["name"], config["net0"]) == ("web", "virtio=02:00:5E:00:53:01,bridge=vmbr0,firewall=1")


async def test_a_hook_for_a_tap_that_is_not_there_fails(api: Api) -> None:
    await api.data("POST", f"{OURS}/apply")
    status, body = await api.ask("POST", f"{OURS}/hook/qemu", "-d", "phase=up", "-d", "ifname=tap100i0")
    assert (status, body["message"]) == (409, "tap100i0 is not there: QEMU makes it before it asks for its network")
    assert (await api.ask("POST", f"{OURS}/hook/qemu", "-d", "phase=down", "-d", "ifname=tap100i0"))[0] == 200


async def test_a_broken_guest_keeps_nobody_else_from_being_served(api: Api) -> None:
    api.files.write("etc/pvenetd/firewall/100.fw", b"[RULES]\nIN PERHAPS\n")
    found = await api.data("POST", f"{OURS}/firewall/apply")
    assert list(found["failed"]) == ["vm:100"]
    assert "/etc/pvenetd/firewall/100.fw:2:" in found["failed"]["vm:100"]
    (problem,) = (await api.data("GET", f"{OURS}/firewall/check"))["problems"]
    assert (problem["path"], problem["line"], problem["severity"]) == ("/etc/pvenetd/firewall/100.fw", 2, "error")


async def test_a_check_tells_all_that_is_wrong_with_the_rules_at_once(api: Api) -> None:
    cluster = b"[OPTIONS]\nenable: 1\npolcy_in: DROP\n[IPSET management]\nnobody\n[RULES]\nGROUP none\nIN DENY\n"
    api.files.write("etc/pvenetd/firewall/cluster.fw", cluster)
    api.files.write("etc/pvenetd/firewall/100.fw", b"[OPTIONS]\nenable: yes\n[RULES]\nIN DROP -source +none\n")
    found = (await api.data("GET", f"{OURS}/firewall/check"))["problems"]
    told = [(one["path"].rpartition("/")[2], one["line"], one["code"]) for one in found if one["severity"] == "error"]
    assert told == [
        ("cluster.fw", 3, "unknown-option"),
        ("cluster.fw", 5, "unknown-name"),
        ("cluster.fw", 7, "unknown-name"),
        ("cluster.fw", 8, "syntax"),
        ("100.fw", 2, "unknown-value"),
        ("100.fw", 4, "unknown-name"),
    ]


JSON = ("-H", "Content-Type: application/json")


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "fields"),
    [
        ("GET", "/", (), 404, ()),
        ("GET", "/api2/json", (), 404, ()),
        ("GET", "/api2/json/nodes/elsewhere/network", (), 404, ()),
        ("GET", f"{NODE}/network/nope0", (), 404, ()),
        ("GET", f"{NODE}/network/a%2Fb", (), 400, ("iface",)),
        ("GET", f"{NODE}/network/a%0Ab", (), 400, ("iface",)),
        ("GET", f"{NODE}/network/%FF", (), 400, ("iface",)),
        ("GET", f"{NODE}/network?type=switch", (), 400, ("type",)),
        ("GET", f"{NODE}/network?a=1&b=2", (), 400, ("a", "b")),
        ("GET", f"{NODE}/network?type=eth&type=bond", (), 400, ("type",)),
        ("GET", f"{NODE}/network?node=elsewhere", (), 400, ("node",)),
        ("DELETE", "/api2/json/version", (), 405, ()),
        ("GET", f"{OURS}/vms/7", (), 400, ("vmid",)),
        ("GET", f"{OURS}/vms/999", (), 404, ()),
        ("GET", f"{OURS}/firewall/compile?vmid=999", (), 404, ()),
        ("POST", f"{OURS}/vms/100/plug", ("-d", "nic=net32"), 400, ("nic",)),
        ("POST", f"{OURS}/vms/100/plug", ("-d", "nic=net0%0Apost-up"), 400, ("nic",)),
        ("POST", f"{OURS}/vms/100/plug", ("-d", "nic=net7"), 404, ()),
        ("POST", f"{OURS}/apply", ("-d", "confirm=0", "-d", "dry_run=perhaps"), 400, ("confirm", "dry_run")),
        ("POST", f"{OURS}/apply", (*JSON, "-d", "{"), 400, ("body",)),
        ("POST", f"{OURS}/apply", (*JSON, "-d", "[1]"), 400, ("body",)),
        ("POST", f"{OURS}/apply", (*JSON, "-d", '{"confirm": NaN}'), 400, ("body",)),
        ("POST", f"{OURS}/apply", (*JSON, "-d", "[" * 100_000), 400, ("body",)),
        ("POST", f"{OURS}/apply", (*JSON, "-d", '{"x": ["\\u0000"]}'), 400, ("x",)),
        ("POST", f"{OURS}/apply", ("-H", "Content-Type: text/plain", "-d", "x"), 400, ("body",)),
        ("POST", f"{OURS}/hook/qemu", ("-d", "phase=up", "-d", "ifname=eth0"), 400, ("ifname",)),
        ("POST", f"{OURS}/confirm", (), 409, ()),
    ],
)
async def test_refusals(
    api: Api, method: str, path: str, options: tuple[str, ...], status: int, fields: tuple[str, ...]
) -> None:
    found, body = await api.ask(method, path, *options)
    assert found == status, body
    assert body["data"] is None
    assert body["message"]
    assert tuple(sorted(body.get("errors", ()))) == fields


async def test_a_body_is_limited(api: Api, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * (MAX_BODY + 1))
    status, body = await api.ask("POST", f"{OURS}/apply", *JSON, "--data-binary", f"@{tmp_path}/body")
    assert (status, body["message"]) == (413, f"a body has at most {MAX_BODY} bytes")


async def test_all_that_is_wrong_with_a_configuration_is_told_at_once(api: Api) -> None:
    api.files.write("etc/network/interfaces", b"auto a\niface a inet static\n\taddress x\n\tmtu y\n")
    status, body = await api.ask("POST", f"{OURS}/apply")
    assert status == 400
    assert [(one["code"], one["line"]) for one in body["problems"]] == [("address", 3), ("mtu", 4)]
    assert body["errors"].keys() == {"address", "mtu"}
    assert body["problems"] == (await api.data("GET", f"{OURS}/check"))["problems"]


async def test_a_failure_says_what_has_become_of_the_host(tmp_path: Path) -> None:
    async with served(tmp_path, Failing(fake(), 5)) as api:
        status, body = await api.ask("POST", f"{OURS}/apply")
        assert status == 500
        assert body["outcome"] == "rolled back: the host is as it was"
        assert body["message"].splitlines()[-1] == body["outcome"]
        assert "Input/output error" in body["message"]
        errors = (await api.data("GET", f"{OURS}/status"))["errors"]
        assert "interfaces" in errors


async def test_every_request_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pvenetd.api")
    await api.ask("GET", f"{NODE}/network/nope0")
    record = caplog.records[-1]
    assert record.getMessage() == f"root: GET {NODE}/network/nope0: 404 no interface nope0"


async def test_a_second_daemon_is_refused_and_a_dead_ones_socket_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run/pvenetd/api.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(path), pytest.raises(Conflict, match="another pvenetd serves"), listening(path):
        pass
    assert not path.exists()
    assert json.loads("[]") == [one.name for one in path.parent.iterdir() if one.name != "lock"]


async def test_nat_is_told_with_its_lines_and_counters(api: Api) -> None:
    assert await api.data("GET", f"{OURS}/nat") == []
    text = INTERFACES + "\niface vmbr1 inet static\n\taddress 10.10.10.1/24\n\tbridge-ports none\n"
    nat = (
        "nat-masquerade vmbr0",
        "nat-forward tcp,udp 8080 10.10.10.2:80",
        "nat-one-to-one vmbr0 203.0.113.9 10.10.10.9",
    )
    text += "".join(f"\t{line}\n" for line in nat) + "\nauto vmbr1\n"
    api.files.write("etc/network/interfaces", text.encode())
    found = await api.data("GET", f"{OURS}/nat")
    assert [(one["kind"], one["loaded"], one["connections"]) for one in found] == [
        ("masquerade", 0, None),
        ("forward", 0, None),
        ("forward", 0, None),
        ("one-to-one", 0, None),
    ]
    await api.data("POST", f"{OURS}/apply")
    found = await api.data("GET", f"{OURS}/nat")
    assert {(one["loaded"], one["routed"], one["connections"]) for one in found} == {(1, 1, 0)}
    assert [one["protocol"] for one in found] == ["", "tcp", "udp", ""]
    assert found[1]["origin"].endswith("etc/network/interfaces:17")


README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


async def test_the_readmes_requests_by_curl(api: Api) -> None:
    lines = [line for line in README.splitlines() if line.startswith("curl --unix-socket")]
    assert len(lines) == 3
    for line in lines:
        words = line.replace("/run/pvenetd/api.sock", str(api.socket)).split()
        made = await asyncio.create_subprocess_exec(words[0], "-sSf", *words[1:], stdout=asyncio.subprocess.PIPE)
        told = json.loads((await made.communicate())[0])
        assert (made.returncode, "data" in told) == (0, True)
    assert (await api.data("GET", f"{NODE}/network/vmbr0"))["comments"] == "uplink\n"


async def test_an_answers_type_is_proxmox_ves_to_the_letter(api: Api) -> None:
    for path in (f"{NODE}/network", f"{NODE}/nothing"):
        head = (await api.text("GET", path, "-i")).partition("\r\n\r\n")[0].splitlines()
        assert "Content-Type: application/json;charset=UTF-8" in head
