"""proxmoxer, unchanged, against a real daemon on a real kernel, over TLS: with a password, and with tokens."""

from __future__ import annotations

from typing import Any

import pytest
from proxmoxer import AuthenticationError, ProxmoxAPI, ResourceException
from proxmoxer.tools import Tasks

from tests.clients.host import OWN, PASSWORD, Host
from tests.netns import run, show


def link(name: str) -> dict[str, Any]:
    """Return a link as the kernel has it, an empty record where there is none."""
    return next((one for one in show("ip", "-d", "-j", "link") if one["ifname"] == name), {})


def node(client: ProxmoxAPI) -> Any:
    (found,) = client.nodes.get()
    return client.nodes(found["node"])


def finished(client: ProxmoxAPI, upid: str) -> None:
    """Wait for a task's end, as proxmoxer does, and see that it went well."""
    assert Tasks.decode_upid(upid)["node"] == client.nodes.get()[0]["node"]
    assert Tasks.blocking_status(client, upid, timeout=60, polling_interval=0.1)["exitstatus"] == "OK"
    assert Tasks.decode_log(node(client).tasks(upid).log.get()) == "TASK OK"


def networks(client: ProxmoxAPI) -> dict[str, str]:
    return {one["iface"]: one["type"] for one in node(client).network.get()}


@pytest.fixture(params=["ticket", "token"])
def client(host: Host, request: pytest.FixtureRequest) -> ProxmoxAPI:
    """A client that may do everything, by either way in."""
    by_ticket = host.login("alice@pam")
    if request.param == "ticket":
        return by_ticket
    made = by_ticket.access.users("alice@pam").token("proxmoxer").post(privsep=0, comment="a test's")
    assert made["info"] == {"expire": 0, "privsep": 0, "comment": "a test's"}
    return host.by_token(made["full-tokenid"], made["value"])


@pytest.mark.netns
def test_a_bridge_is_created_changed_applied_reverted_and_deleted(client: ProxmoxAPI) -> None:
    network = node(client).network
    assert client.version.get()["repoid"] == "pvenetd"
    assert networks(client) == {"eth0": "eth", "eth1": "eth", "vmbr0": "bridge"}
    network.post(iface="vmbr1", type="bridge", autostart=1, cidr="198.51.100.1/24", bridge_ports="eth1")
    assert (networks(client)["vmbr1"], link("vmbr1")) == ("bridge", {})
    finished(client, network.put())
    assert link("eth1")["master"] == "vmbr1"
    network("vmbr1").put(type="bridge", mtu=1400, comments="for guests")
    assert network("vmbr1").get()["cidr"] == "198.51.100.1/24"
    network.delete()
    assert "mtu" not in network("vmbr1").get()
    network("vmbr1").put(type="bridge", mtu=1400)
    finished(client, network.put())
    assert link("vmbr1")["mtu"] == 1400
    network("vmbr1").delete()
    finished(client, network.put())
    assert link("vmbr1") == {}
    assert networks(client) == {"eth0": "eth", "eth1": "eth", "vmbr0": "bridge"}


@pytest.mark.lab
def test_a_bond_with_a_vlan_on_it_comes_and_goes(client: ProxmoxAPI) -> None:
    network = node(client).network
    network.post(iface="bond0", type="bond", autostart=1, slaves="eth1", bond_mode="active-backup")
    network.post(iface="bond0.7", type="vlan", autostart=1, cidr="203.0.113.1/24")
    finished(client, network.put())
    assert link("eth1")["master"] == "bond0"
    assert (link("bond0.7")["link"], link("bond0.7")["linkinfo"]["info_data"]["id"]) == ("bond0", 7)
    network("bond0").put(type="bond", slaves="eth1", bond_mode="802.3ad", bond_xmit_hash_policy="layer3+4")
    finished(client, network.put())
    assert link("bond0")["linkinfo"]["info_data"]["mode"] == "802.3ad"
    assert link("bond0.7")["link"] == "bond0"
    network("bond0.7").delete()
    network("bond0").delete()
    finished(client, network.put())
    assert (link("bond0"), link("bond0.7")) == ({}, {})


@pytest.mark.netns
def test_a_guests_nic_is_changed(host: Host, client: ProxmoxAPI) -> None:
    finished(client, node(client).network.put())
    guest = node(client).qemu(100)
    assert [one["vmid"] for one in node(client).qemu.get()] == [100]
    digest = guest.config.get()["digest"]
    guest.config.put(net0="virtio=02:00:5E:00:53:01,bridge=vmbr0,mtu=1400", digest=digest)
    finished(client, guest.config.post(net1="virtio=02:00:5E:00:53:02,bridge=vmbr0"))
    assert guest.config.get()["net1"] == "virtio=02:00:5E:00:53:02,bridge=vmbr0"
    guest.config.put(delete="net1")
    text = (host.root / "etc/pvenetd/qemu-server/100.conf").read_text()
    assert text == "name: web\nnet0: virtio=02:00:5E:00:53:01,bridge=vmbr0,mtu=1400\n"
    assert guest.status.current.get()["status"] == "stopped"


@pytest.mark.netns
def test_who_may_do_what(host: Host) -> None:
    for user, password in (
        ("alice@pam", "wrong"),
        ("bob@pam", PASSWORD),
        ("eve@pam", PASSWORD),
        ("root@pve", PASSWORD),
    ):
        with pytest.raises(AuthenticationError):
            host.login(user, password)
    root = host.login()
    made = root.access.users("root@pam").token("reader").post()
    reader = host.by_token(made["full-tokenid"], made["value"])
    assert networks(reader)["vmbr0"] == "bridge"
    for refused in (node(reader).network.put, lambda: node(reader).network("vmbr0").put(type="bridge")):
        with pytest.raises(ResourceException, match="403 Forbidden"):
            refused()
    root.access.users("root@pam").token("reader").delete()
    with pytest.raises(ResourceException, match="401 Unauthorized"):
        reader.version.get()


@pytest.mark.netns
def test_an_apply_that_cuts_off_who_asks_for_it_is_refused_or_rolled_back(host: Host) -> None:
    here = host.login()
    finished(here, node(here).network.put())
    with host.outside():
        run("ip", "address", "add", "192.0.2.9/24", "dev", "eth0")
        there = host.login(address=OWN)
        node(there).network("vmbr0").put(type="bridge", bridge_ports="none")
        with pytest.raises(ResourceException, match="changes what your own session stands on"):
            node(there).pvenetd.apply.post()
        with pytest.raises(ResourceException, match="answered before the apply, and not after it"):
            node(there).network.put()
    assert link("eth0")["master"] == "vmbr0"
    assert node(here).network("vmbr0").get().get("bridge_ports") != "eth0", "the edit still waits, to be changed"


@pytest.mark.netns
def test_a_restart_keeps_tickets_and_tokens_and_no_log_has_a_secret(host: Host) -> None:
    root = host.login()
    renewed = root.access.ticket.post(username="root@pam", password=root.get_tokens()[0])
    made = root.access.users("root@pam").token("keeps").post(privsep=0)
    with pytest.raises(AuthenticationError):
        host.login("root@pam", f"{PASSWORD}!")
    with pytest.raises(ResourceException):
        root.access.users("root@pam").token("keeps").post()
    with pytest.raises(ResourceException):
        node(root).network.get(password=PASSWORD)
    host.restart()
    assert networks(root)["vmbr0"] == "bridge"
    node(root).network("vmbr0").put(type="bridge", comments="by the ticket of before")
    by_token = host.by_token(made["full-tokenid"], made["value"])
    assert by_token.access.users("root@pam").token.get() == [{"tokenid": "keeps", "expire": 0, "privsep": 0}]
    host.daemon.expect("root@pam!keeps from 127.0.0.1: GET /api2/json/access/users/root@pam/token: 200 done")
    log = host.log()
    assert "root@pam from 127.0.0.1: PUT " in log
    assert "login of root@pam from 127.0.0.1: failed" in log
    secrets = [PASSWORD, made["value"], *root.get_tokens(), renewed["ticket"], renewed["CSRFPreventionToken"]]
    kept = "".join(file.read_text() for file in (host.root / "var/lib/pvenetd").rglob("*.json"))
    assert [one for one in secrets if one in log or one in kept] == []
