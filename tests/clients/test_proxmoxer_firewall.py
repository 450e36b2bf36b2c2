"""The firewall by proxmoxer, unchanged: rules, groups, sets, aliases, options on cluster, node, VM and container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from proxmoxer import ProxmoxAPI, ResourceException

from tests.clients.host import Host, served
from tests.clients.test_proxmoxer import node

pytestmark = pytest.mark.netns

FILES = "etc/pvenetd/firewall"
CONTAINER = "net0: name=eth0,hwaddr=02:00:5E:00:53:02,bridge=vmbr0,firewall=1\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One host for all: each test leaves it as it was."""
    with served(tmp_path_factory.mktemp("host")) as found:
        yield found


@pytest.fixture(scope="module")
def client(host: Host) -> ProxmoxAPI:
    made = host.login("alice@pam").access.users("alice@pam").token("proxmoxer").post(privsep=0)
    return host.by_token(made["full-tokenid"], made["value"])


def trees(host: Host, client: ProxmoxAPI) -> dict[str, Any]:
    """Return the firewall of each scope, by its file."""
    (host.root / "etc/pvenetd/lxc").mkdir(exist_ok=True)
    (host.root / "etc/pvenetd/lxc/200.conf").write_text(CONTAINER)
    here = node(client)
    return {
        "cluster": client.cluster.firewall,
        "host": here.firewall,
        "100": here.qemu(100).firewall,
        "200": here.lxc(200).firewall,
    }


def text(host: Host, name: str) -> str:
    path = host.root / FILES / f"{name}.fw"
    return path.read_text() if path.exists() else ""


def actions(rules: Any) -> list[tuple[int, str, int]]:
    return [(one["pos"], one["action"], one["enable"]) for one in rules.get()]


def test_rules_of_every_scope(host: Host, client: ProxmoxAPI) -> None:
    for name, firewall in trees(host, client).items():
        for rule in firewall.rules.get():
            firewall.rules(0).delete(digest=rule["digest"] if rule["pos"] == 0 else None)
        firewall.rules.post(type="in", action="ACCEPT", macro="SSH", source="192.0.2.0/24,198.51.100.7", enable=1)
        firewall.rules.post(type="out", action="DROP", proto="tcp", dport="25", log="info", comment="no spam")
        assert actions(firewall.rules) == [(0, "DROP", 0), (1, "ACCEPT", 1)]
        first = firewall.rules(0).get()
        assert (first["type"], first["dport"], first["log"], first["comment"]) == ("out", "25", "info", "no spam")
        firewall.rules(0).put(moveto=2, digest=first["digest"])
        with pytest.raises(ResourceException, match="detected modified configuration"):
            firewall.rules(0).put(comment="late", digest=first["digest"])
        firewall.rules(1).put(**{"enable": 1, "delete": "log,comment", "icmp-type": ""})
        assert actions(firewall.rules) == [(0, "ACCEPT", 1), (1, "DROP", 1)]
        assert text(host, name).endswith(
            "IN SSH(ACCEPT) -source 192.0.2.0/24,198.51.100.7\nOUT DROP -p tcp -dport 25\n"
        )
        with pytest.raises(ResourceException) as refused:
            firewall.rules.post(type="in", action="ALLOW", dport="http", proto="icmp", source="nobody")
        assert (refused.value.status_code, refused.value.errors.keys()) == (400, {"action", "source"})
        firewall.rules(1).delete()
        firewall.rules(0).delete()
        assert firewall.rules.get() == []


def test_groups_of_the_cluster(client: ProxmoxAPI) -> None:
    firewall, vm = client.cluster.firewall, node(client).qemu(100).firewall
    firewall.groups.post(group="web", comment="pages")
    firewall.groups("web").post(type="in", action="ACCEPT", proto="tcp", dport="80,443", enable=1)
    vm.rules.post(type="group", action="web", iface="net0", enable=1)
    (group,) = firewall.groups.get()
    assert (group["group"], group["comment"]) == ("web", "pages")
    firewall.groups.post(group="www", rename="web", digest=group["digest"])
    assert firewall.groups("www").get()[0]["dport"] == "80,443"
    assert vm.rules(0).get()["action"] == "www"
    with pytest.raises(ResourceException, match="is not empty"):
        firewall.groups("www").delete()
    firewall.groups("www")(0).delete()
    with pytest.raises(ResourceException, match="is used"):
        firewall.groups("www").delete()
    vm.rules(0).delete()
    firewall.groups("www").delete()
    assert firewall.groups.get() == []


def test_sets_and_aliases_of_cluster_and_guests(host: Host, client: ProxmoxAPI) -> None:
    for name, firewall in trees(host, client).items():
        if name == "host":
            continue
        scope = "dc" if name == "cluster" else "guest"
        firewall.aliases.post(name="db", cidr="192.0.2.77", comment="data")
        firewall.aliases.db.put(cidr="192.0.2.78", rename="data")
        assert [(one["name"], one["cidr"]) for one in firewall.aliases.get()] == [("data", "192.0.2.78")]
        firewall.ipset.post(name="lan", comment="all of it")
        firewall.ipset("lan").post(cidr="192.0.2.0/24")
        firewall.ipset("lan").post(cidr="data", nomatch=1)
        firewall.ipset("lan")("192.0.2.0/24").put(comment="offices")
        entries = {one["cidr"]: one for one in firewall.ipset("lan").get()}
        assert (entries["192.0.2.0/24"]["comment"], entries["data"]["nomatch"]) == ("offices", 1)
        own = [one["ref"] for one in firewall.refs.get() if one["scope"] == scope]
        assert own == [f"{scope}/data", f"+{scope}/lan"]
        with pytest.raises(ResourceException, match="is not empty"):
            firewall.ipset("lan").delete()
        firewall.ipset("lan")("192.0.2.0/24").delete()
        firewall.ipset("lan").delete(force=1)
        firewall.aliases("data").delete()
        assert (firewall.ipset.get(), firewall.aliases.get()) == ([], [])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cluster", {"policy_in": "REJECT", "log_ratelimit": "enable=1,rate=5/minute", "ebtables": 0}),
        ("host", {"nf_conntrack_max": 262144, "tcpflags": 1, "log_level_in": "warning"}),
        ("100", {"macfilter": 0, "policy_out": "DROP", "log_level_out": "info"}),
        ("200", {"ipfilter": 1, "radv": 0}),
    ],
)
def test_options_of_every_scope(host: Host, client: ProxmoxAPI, name: str, values: dict[str, Any]) -> None:
    firewall = trees(host, client)[name]
    before = firewall.options.get()
    firewall.options.put(**values, digest=before["digest"])
    found = firewall.options.get()
    assert {key: found[key] for key in values} == values
    with pytest.raises(ResourceException, match="detected modified configuration"):
        firewall.options.put(enable=0, digest=before["digest"])
    firewall.options.put(delete=",".join(key for key in values if key not in before))
    assert firewall.options.get().keys() >= before.keys()
    assert firewall.log.get(limit=5) == [] if name != "cluster" else firewall.macros.get()
