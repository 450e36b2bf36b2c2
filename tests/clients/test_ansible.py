"""Ansible's collection community.proxmox, unchanged: what it is told to make so is so, and the second time it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from proxmoxer import ProxmoxAPI

from tests.clients.book import Ansible, ansible
from tests.clients.host import Host, served
from tests.clients.test_proxmoxer import link, node
from tests.clients.test_proxmoxer_firewall import CONTAINER, text

pytestmark = pytest.mark.netns

NETWORK, FIREWALL, NIC = "proxmox_node_network", "proxmox_firewall", "proxmox_nic"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One host for all: each test has a part of it for itself."""
    with served(tmp_path_factory.mktemp("host") / "root") as found:
        yield found


@pytest.fixture(scope="module")
def book(host: Host) -> Iterator[Ansible]:
    with ansible(host) as found:
        yield found


@pytest.fixture
def client(host: Host) -> ProxmoxAPI:
    return host.login()


def name(client: ProxmoxAPI) -> str:
    return str(client.nodes.get()[0]["node"])


def test_interfaces(book: Ansible, client: ProxmoxAPI) -> None:
    here = {"node": name(client)}
    bridge = {**here, "iface": "vmbr1", "iface_type": "bridge"}
    wanted = {"cidr": "198.51.100.1/24", "bridge_ports": "eth1", "comments": "lab", "autostart": True}
    book.changes(NETWORK, **bridge, **wanted, mtu=1400)
    assert book.asks("proxmox_node_network_info", **here, check_changes=True)["has_pending_changes"]
    book.changes(NETWORK, **here, state="apply", checked=False)
    assert (link("eth1")["master"], link("vmbr1")["mtu"]) == ("vmbr1", 1400)
    book.changes(NETWORK, **bridge, **wanted, bridge_vlan_aware=True, bridge_vids="2-100")
    book.changes(NETWORK, **here, iface="vmbr1.7", iface_type="vlan", cidr6="2001:db8:7::1/64", autostart=True)
    # What is empty, -1 or false goes; several keys go at once.
    book.changes(NETWORK, **bridge, cidr="", comments="", autostart=False, bridge_vids="", cidr6="2001:db8::1/64")
    book.changes(NETWORK, **bridge, mtu=-1, bridge_vlan_aware=False)
    book.changes(NETWORK, **bridge, bridge_ports="")
    found = node(client).network("vmbr1").get()
    assert (found["bridge_ports"], found["cidr6"]) == ("", "2001:db8::1/64")
    assert found.keys().isdisjoint(("cidr", "comments", "mtu", "bridge_vids", "bridge_vlan_aware"))
    book.changes(NETWORK, **here, state="revert", checked=False)
    book.changes(NETWORK, **here, iface="vmbr1", state="absent")
    bond = {**here, "iface": "bond0", "iface_type": "bond", "slaves": "eth1"}
    book.changes(NETWORK, **bond, bond_mode="active-backup", bond_primary="eth1")
    book.changes(NETWORK, **bond, bond_mode="802.3ad", bond_xmit_hash_policy="layer3+4")
    book.changes(NETWORK, **here, iface="vmbr2", iface_type="bridge", bridge_ports="bond0")
    book.changes(NETWORK, **here, iface="vlan9", iface_type="vlan", vlan_raw_device="vmbr2", cidr="203.0.113.1/24")
    book.changes(NETWORK, **here, iface="eth0", iface_type="eth", comments="uplink", autostart=True)
    kinds = {one["iface"]: one["type"] for one in network_info(book, here)}
    assert kinds == {
        "eth0": "eth",
        "eth1": "eth",
        "vmbr0": "bridge",
        "bond0": "bond",
        "vmbr2": "bridge",
        "vlan9": "vlan",
    }
    assert [one["iface"] for one in network_info(book, here, iface_type="bond")] == ["bond0"]
    refused = book.run(NETWORK, **here, iface="vmbr3", iface_type="bridge", bridge_ports="bond0")
    assert "bond0 is a member of vmbr2" in refused["msg"]
    book.changes(NETWORK, **here, state="revert", checked=False)
    book.changes(NETWORK, **here, iface="vmbr1", state="absent")
    book.changes(NETWORK, **here, state="apply", checked=False)
    assert link("vmbr1") == {}


def network_info(book: Ansible, here: dict[str, str], **which: str) -> list[dict[str, Any]]:
    return list(book.asks("proxmox_node_network_info", **here, **which)["proxmox_node_networks"])


RULES: list[dict[str, Any]] = [
    {"pos": 0, "type": "in", "action": "ACCEPT", "proto": "tcp", "dport": "80", "enable": True, "comment": "pages"},
    {"pos": 1, "type": "in", "action": "ACCEPT", "macro": "SSH", "source": "192.0.2.0/24", "enable": True},
    {"pos": 2, "type": "in", "action": "DROP", "proto": "icmp", "icmp_type": "echo-request", "enable": False},
    {"pos": 3, "type": "out", "action": "REJECT", "proto": "udp", "dest": "192.0.2.1", "log": "info", "enable": True},
]
LINES = """\
[RULES]
IN ACCEPT -p tcp -dport 80 # pages
IN SSH(ACCEPT) -source 192.0.2.0/24
|IN DROP -p icmp -icmp-type echo-request
OUT REJECT -dest 192.0.2.1 -p udp -log info
"""


def test_rules_and_names_of_every_level(host: Host, book: Ansible, client: ProxmoxAPI) -> None:
    (host.root / "etc/pvenetd/lxc").mkdir()
    (host.root / "etc/pvenetd/lxc/200.conf").write_text(CONTAINER)
    levels: dict[str, dict[str, Any]] = {
        "cluster": {"level": "cluster"},
        "host": {"level": "node", "node": name(client)},
        "100": {"level": "vm", "vmid": 100},
        "200": {"level": "vm", "vmid": 200},
    }
    for file, level in levels.items():
        book.changes(FIREWALL, checked=False, **level, rules=RULES)
        assert text(host, file) == LINES
        other = [RULES[0], {**RULES[1], "comment": "by hand"}]
        book.changes(FIREWALL, checked=False, **level, rules=other)
        book.changes(FIREWALL, checked=False, **level, state="absent", pos=3)
        assert "SSH(ACCEPT) -source 192.0.2.0/24 # by hand" in text(host, file)
        assert "OUT" not in text(host, file)
        if level["level"] != "node":  # the module asks a host for aliases, which none has
            assert [one["pos"] for one in book.asks(f"{FIREWALL}_info", **level)["firewall_rules"]] == [0, 1, 2]
        for pos in (2, 1, 0):
            book.changes(FIREWALL, checked=False, **level, state="absent", pos=pos)
    for level in (levels["cluster"], levels["100"]):
        alias = {"name": "db", "cidr": "192.0.2.77", "comment": "data"}
        book.changes(FIREWALL, checked=False, **level, aliases=[alias, {"name": "lan", "cidr": "198.51.100.0/24"}])
        book.changes(FIREWALL, checked=False, **level, aliases=[{**alias, "cidr": "192.0.2.78"}])
        members = [{"cidr": "192.0.2.0/24", "comment": "all"}, {"cidr": "192.0.2.9", "nomatch": True}]
        book.changes(FIREWALL, checked=False, **level, ip_sets=[{"name": "ours", "cidrs": members}])
        members[0]["comment"] = "nearly all"
        book.changes(FIREWALL, checked=False, **level, ip_sets=[{"name": "ours", "cidrs": members}])
        told = book.asks(f"{FIREWALL}_info", **level)
        assert {one["name"]: one["cidr"] for one in told["aliases"]} == {"db": "192.0.2.78", "lan": "198.51.100.0/24"}
        assert [(one["cidr"], one["nomatch"]) for one in told["ip_sets"][0]["cidrs"]] == [
            ("192.0.2.0/24", False),
            ("192.0.2.9", True),
        ]
        book.changes(FIREWALL, checked=False, **level, state="absent", ip_sets=[{"name": "ours"}])
        book.changes(FIREWALL, checked=False, **level, state="absent", aliases=[{"name": "db"}, {"name": "lan"}])


def test_groups_and_options(host: Host, book: Ansible, client: ProxmoxAPI) -> None:
    group = {"level": "group", "group": "web"}
    book.changes(FIREWALL, checked=False, **group, group_conf=True, comment="pages")
    book.changes(FIREWALL, checked=False, **group, rules=RULES[:2])
    inserted = {"pos": 0, "type": "group", "action": "web", "iface": "net0", "enable": True}
    book.changes(FIREWALL, checked=False, level="vm", vmid=100, rules=[inserted])
    assert text(host, "100").endswith("[RULES]\nGROUP web -i net0\n")
    book.changes(FIREWALL, checked=False, level="vm", vmid=100, state="absent", pos=0)
    for _ in RULES[:2]:
        assert book.run(FIREWALL, **group, state="absent", pos=0)["changed"]
    book.changes(FIREWALL, checked=False, **group, group_conf=True, state="absent")
    limit = {"enabled": True, "burst": 10, "rate": "5/minute"}
    book.changes("proxmox_cluster_firewall", state="enabled", forward_policy="DROP", log_ratelimit=limit)
    options = client.cluster.firewall.options.get()
    assert (options["enable"], options["policy_forward"]) == (1, "DROP")
    book.changes("proxmox_cluster_firewall", state="disabled")
    here = {"node": name(client)}
    book.changes("proxmox_node_firewall", **here, log_level_in="info", tcpflags=True, nf_conntrack_helpers="ftp,tftp")
    assert book.asks("proxmox_node_firewall_info", **here)["nf_conntrack_helpers"] == "ftp,tftp"


def test_guests_nics_and_what_there_is(host: Host, book: Ansible, client: ProxmoxAPI) -> None:
    whole = {"bridge": "vmbr0", "mac": "02:00:5E:00:53:09", "firewall": True, "tag": 5, "mtu": 1400, "queues": 2}
    book.changes(NIC, vmid=100, interface="net1", **whole, rate=10.5)
    book.changes(NIC, name="web", interface="net2", bridge="vmbr0", trunks=[5, 6], link_down=True)
    book.changes(NIC, name="web", interface="net0", bridge="vmbr0", tag=7)
    book.changes(NIC, vmid=100, interface="net1", state="absent")
    written = (host.root / "etc/pvenetd/qemu-server/100.conf").read_text()
    assert "net0: virtio=02:00:5E:00:53:01,bridge=vmbr0,tag=7\n" in written
    assert "bridge=vmbr0,link_down=1,trunks=5;6\n" in written
    (guest,) = book.asks("proxmox_vm_info", vmid=100, config="current")["proxmox_vms"]
    assert (guest["vmid"], guest["config"]["net0"]) == (100, "virtio=02:00:5E:00:53:01,bridge=vmbr0,tag=7")
    here = {"node": name(client)}
    upid = node(client).network.put()
    tasks = book.asks("proxmox_tasks_info", **here)["proxmox_tasks"]
    assert [tasks[0][key] for key in ("upid", "user", "status")] == [upid, "root@pam", "OK"]
    assert {one.get("tokenid") for one in tasks} == {None, "ansible"}
    tasks = tasks[:1]
    assert book.asks("proxmox_tasks_info", **here, task=upid)["proxmox_tasks"] == tasks
    (host_info,) = book.asks("proxmox_node_info")["proxmox_nodes"]
    assert [one["iface"] for one in host_info["network"]] == ["eth0", "eth1", "vmbr0"]
    (user,) = book.asks("proxmox_user_info", userid="alice@pam")["proxmox_users"]
    assert [one["tokenid"] for one in user["tokens"]] == ["ansible"]
    assert book.asks("proxmox_cluster_status_info")["cluster_status"][0]["local"]
    assert [book.asks(f"proxmox_{what}_info")[f"{what}s"] for what in ("zone", "vnet")] == [[], []]
    assert book.asks("proxmox_ipam_info")["ipams"] == {}


def test_a_playbook(book: Ansible, client: ProxmoxAPI) -> None:
    bridge: dict[str, Any] = {"node": name(client), "iface": "vmbr1", "iface_type": "bridge", "bridge_ports": "eth1"}
    bridge["autostart"] = True
    tasks = [
        {"community.proxmox.proxmox_node_network": bridge},
        {"community.proxmox.proxmox_node_network": {"node": name(client), "state": "apply"}},
        {"community.proxmox.proxmox_firewall": {"level": "vm", "vmid": 100, "rules": RULES}},
        {"community.proxmox.proxmox_nic": {"vmid": 100, "interface": "net1", "bridge": "vmbr1"}},
    ]
    first = book.play(tasks)
    assert (first["ok"], first["changed"], first["failed"]) == (4, 4, 0)
    assert link("eth1")["master"] == "vmbr1"
    assert book.play(tasks, "--diff")["changed"] == 0
