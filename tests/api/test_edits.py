"""Edits by the API as Proxmox VE's clients make them: staged, read back, refused, dropped, applied."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pvenetd.daemon.staging import LOCK
from tests.api.server import INTERFACES, NODE, OURS, Api

ACTIVE = "etc/network/interfaces"
STAGED = "etc/network/interfaces.new"
NETWORK = f"{NODE}/network"
JSON = ("-H", "Content-Type: application/json", "-d")


def form(**values: str) -> list[str]:
    return [word for key, value in values.items() for word in ("--data-urlencode", f"{key.replace('__', '-')}={value}")]


def text(api: Api, name: str = STAGED) -> str:
    data = api.files.read(name)
    assert data is not None
    return data.decode()


async def test_a_bridge_from_creation_to_deletion(api: Api) -> None:
    given = form(iface="vmbr1", type="bridge", autostart="1", cidr="198.51.100.1/24", comments="DMZ\n", bridge_ports="")
    assert await api.data("POST", NETWORK, *given) is None
    assert text(api) == INTERFACES + (
        "\nauto vmbr1\niface vmbr1 inet static\n\taddress 198.51.100.1/24\n\tbridge-ports none\n"
        "\tbridge-stp off\n\tbridge-fd 0\n\t#DMZ\n"
    )
    _, body = await api.ask("GET", NETWORK)
    assert "+iface vmbr1 inet static" in body["changes"].splitlines()
    record = await api.data("GET", f"{NETWORK}/vmbr1")
    assert (record["type"], record["cidr"], record["comments"], record["autostart"]) == (
        "bridge",
        "198.51.100.1/24",
        "DMZ\n",
        1,
    )
    await api.data("PUT", f"{NETWORK}/vmbr1", *form(type="bridge", mtu="1400", delete="comments,cidr"))
    assert "iface vmbr1 inet manual\n\tbridge-ports none\n" in text(api)
    await api.data("DELETE", f"{NETWORK}/vmbr1")
    assert api.files.read(STAGED) is None
    assert text(api, ACTIVE) == INTERFACES


async def test_an_edit_is_applied_and_nothing_is_live_before(api: Api) -> None:
    await api.data("POST", f"{OURS}/apply")
    await api.data("PUT", f"{NETWORK}/vmbr0", *JSON, json.dumps({"bridge-ageing": 120}))
    assert (await api.data("GET", f"{OURS}/plan"))[0]["op"] == "~ link vmbr0 ageing=120"
    assert (await api.data("GET", f"{OURS}/status"))["interfaces"]["state"] == "staged"
    assert text(api, ACTIVE) == INTERFACES
    await api.data("PUT", NETWORK)
    assert text(api, ACTIVE) == INTERFACES + "\tbridge-ageing 120\n"
    assert api.files.read(STAGED) is None


async def test_a_record_sent_back_changes_nothing(api: Api) -> None:
    hidden = ("exists", "active", "families", "method", "method6", "priority", "options", "altnames")
    text = INTERFACES + "\niface eth0.5 inet manual\n\niface bond0 inet manual\n\tbond-slaves none\n"
    text += "\niface wg0 inet manual\n\niface vlan7 inet manual\n\tvlan-raw-device eth0\n"
    api.files.write(ACTIVE, text.replace("\tbridge-fd 0\n", "").encode())
    for record in await api.data("GET", NETWORK):
        sent = {key: value for key, value in record.items() if key not in hidden}
        await api.data("PUT", f"{NETWORK}/{record['iface']}", *JSON, json.dumps(sent))
    assert api.files.read(STAGED) is None
    status, body = await api.ask("PUT", f"{NETWORK}/vmbr0", *form(iface="vmbr1", mtu="1400"))
    assert (status, body["errors"]) == (400, {"iface": "is 'vmbr0' in the path"})


async def test_an_apply_is_a_task_that_is_done(api: Api) -> None:
    upid = await api.data("PUT", NETWORK)
    task = await api.data("GET", f"{NODE}/tasks/{upid}/status")
    assert (task["status"], task["exitstatus"], task["upid"], task["type"]) == ("stopped", "OK", upid, "srvreload")
    assert await api.data("GET", f"{NODE}/tasks/{upid}/log?limit=10") == [{"n": 1, "t": "TASK OK"}]
    assert (await api.ask("GET", f"{NODE}/tasks/UPID:other:00000001:0:0:x:y:z:/status"))[0] == 404


async def test_what_is_staged_is_dropped(api: Api) -> None:
    await api.data("PUT", f"{NETWORK}/vmbr0", *form(mtu="1400"))
    found = await api.data("GET", f"{OURS}/diff")
    assert found["interfaces"] == [
        {"iface": "vmbr0", "change": "changed", "options": {"mtu": {"before": [], "after": ["1400"]}}}
    ]
    assert (found["files"], found["text"].splitlines()[-1]) == ([f"/{ACTIVE}"], "+\tmtu 1400")
    await api.data("DELETE", NETWORK)
    assert api.files.read(STAGED) is None
    assert await api.data("GET", f"{OURS}/diff") | {"digest": ""} == {
        "text": "",
        "files": [],
        "interfaces": [],
        "digest": "",
    }


async def test_a_digest_guards_against_two_editors(api: Api) -> None:
    digest = (await api.data("GET", f"{NETWORK}/vmbr0"))["digest"]
    assert {record["digest"] for record in await api.data("GET", NETWORK)} == {digest}
    await api.data("PUT", f"{NETWORK}/vmbr0", *form(mtu="1400", digest=digest))
    status, body = await api.ask("PUT", f"{NETWORK}/vmbr0", *form(mtu="1300", digest=digest))
    assert (status, body["data"]) == (409, None)
    assert (await api.ask("DELETE", f"{NETWORK}/vmbr0?digest={digest}"))[0] == 409
    assert "\tmtu 1400\n" in text(api)
    digest = (await api.data("GET", f"{NETWORK}/vmbr0"))["digest"]
    api.files.write(ACTIVE, INTERFACES.encode() + b"\n# by hand\n")
    assert (await api.ask("POST", NETWORK, *form(iface="eth1", type="eth", digest=digest)))[0] == 409


async def test_everything_that_is_wrong_is_told_at_once_by_field(api: Api) -> None:
    status, body = await api.ask("PUT", f"{NETWORK}/vmbr0", *form(cidr="x", gateway="y", autostart="z"))
    assert status == 400
    assert body["message"] == "Parameter verification failed."
    assert body["errors"].keys() == {"cidr", "gateway", "autostart"}
    given = {"mtu": "x", "gateway": "foo", "bridge_fd": {}, "post-up": "a\nb", "comments": "\0", "nope": "1"}
    status, body = await api.ask("PUT", f"{NETWORK}/vmbr0", *JSON, json.dumps(given))
    assert (status, body["errors"].keys()) == (400, given.keys())
    status, body = await api.ask("POST", NETWORK, *form(iface="vmbr0", type="bridge"))
    assert (status, body["errors"]) == (400, {"iface": "interface already exists"})
    status, body = await api.ask("DELETE", f"{NETWORK}/eth0")
    assert (status, body["errors"]) == (400, {"iface": "is a port of vmbr0"})
    status, body = await api.ask("PUT", f"{NETWORK}/vmbr0", *form(cidr="192.0.2.1/24", bridge_ports="eth0 eth9"))
    assert (status, list(body["errors"])) == (400, ["bridge_ports"])
    assert body["problems"][0]["code"] == "missing-member"
    assert api.files.read(STAGED) is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"ovs_options": "tag=1\n\tpost-up reboot"}, "ovs_options"),
        ({"post-up": ["true", "true\nfalse"]}, "post-up"),
        ({"comments": "a\r\nauto x"}, "comments"),
        ({"comments": "a\u2028b"}, "comments"),
        ({"mtu": "1400\n"}, "mtu"),
        ({"mtu": {"a": 1}}, "mtu"),
        ({"mtu": None}, "mtu"),
        ({"x\ny": "1"}, "x?y"),
        ({"digest": "0" * 65}, "digest"),
    ],
)
async def test_what_steers_is_refused_everywhere(api: Api, values: dict[str, Any], field: str) -> None:
    status, body = await api.ask("PUT", f"{NETWORK}/vmbr0", *JSON, json.dumps(values))
    assert (status, list(body["errors"])) == (400, [field])
    assert api.files.read(STAGED) is None


async def test_an_edit_goes_to_the_file_its_stanza_stands_in(api: Api) -> None:
    api.files.write(ACTIVE, f"source interfaces.d/*\n\n{INTERFACES}".encode())
    api.files.write("etc/network/interfaces.d/lan", b"auto eth1 eth2\niface eth1 inet manual\n")
    api.files.write("etc/network/interfaces.d/wan", b"iface eth2 inet manual\n")
    await api.data("PUT", f"{NETWORK}/eth2", *form(mtu="1400"))
    assert api.files.read(STAGED) is None
    assert text(api, "etc/network/interfaces.d/wan.new") == "iface eth2 inet manual\n\tmtu 1400\n"
    await api.data("DELETE", f"{NETWORK}/eth2")
    assert text(api, "etc/network/interfaces.d/lan.new") == "auto eth1\niface eth1 inet manual\n"
    assert text(api, "etc/network/interfaces.d/wan.new") == ""
    await api.data("PUT", NETWORK)
    assert text(api, "etc/network/interfaces.d/lan") == "auto eth1\niface eth1 inet manual\n"
    assert api.files.names("etc/network/interfaces.d") == ["lan", "wan"]


async def test_nothing_is_edited_while_an_apply_waits_to_be_confirmed(api: Api) -> None:
    await api.data("POST", f"{OURS}/apply", "-d", "confirm=3600")
    assert (await api.ask("PUT", f"{NETWORK}/vmbr0", *form(mtu="1400")))[0] == 409
    await api.data("POST", f"{OURS}/confirm")
    await api.data("PUT", f"{NETWORK}/vmbr0", *form(mtu="1400"))


async def test_editors_wait_for_each_other(api: Api) -> None:
    release = api.files.lock(LOCK)
    assert release
    edits = [api.data("PUT", f"{NETWORK}/vmbr0", *form(**{f"bridge_{key}": "7"})) for key in ("ageing", "hello")]
    waiting = asyncio.gather(*edits)
    await api.data("GET", NETWORK)
    assert not waiting.done()
    release()
    await waiting
    assert {"\tbridge-ageing 7", "\tbridge-hello 7"} <= set(text(api).splitlines())
