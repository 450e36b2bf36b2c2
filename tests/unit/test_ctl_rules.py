"""pvenetctl firewall rule, options, group, ipset and alias, without a daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pvenetd.ctl.complete import candidates
from tests.unit.test_ctl import FILES, Run, ctl, root

__all__ = ["ctl", "root"]

FIREWALL = "etc/pvenetd/firewall"
TEXT = FILES[f"{FIREWALL}/100.fw"]
WRITTEN = (0, "written\n", "")


def text(root: Path, name: str) -> str:
    return (root / FIREWALL / f"{name}.fw").read_text()


def test_rules_are_added_changed_moved_and_deleted(ctl: Run, root: Path) -> None:
    assert ctl("firewall", "rule", "add", "vm/100", "type=out", "action=DROP", "comment=no way = out") == WRITTEN
    new = "OUT DROP # no way = out\n"
    assert text(root, "100") == TEXT.replace("IN", f"{new}IN"), "on, though the API has new rules off"
    assert ctl("firewall", "rule", "move", "vm/100", "0", "2") == WRITTEN
    assert text(root, "100") == TEXT + new
    assert ctl("firewall", "rule", "set", "vm/100", "1", "enable=0", "--delete", "comment") == WRITTEN
    assert text(root, "100") == TEXT + "|OUT DROP\n"
    status, out, _ = ctl("firewall", "rule", "list", "vm/100")
    assert (status, out.splitlines()[2].split()) == (0, ["1", "no", "out", "DROP", *"-----"])
    assert ctl("firewall", "rule", "delete", "vm/100", "1") == WRITTEN
    assert text(root, "100") == TEXT
    assert ctl("firewall", "rule", "delete", "vm/100", "1") == (1, "", "no rule at position 1\n")
    digest = json.loads(ctl("firewall", "rule", "list", "vm/100", "--json")[1])[0]["digest"]
    assert ctl("firewall", "rule", "set", "vm/100", "0", "dport=23", f"digest={digest}") == WRITTEN
    status, _, err = ctl("firewall", "rule", "set", "vm/100", "0", "dport=24", f"digest={digest}")
    assert (status, "detected modified configuration" in err) == (1, True)


def test_each_scope_is_a_file_of_its_own(ctl: Run, root: Path) -> None:
    rule = ("type=in", "action=ACCEPT")
    for scope, values, name in (
        ("host", rule, "host"),
        ("ct/200", rule, "200"),
        ("bridge/vmbr0", ("type=forward", "action=ACCEPT"), "vmbr0"),
    ):
        assert ctl("firewall", "rule", "add", scope, *values) == WRITTEN
        assert text(root, name) == f"[RULES]\n{values[0][5:].upper()} ACCEPT\n"
    assert ctl("firewall", "group", "create", "web", "comment=pages") == WRITTEN
    assert ctl("firewall", "rule", "add", "group/web", *rule) == WRITTEN
    assert ctl("firewall", "rule", "add", "cluster", "type=group", "action=web") == WRITTEN
    assert text(root, "cluster") == ("[OPTIONS]\nenable: 1\n\n[RULES]\nGROUP web\n\n[group web] # pages\nIN ACCEPT\n")
    assert ctl("firewall", "group", "set", "web", "rename=www") == WRITTEN
    assert "[RULES]\nGROUP www\n\n[group www] # pages\n" in text(root, "cluster")
    assert ctl("firewall", "group", "delete", "www") == (1, "", "group: Security group 'www' is not empty\n")


def test_options_are_shown_set_and_dropped(ctl: Run, root: Path) -> None:
    assert ctl("firewall", "options", "vm/100") == (0, "enable: 1\n", "")
    assert ctl("firewall", "options", "vm/100", "policy_in=ACCEPT", "--delete", "enable") == WRITTEN
    assert text(root, "100").startswith("[OPTIONS]\npolicy_in: ACCEPT\n[RULES]\n")
    status, _, err = ctl("firewall", "options", "host", "enable=maybe", "nf_conntrack_max=1")
    assert (status, [line.partition(":")[0] for line in err.splitlines()]) == (1, ["enable", "nf_conntrack_max"])


def test_sets_and_aliases(ctl: Run, root: Path) -> None:
    assert ctl("firewall", "ipset", "create", "cluster", "lan") == WRITTEN
    assert ctl("firewall", "ipset", "add", "cluster", "lan", "192.0.2.0/24", "comment=all") == WRITTEN
    assert ctl("firewall", "ipset", "add", "cluster", "lan", "192.0.2.7", "nomatch=1") == WRITTEN
    assert "[IPSET lan]\n192.0.2.0/24 # all\n!192.0.2.7\n" in text(root, "cluster")
    assert ctl("firewall", "ipset", "change", "cluster", "lan", "192.0.2.7", "nomatch=0") == WRITTEN
    assert "left out" not in ctl("firewall", "ipset", "show", "cluster", "lan")[1]
    assert ctl("firewall", "ipset", "remove", "cluster", "lan", "192.0.2.0/24") == WRITTEN
    assert ctl("firewall", "ipset", "set", "cluster", "lan", "rename=net", "comment=one") == WRITTEN
    assert "[IPSET net] # one\n192.0.2.7\n" in text(root, "cluster")
    assert ctl("firewall", "ipset", "delete", "cluster", "net")[0] == 1
    assert ctl("firewall", "ipset", "delete", "cluster", "net", "--force") == WRITTEN
    assert ctl("firewall", "alias", "create", "vm/100", "db", "2001:db8::1") == WRITTEN
    assert ctl("firewall", "alias", "set", "vm/100", "db", "cidr=2001:db8::2", "rename=data") == WRITTEN
    assert "data 2001:db8::2\n" in text(root, "100")
    assert "data" in ctl("firewall", "alias", "list", "vm/100")[1]
    assert ctl("firewall", "rule", "add", "vm/100", "type=out", "action=DROP", "dest=data") == WRITTEN
    status, _, err = ctl("firewall", "alias", "delete", "vm/100", "data")
    assert (status, err) == (1, f"name: is used: /{FIREWALL}/100.fw:7\n")


@pytest.mark.parametrize(
    "words",
    ["rule list vm/99", "rule list nowhere", "rule set vm/100 first log=info", "rule add host type", "ipset list host",
     "options group/web", "alias list bridge/vmbr0"],
)  # fmt: skip
def test_what_is_no_scope_or_position_is_wrong_usage(ctl: Run, words: str) -> None:
    assert ctl("firewall", *words.split())[0] == 2


def test_completion_knows_the_firewalls_there_are_and_the_keys(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVENETD_ROOT", str(root))
    (root / FIREWALL / "cluster.fw").write_text("[group web]\n")
    assert {"cluster", "host", "vm/100", "group/web"} <= set(candidates(["firewall", "rule", "list", ""]))
    assert "group/web" not in candidates(["firewall", "options", ""])
    assert "dport=" in candidates(["firewall", "rule", "add", "vm/100", ""])
    assert candidates(["firewall", "options", "host", "nf_conntrack_m"]) == ["nf_conntrack_max="]
    assert candidates(["firewall", "options", "vm/100", "--delete", "mac"]) == ["macfilter"]
