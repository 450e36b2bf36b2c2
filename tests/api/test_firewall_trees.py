"""The firewall's trees as Proxmox VE's clients ask them: every byte stays that was not asked to change."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.api.server import NODE, OURS, Api

CLUSTER = "/api2/json/cluster/firewall"
VM = f"{NODE}/qemu/100/firewall"
FILES = "etc/pvenetd/firewall"
CLUSTER_TEXT = """\
# ours
[OPTIONS]
enable: 1 \r
# policies come later

[ALIASES]
Mail 192.0.2.25 # the öld one

[IPSET servers] # all
192.0.2.1
!192.0.2.9/32

[RULES]
IN SSH(ACCEPT) -source +Servers # admins

[group web]
IN ACCEPT -p tcp -dport 80
"""
VM_TEXT = """\
[OPTIONS]
enable: 1

[RULES]
# web
IN ACCEPT -p tcp -dport 22   # ssh
GROUP web -i net0
|OUT DROP -dest dc/mail
"""


def form(values: dict[str, object]) -> list[str]:
    return [word for key, value in values.items() for word in ("--data-urlencode", f"{key}={value}")]


class Firewall:
    """An example firewall, and how it is asked."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def get(self, path: str, **values: object) -> Any:
        return await self.api.data("GET", path, "-G", *form(values))

    async def ask(self, method: str, path: str, values: dict[str, object] | None = None) -> tuple[int, dict[str, Any]]:
        return await self.api.ask(method, path, *form(values or {}))

    async def do(self, method: str, path: str, values: dict[str, object] | None = None) -> None:
        status, body = await self.ask(method, path, values)
        assert (status, body) == (200, {"data": None})

    def text(self, name: str) -> str:
        return (self.api.files.read(f"{FILES}/{name}.fw") or b"").decode()

    def write(self, name: str, text: str) -> None:
        self.api.files.write(f"{FILES}/{name}.fw", text.encode())


@pytest.fixture
async def firewall(api: Api) -> Firewall:
    found = Firewall(api)
    found.write("cluster", CLUSTER_TEXT)
    found.write("100", VM_TEXT)
    assert (await api.data("POST", f"{OURS}/firewall/apply"))["failed"] == {}
    return found


async def test_rules_are_told_as_proxmox_ve_tells_them(firewall: Firewall) -> None:
    rules = await firewall.get(f"{VM}/rules")
    digest = rules[0]["digest"]
    assert rules == [
        {"pos": 0, "type": "in", "action": "ACCEPT", "proto": "tcp", "dport": "22", "enable": 1, "comment": "ssh",
         "digest": digest},
        {"pos": 1, "type": "group", "action": "web", "iface": "net0", "enable": 1, "digest": digest},
        {"pos": 2, "type": "out", "action": "DROP", "dest": "dc/mail", "enable": 0, "digest": digest},
    ]  # fmt: skip
    assert await firewall.get(f"{VM}/rules/1") == rules[1]
    assert (await firewall.ask("GET", f"{VM}/rules/3"))[0] == 404
    (rule,) = await firewall.get(f"{CLUSTER}/groups/WEB")
    assert (rule["pos"], rule["dport"]) == (0, "80")
    assert await firewall.get(f"{CLUSTER}/groups/web/0") == rule
    assert await firewall.get(f"{CLUSTER}/groups") == [{"group": "web", "digest": rule["digest"]}]
    assert [one["macro"] for one in await firewall.get(f"{CLUSTER}/rules")] == ["SSH"]


async def test_a_rule_from_its_creation_to_its_end(firewall: Firewall) -> None:
    new = {"type": "in", "action": "ACCEPT", "proto": "icmp", "icmp-type": "echo-request", "comment": "ping"}
    await firewall.do("POST", f"{VM}/rules", new)
    line = "|IN ACCEPT -p icmp -icmp-type echo-request # ping\n"
    assert firewall.text("100") == VM_TEXT.replace("# web\n", f"{line}# web\n"), "first, and off, as in Proxmox VE"
    await firewall.do("PUT", f"{VM}/rules/0", {"enable": 1, "comment": ""})
    line = line.replace("|", "").replace(" # ping", "")
    assert firewall.text("100") == VM_TEXT.replace("# web\n", f"{line}# web\n")
    await firewall.do("PUT", f"{VM}/rules/0", {"moveto": 4})
    assert firewall.text("100") == VM_TEXT + line
    await firewall.do("PUT", f"{VM}/rules/3", {"delete": "proto,icmp-type", "log": "info"})
    assert firewall.text("100") == VM_TEXT + "IN ACCEPT -log info\n"
    await firewall.do("DELETE", f"{VM}/rules/3")
    assert firewall.text("100") == VM_TEXT
    await firewall.do("POST", f"{VM}/rules", {"type": "out", "action": "DROP", "enable": 1, "before": 1, "pos": 7})
    assert (await firewall.get(f"{VM}/rules"))[1]["type"] == "out"


async def test_a_change_says_nothing_of_what_is_not_sent(firewall: Firewall) -> None:
    await firewall.do("PUT", f"{VM}/rules/0", {"dport": "2222"})
    assert firewall.text("100") == VM_TEXT.replace("-dport 22 ", "-dport 2222 ")
    before = await firewall.get(f"{CLUSTER}/rules/0")
    sent = {key: value for key, value in before.items() if key not in ("pos", "digest")}
    await firewall.do("PUT", f"{CLUSTER}/rules/0", {**sent, "pos": 0})
    assert firewall.text("cluster") == CLUSTER_TEXT


async def test_who_has_read_another_text_changes_nothing(firewall: Firewall) -> None:
    (rule, *_) = await firewall.get(f"{VM}/rules")
    await firewall.do("PUT", f"{VM}/rules/0", {"comment": "x", "digest": rule["digest"]})
    text = firewall.text("100")
    for method, path, values in (
        ("PUT", "rules/0", {"comment": "y"}),
        ("DELETE", "rules/0", {}),
        ("POST", "rules", {"type": "in", "action": "DROP"}),
    ):
        status, body = await firewall.ask(method, f"{VM}/{path}", {**values, "digest": rule["digest"]})
        assert (status, "detected modified configuration" in body["message"]) == (409, True)
    await firewall.do("PUT", f"{VM}/options", {"dhcp": 1})
    assert firewall.text("100") == text.replace("enable: 1\n", "enable: 1\ndhcp: 1\n")


@pytest.mark.parametrize(
    ("method", "path", "values", "errors"),
    [
        ("POST", f"{VM}/rules", {}, {"type": "missing", "action": "missing"}),
        ("POST", f"{VM}/rules", {"type": "in", "action": "ACCEPT", "source": "192.0.2.300", "dport": "99999",
         "log": "loud", "iface": "eth0"}, {"source": "192.0.2.300", "dport": "99999", "log": "loud", "iface": "net0"}),
        ("POST", f"{VM}/rules", {"type": "forward", "action": "DENY", "macro": "SSSH"},
         {"type": "FORWARD", "action": "DENY", "macro": "SSH?"}),
        ("POST", f"{VM}/rules", {"type": "in", "action": "DROP", "dport": "80"}, {"dport": "needs -proto"}),
        ("POST", f"{VM}/rules", {"type": "in", "action": "DROP", "source": "+nosuch", "dest": "nobody"},
         {"source": "there is no IP set", "dest": "there is no alias"}),
        ("POST", f"{VM}/rules", {"type": "in", "action": "DROP", "comment": "a\nIN ACCEPT"}, {"comment": "control"}),
        ("POST", f"{VM}/rules", {"type": "in", "action": "DROP", "source": "a b"}, {"source": "one word"}),
        ("POST", f"{VM}/rules", {"type": "group", "action": "nosuch"}, {"action": "there is no security group"}),
        ("POST", f"{VM}/rules", {"type": "in", "action": "DROP", "colour": "red"}, {"colour": "no such parameter"}),
        ("PUT", f"{VM}/rules/0", {"delete": "proto"}, {"dport": "needs -proto"}),
        ("PUT", f"{VM}/rules/0", {"delete": "type,colour", "action": "drop"},
         {"type": "without", "delete": "colour", "action": "drop"}),
        ("POST", f"{CLUSTER}/groups/web", {"type": "group", "action": "web"}, {"type": "GROUP cannot stand"}),
        ("POST", f"{CLUSTER}/groups", {"group": "web"}, {"group": "already exists"}),
        ("POST", f"{CLUSTER}/groups", {"group": "w b"}, {"name": "one word"}),
        ("POST", f"{CLUSTER}/groups", {"group": "www", "rename": "nosuch"}, {"rename": "does not exist"}),
        ("DELETE", f"{CLUSTER}/groups/web", {}, {"group": "not empty"}),
        ("POST", f"{CLUSTER}/ipset", {"name": "Servers"}, {"name": "already exists"}),
        ("DELETE", f"{CLUSTER}/ipset/servers", {}, {"name": "not empty"}),
        ("DELETE", f"{CLUSTER}/ipset/servers", {"force": 1}, {"name": f"is used: /{FILES}/cluster.fw:14"}),
        ("POST", f"{CLUSTER}/ipset/servers", {"cidr": "192.0.2.1/32"}, {"cidr": "already exists"}),
        ("POST", f"{CLUSTER}/ipset/servers", {"cidr": "0.0.0.0/0"}, {"cidr": "all addresses"}),
        ("POST", f"{CLUSTER}/ipset/servers", {"cidr": "192.0.2.0/33"}, {"cidr": "no network"}),
        ("POST", f"{CLUSTER}/aliases", {"name": "mail", "cidr": "192.0.2.1"}, {"name": "already exists"}),
        ("POST", f"{CLUSTER}/aliases", {"name": "new", "cidr": "192.0.2.1,192.0.2.2"}, {"cidr": "one address"}),
        ("PUT", f"{CLUSTER}/aliases/mail", {"cidr": "2001:db8::1/129"}, {"cidr": "prefix"}),
        ("DELETE", f"{CLUSTER}/aliases/mail", {}, {}),
        ("PUT", f"{CLUSTER}/options", {"policy_in": "DENY", "enable": 2, "delete": "colour"},
         {"policy_in": "DROP?", "enable": "0 or 1", "delete": "colour"}),
        ("PUT", f"{CLUSTER}/options", {"dhcp": 1}, {"dhcp": "no such parameter"}),
        ("PUT", f"{NODE}/firewall/options", {"nf_conntrack_max": 5, "tcpflags": 1, "delete": "tcpflags"},
         {"nf_conntrack_max": "at least", "tcpflags": "deleted"}),
    ],
)  # fmt: skip
async def test_all_that_is_wrong_is_told_by_key_and_nothing_is_written(
    firewall: Firewall, method: str, path: str, values: dict[str, object], errors: dict[str, str]
) -> None:
    if path.endswith("aliases/mail") and method == "DELETE":
        firewall.write("100", VM_TEXT.replace("|", ""))  # a rule that is asked
        errors = {"name": f"is used: /{FILES}/100.fw:8"}
    before = firewall.text("cluster"), firewall.text("100"), firewall.text("host")
    status, body = await firewall.ask(method, path, values)
    assert (status, body["data"]) == (400, None)
    assert body["errors"].keys() == errors.keys(), body
    assert [key for key, text in errors.items() if text not in body["errors"][key]] == [], body
    assert (firewall.text("cluster"), firewall.text("100"), firewall.text("host")) == before


async def test_what_was_wrong_before_is_shown_and_keeps_nobody_from_another_edit(firewall: Firewall) -> None:
    broken = VM_TEXT + "IN DENY -source +nosuch\nwhat\n"
    firewall.write("100", broken)
    rules = await firewall.get(f"{VM}/rules")
    assert "DENY" in rules[3]["errors"]["action"]
    assert (rules[4]["type"], list(rules[4]["errors"])) == ("what", ["type"])
    status, body = await firewall.ask("PUT", f"{VM}/rules/0", {"dport": 23})
    assert (status, body["data"]) == (200, None)
    assert "100.fw:9: error" in body["failed"]["vm:100"], "what is written does not count, and says why"
    assert firewall.text("100") == broken.replace("-dport 22", "-dport 23")
    assert (
        await firewall.ask("POST", f"{VM}/rules", {"type": "in", "action": "DROP", "source": "+other", "enable": 1})
    )[0] == 400
    for pos in (4, 3):
        await firewall.ask("DELETE", f"{VM}/rules/{pos}")
    assert (await firewall.ask("PUT", f"{VM}/rules/0", {"dport": 22}))[1] == {"data": None}
    assert firewall.text("100") == VM_TEXT


async def test_groups_sets_and_aliases_are_followed_where_they_are_renamed(firewall: Firewall) -> None:
    firewall.write("host", "[RULES]\nGROUP Web -i eth0\n")
    firewall.write("vmbr0", "[RULES]\nFORWARD DROP -source +servers # all\n")
    await firewall.do("POST", f"{CLUSTER}/groups", {"group": "www", "rename": "web", "comment": "pages"})
    await firewall.do("POST", f"{CLUSTER}/ipset", {"name": "hosts", "rename": "servers"})
    await firewall.do("PUT", f"{CLUSTER}/aliases/mail", {"rename": "smtp", "comment": "new"})
    assert firewall.text("cluster") == (
        CLUSTER_TEXT.replace("[group web]", "[group www] # pages")
        .replace("IPSET servers", "IPSET hosts").replace("+Servers", "+hosts")
        .replace("Mail 192.0.2.25 # the öld one", "smtp 192.0.2.25 # new")
    )  # fmt: skip
    assert firewall.text("100") == VM_TEXT.replace("GROUP web", "GROUP www").replace("dc/mail", "dc/smtp")
    assert firewall.text("host") == "[RULES]\nGROUP www -i eth0\n"
    assert firewall.text("vmbr0") == "[RULES]\nFORWARD DROP -source +hosts # all\n"
    assert firewall.api.files.read("var/lib/pvenetd/firewall/edit.json") is None


async def test_a_rename_that_was_cut_off_is_finished_by_the_next_edit(firewall: Firewall) -> None:
    left = {"cluster": CLUSTER_TEXT.replace("web]", "www]"), "100": VM_TEXT.replace("GROUP web", "GROUP www")}
    firewall.api.files.write("var/lib/pvenetd/firewall/edit.json", json.dumps(left).encode())
    await firewall.do("PUT", f"{VM}/options", {"ndp": 0})
    assert "[group www]" in firewall.text("cluster")
    assert "GROUP www" in firewall.text("100")
    assert firewall.api.files.read("var/lib/pvenetd/firewall/edit.json") is None


async def test_sets_by_paths_with_their_slash_as_it_is_or_encoded(firewall: Firewall) -> None:
    assert await firewall.get(f"{CLUSTER}/ipset") == [
        {"name": "servers", "comment": "all", "digest": (await firewall.get(f"{CLUSTER}/ipset"))[0]["digest"]}
    ]
    path = f"{CLUSTER}/ipset/servers"
    assert [(one["cidr"], one.get("nomatch")) for one in await firewall.get(path)] == [
        ("192.0.2.1", None),
        ("192.0.2.9/32", 1),
    ]
    await firewall.do("POST", path, {"cidr": "2001:db8::/64", "comment": "lab"})
    entry = await firewall.get(f"{path}/2001:db8::%2F64")
    assert (entry["cidr"], entry["comment"]) == ("2001:db8::/64", "lab")
    assert await firewall.get(f"{path}/2001:db8::/64") == entry
    await firewall.do("PUT", f"{path}/2001:db8::/64", {"nomatch": 1, "digest": entry["digest"]})
    assert "\n!2001:db8::/64 # lab\n" in firewall.text("cluster")
    await firewall.do("DELETE", f"{path}/2001:db8::/64")
    assert firewall.text("cluster") == CLUSTER_TEXT
    assert (await firewall.ask("DELETE", f"{path}/192.0.2.77"))[0] == 404
    assert (await firewall.ask("GET", f"{CLUSTER}/ipset/nosuch"))[0] == 404


async def test_aliases_and_what_rules_may_refer_to(firewall: Firewall) -> None:
    await firewall.do("POST", f"{VM}/aliases", {"name": "db", "cidr": "2001:db8::7", "comment": "its own"})
    await firewall.do("POST", f"{VM}/ipset", {"name": "ipfilter-net0"})
    await firewall.do("POST", f"{VM}/ipset/ipfilter-net0", {"cidr": "192.0.2.7"})
    (alias,) = await firewall.get(f"{VM}/aliases")
    assert (alias["name"], alias["cidr"], alias["ipversion"]) == ("db", "2001:db8::7", 6)
    assert await firewall.get(f"{VM}/aliases/DB") == alias
    refs = await firewall.get(f"{VM}/refs")
    assert [(one["type"], one["ref"], one["scope"]) for one in refs] == [
        ("alias", "guest/db", "guest"),
        ("ipset", "+guest/ipfilter-net0", "guest"),
        ("alias", "dc/Mail", "dc"),
        ("ipset", "+dc/servers", "dc"),
    ]
    assert [one["name"] for one in await firewall.get(f"{CLUSTER}/refs", type="ipset")] == ["servers"]
    await firewall.do("DELETE", f"{VM}/aliases/db")
    await firewall.do("DELETE", f"{VM}/ipset/ipfilter-net0", {"force": 1})
    assert (await firewall.ask("GET", f"{VM}/aliases/db"))[0] == 404


async def test_options_are_set_and_dropped_and_numbers_are_numbers(firewall: Firewall) -> None:
    assert (await firewall.get(f"{CLUSTER}/options"))["enable"] == 1
    await firewall.do("PUT", f"{CLUSTER}/options", {"policy_in": "reject", "ebtables": "yes"})
    found = await firewall.get(f"{CLUSTER}/options")
    assert (found["policy_in"], found["ebtables"]) == ("REJECT", 1)
    await firewall.do("PUT", f"{CLUSTER}/options", {"delete": "policy_in,ebtables", "digest": found["digest"]})
    assert firewall.text("cluster") == CLUSTER_TEXT
    status, _ = await firewall.ask("PUT", f"{CLUSTER}/options", {"enable": 0, "digest": found["digest"]})
    assert status == 409
    await firewall.do("PUT", f"{NODE}/firewall/options", {"nf_conntrack_max": 300000, "log_level_in": "info"})
    assert firewall.text("host") == "[OPTIONS]\nlog_level_in: info\nnf_conntrack_max: 300000\n"
    assert (await firewall.get(f"{NODE}/firewall/options"))["nf_conntrack_max"] == 300000


async def test_every_tree_has_its_parts(firewall: Firewall) -> None:
    firewall.api.files.write("etc/pvenetd/lxc/200.conf", b"net0: name=eth0,hwaddr=02:00:5E:00:53:02,bridge=vmbr0\n")
    trees = {
        CLUSTER: {"groups", "rules", "ipset", "aliases", "options", "macros", "refs"},
        f"{NODE}/firewall": {"rules", "options", "log"},
        VM: {"rules", "aliases", "ipset", "options", "refs", "log"},
        f"{NODE}/lxc/200/firewall": {"rules", "aliases", "ipset", "options", "refs", "log"},
        f"{OURS}/firewall/guest/300": {"rules", "aliases", "ipset", "options", "refs", "log"},
        f"{OURS}/firewall/bridge/vmbr0": {"rules", "options", "refs"},
        "/api2/json/cluster/sdn/vnets/vmbr0/firewall": {"rules", "options", "refs"},
    }
    for path, parts in trees.items():
        assert {one["name"] for one in await firewall.get(path)} == parts
        for part in parts:
            await firewall.get(f"{path}/{part}")
    await firewall.do("POST", f"{NODE}/lxc/200/firewall/rules", {"type": "in", "action": "DROP", "enable": 1})
    assert firewall.text("200") == "[RULES]\nIN DROP\n"
    await firewall.do("PUT", f"{OURS}/firewall/bridge/vmbr0/options", {"policy_forward": "DROP"})
    await firewall.do("POST", f"{OURS}/firewall/bridge/vmbr0/rules", {"type": "forward", "action": "ACCEPT"})
    assert firewall.text("vmbr0") == "[OPTIONS]\npolicy_forward: DROP\n\n[RULES]\n|FORWARD ACCEPT\n"
    macros = {one["macro"] for one in await firewall.get(f"{CLUSTER}/macros")}
    assert {"SSH", "HTTPS", "Ping"} <= macros
    for path in (f"{NODE}/qemu/200", f"{NODE}/lxc/100", f"{NODE}/qemu/999"):
        assert (await firewall.ask("GET", f"{path}/firewall/rules"))[0] == 404
    for bridge in ("host", "100", "a%2Fb", "%20", "waytoolongforaname"):
        assert (await firewall.ask("GET", f"{OURS}/firewall/bridge/{bridge}/rules"))[0] in (400, 404)


async def test_the_answer_comes_when_it_is_loaded(firewall: Firewall) -> None:
    api = firewall.api
    await api.data("PUT", f"{NODE}/network")
    await api.data("POST", f"{OURS}/vms/100/plug")
    await firewall.do("POST", f"{VM}/rules", {"type": "in", "action": "ACCEPT", "proto": "udp", "dport": 5353,
                                              "enable": 1})  # fmt: skip
    (chains,) = (await api.daemon.engine.look([("chains", "vm:100")])).values()
    assert "5353" in str(chains)
    assert (await api.data("GET", f"{OURS}/firewall/status"))["drift"] == []
    await firewall.do("POST", f"{CLUSTER}/groups/web", {"type": "in", "action": "ACCEPT", "proto": "tcp",
                                                        "dport": 8443, "enable": 1})  # fmt: skip
    events = await api.data("GET", f"{OURS}/events")
    assert [one["files"] for one in events if one["event"] == "edited"] == [["100.fw"], ["cluster.fw"]]
    found = (await api.daemon.engine.look([("chains", "groups")])).values()
    assert any("8443" in str(one) for one in found)


async def test_edits_that_come_at_once_are_all_there(firewall: Firewall) -> None:
    ports = range(1000, 1012)
    rule = {"type": "in", "action": "ACCEPT", "proto": "tcp"}
    await asyncio.gather(*(firewall.do("POST", f"{VM}/rules", {**rule, "dport": port}) for port in ports))
    assert {one["dport"] for one in await firewall.get(f"{VM}/rules") if "dport" in one} == {"22", *map(str, ports)}


async def test_a_group_that_many_use_is_renamed_in_all_files(firewall: Firewall) -> None:
    for vmid in range(300, 312):
        firewall.write(str(vmid), f"# {vmid}\n[RULES]\nGROUP Web # its own\n")
    await firewall.do("POST", f"{CLUSTER}/groups", {"group": "www", "rename": "web"})
    for vmid in range(300, 312):
        assert firewall.text(str(vmid)) == f"# {vmid}\n[RULES]\nGROUP www # its own\n"


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe[RULES]\nIN DROP # \xff\n", b"[RULES]\n\x00IN DROP\nIN\n\n|\n", b"what", b"[IPSET ]\n1\n"]
)
async def test_files_of_any_bytes_are_told_and_edited(firewall: Firewall, raw: bytes) -> None:
    firewall.api.files.write(f"{FILES}/100.fw", raw)
    for part in ("rules", "options", "aliases", "ipset", "refs"):
        await firewall.get(f"{VM}/{part}")
    status, body = await firewall.ask("PUT", f"{VM}/options", {"dhcp": 1})
    assert (status, body["data"]) == (200, None)
    left = (firewall.api.files.read(f"{FILES}/100.fw") or b"").replace(b"[OPTIONS]\ndhcp: 1", b"")
    assert left.replace(b"\n", b"") == raw.replace(b"\n", b"")


async def test_rules_on_trial_are_not_edited(firewall: Firewall) -> None:
    await firewall.api.data("POST", f"{OURS}/firewall/apply", *form({"confirm": 600}))
    status, body = await firewall.ask("PUT", f"{VM}/options", {"dhcp": 0})
    assert (status, "on trial" in body["message"]) == (409, True)
    await firewall.api.data("POST", f"{OURS}/confirm")
    await firewall.do("PUT", f"{VM}/options", {"dhcp": 0})


async def test_the_log_is_told_of_one_guest_or_all(firewall: Firewall) -> None:
    for vmid, hour in ((100, 10), (0, 11), (100, 12)):
        record = {"vmid": vmid, "time": f"2026-11-20T{hour}:00:00+00:00", "text": f"{vmid} at {hour}"}
        firewall.api.daemon.packets.lines.add(record)
    noon = 1795176000  # 2026-11-20 12:00 UTC
    status, body = await firewall.ask("GET", f"{NODE}/firewall/log?limit=2")
    assert (status, body) == (200, {"data": [{"n": 1, "t": "100 at 10"}, {"n": 2, "t": "0 at 11"}], "total": 3})
    assert [one["t"] for one in await firewall.get(f"{VM}/log")] == ["100 at 10", "100 at 12"]
    assert [one["t"] for one in await firewall.get(f"{VM}/log", since=noon)] == ["100 at 12"]
    assert [one["t"] for one in await firewall.get(f"{VM}/log", until=noon - 1, start=0)] == ["100 at 10"]
