"""Edits, from the request to the kernel: nothing is live before it is applied, and nothing else is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox.world import World

INTERFACES = "etc/network/interfaces"
NETWORK = "/api2/json/nodes/localhost/network"


@pytest.mark.netns
def test_a_bridge_comes_and_goes_by_the_api(world: World) -> None:
    text, links = world.read(INTERFACES), world.host.links()
    status, _ = request(world, "POST", NETWORK, iface="vmbr2", type="bridge", autostart=1, cidr="198.51.100.1/24")
    assert status == 200
    assert world.host.links() == links
    world.ctl("apply")
    (bridge,) = json.loads(world.host.run("ip", "-j", "address", "show", "vmbr2"))
    assert [one["local"] for one in bridge["addr_info"] if one["family"] == "inet"] == ["198.51.100.1"]
    assert world.read(INTERFACES).startswith(text)
    _, body = request(world, "GET", f"{NETWORK}/vmbr2")
    digest = body["data"]["digest"]
    assert (body["data"]["exists"], body["data"]["active"], body["data"]["type"]) == (1, 1, "bridge")
    assert request(world, "PUT", f"{NETWORK}/vmbr2", mtu=1400, digest=digest)[0] == 200
    status, _ = request(world, "PUT", f"{NETWORK}/vmbr2", mtu=1300, digest=digest)
    assert status == 409
    world.ctl("apply")
    assert json.loads(world.host.run("ip", "-j", "link", "show", "vmbr2"))[0]["mtu"] == 1400
    assert request(world, "DELETE", f"{NETWORK}/vmbr2")[0] == 200
    world.ctl("apply")
    assert world.host.links() == links
    assert world.read(INTERFACES) == text


@pytest.mark.netns
def test_an_edit_without_a_daemon_waits_for_it(world: World) -> None:
    assert world.daemon
    world.daemon.stop()
    world.ctl("interfaces", "set", "vmbr1", "bridge-ageing=77")
    world.ctl("interfaces", "set", "vmbr1", "comments=guests")
    world.start_daemon()
    assert bridge(world, "vmbr1")["ageing_time"] == 30000
    assert "~ link vmbr1 ageing=77 " in world.ctl("plan")
    world.ctl("apply")
    assert world.ctl("plan") == ""
    assert bridge(world, "vmbr1")["ageing_time"] == 7700
    assert world.read(INTERFACES).endswith("\t#guests\n")


@pytest.mark.lab
def test_a_vlan_with_an_address_on_a_bridge(world: World) -> None:
    world.ctl(
        "interfaces", "create", "vmbr1.7", "type=vlan", "autostart=1", "cidr=203.0.113.1/24", "cidr6=2001:db8::1/64"
    )
    world.ctl("apply")
    (vlan,) = json.loads(world.host.run("ip", "-d", "-j", "address", "show", "vmbr1.7"))
    assert (vlan["link"], vlan["linkinfo"]["info_data"]["id"]) == ("vmbr1", 7)
    assert {"203.0.113.1", "2001:db8::1"} <= {one["local"] for one in vlan["addr_info"]}
    told = world.ctl("interfaces", "delete", "vmbr1", check=False)
    assert world.read(INTERFACES).count("vmbr1.7") == 3, told
    world.ctl("interfaces", "delete", "vmbr1.7")
    world.ctl("apply")
    assert "vmbr1.7" not in world.host.links()


def bridge(world: World, name: str) -> dict[str, Any]:
    (found,) = json.loads(world.host.run("ip", "-d", "-j", "link", "show", name))
    data: dict[str, Any] = found["linkinfo"]["info_data"]
    return data


def request(world: World, method: str, path: str, **values: object) -> tuple[int, dict[str, Any]]:
    """Return status and record of a request, made by curl as Proxmox VE's clients make them."""
    fields = [word for key, value in values.items() for word in ("--data-urlencode", f"{key}={value}")]
    socket = world.root / "run/pvenetd/api.sock"
    out = world.host.run(
        "curl", "-s", "-X", method, *fields, "-w", "\n%{http_code}", "--unix-socket", socket, f"http://localhost{path}"
    )
    body, _, status = out.rpartition("\n")
    return int(status), json.loads(body)
