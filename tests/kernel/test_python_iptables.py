"""python-iptables reads our chains back: other tools that use it find them as they are.

It is never in the daemon: it sees iptables-legacy alone, and its reading can crash a process (so it has one here).
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from pvenetd.firewall.iptables import parts
from pvenetd.firewall.iptables_commit import commit, read
from pvenetd.firewall.iptables_parts import comment, target
from tests.kernel.firewall import compiled
from tests.kernel.test_iptables_driver import FILES
from tests.netns import fresh

pytestmark = pytest.mark.netns

READER = """\
import iptc, json, sys
table = getattr(iptc, sys.argv[1])("filter")
def told(rule):
    notes = [match.comment for match in rule.matches if match.name == "comment"]
    return [rule.target.name if rule.target else "", *notes]
print(json.dumps({chain.name: [told(rule) for rule in chain.rules] for chain in table.chains}))
"""


def back(table: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", READER, table], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_reads_each_chain_with_its_rules_targets_and_lines() -> None:
    wanted = parts(compiled(FILES).ruleset)
    made = commit(read("", "", ""), wanted)
    with fresh():
        for text, *command in (
            (made.sets, "ipset", "restore", "-exist"),
            (made.v4, "iptables-legacy-restore", "--noflush"),
            (made.v6, "ip6tables-legacy-restore", "--noflush"),
        ):
            subprocess.run(command, input=text, text=True, check=True)
        found = {4: back("Table"), 6: back("Table6")}
    chains = [chain for part in wanted for chain in part.chains if chain.table == "filter"]
    assert {"tap100i0-IN", "tap101i0-OUT", "PVEFW-FORWARD", "GROUP-grp-IN"} <= {chain.name for chain in chains}
    for chain in chains:
        ours = [[target(rule), *filter(None, [comment(rule)])] for rule in chain.rules]
        assert found[chain.family][chain.name] == ours, f"{chain.name}, IPv{chain.family}"
    for part in wanted:
        for jump in (one for one in part.jumps if one.table == "filter"):
            assert [target(jump.rule), comment(jump.rule)] in found[jump.family][jump.chain]
