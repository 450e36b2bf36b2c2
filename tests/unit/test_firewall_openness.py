"""Garbage in the last line of any firewall file opens nothing, loaded before or not."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pvenetd.firewall.resolve import Names
from pvenetd.firewall.ruleset import Ruleset
from pvenetd.firewall.syntax import parse_bridge, parse_cluster, parse_guest, parse_host
from tests.harness import run_async
from tests.kernel.firewall import Rules
from tests.kernel.lines import parse
from tests.kernel.simulated import outcome
from tests.kernel.world import STATIONS, World
from tests.unit.rules_host import Host
from tests.unit.test_firewall_fuzz import LINES

FILES = {
    "cluster": """\
[OPTIONS]
enable: 1
policy_in: ACCEPT
policy_forward: DROP
policy_out: DROP
[RULES]
OUT ACCEPT -p udp -dport 53
IN DROP -p tcp -dport 80
FORWARD ACCEPT -p tcp -dport 22
[group web]
IN DROP -p tcp -dport 22 -source 192.0.2.101
IN ACCEPT -p tcp -dport 22
""",
    "host": """\
[OPTIONS]
nosmurfs: 1
[RULES]
IN ACCEPT -p tcp -dport 80
IN DROP -p tcp -dport 22
FORWARD DROP -p tcp -dport 22 -source 192.0.2.101
IN REJECT -p udp
""",
    "100": """\
[OPTIONS]
enable: 1
policy_in: ACCEPT
policy_out: REJECT
[IPSET ipfilter-net0]
192.0.2.100
[RULES]
IN DROP -p tcp -dport 80
OUT ACCEPT -p udp
IN DROP -p tcp
IN REJECT -p icmp
""",
    "vmbr0": """\
[OPTIONS]
enable: 1
policy_forward: ACCEPT
[RULES]
FORWARD DROP -p tcp -dport 80
FORWARD DROP -p tcp
FORWARD DROP -source 192.0.2.101
""",
}
PACKETS = parse("""\
outside vm/100 tcp 22 DROP
outside vm/100 tcp 80 DROP
outside vm/100 tcp6 80 DROP
outside vm/100 icmp 8 DROP
vm/109 vm/100 tcp 22 DROP
vm/101 vm/100 tcp 22 DROP
vm/101 vm/109 udp 53 DROP
vm/109 vm/101 tcp 80 DROP
vm/100 outside tcp 80 DROP
vm/100 outside udp6 53 DROP
vm/100 outside udp 53 DROP source=192.0.2.99
vm/100 vm/102 tcp 22 DROP
vm/101 vm/102 tcp 22 DROP
vm/102 vm/109 tcp 23 DROP
outside host tcp 22 DROP
outside host tcp 80 DROP
outside host udp6 53 DROP
vm/109 host tcp 81 DROP
host outside tcp 80 DROP
host outside udp 53 DROP
""")
"""Asked of both; what is said of them here means nothing."""
WORLD = World(
    addresses={(one.zone, 4): f"192.0.2.{one.number}" for one in STATIONS.values()}
    | {(one.zone, 6): f"2001:db8::{one.number:x}" for one in STATIONS.values()}
)


def opened(ruleset: Ruleset) -> set[str]:
    """Return the packets that pass."""
    rules = Rules(ruleset, None, ())
    asked = ((line, outcome(line, rules, WORLD, translates_first=False)) for line in PACKETS)
    return {str(line) for line, found in asked if found.verdict == "ACCEPT"}


def passing(*trees: dict[str, str]) -> set[str]:
    """Return the packets that pass when each of *trees* was loaded, one after the other."""
    found: set[str] = set()

    async def load(host: Host) -> None:
        for files in trees:
            for name, text in files.items():
                host.fw(name, text)
            await host.apply()
        found.update(opened(host.daemon.firewall.ruleset({})[0]))
        host.daemon.guests.close()

    with tempfile.TemporaryDirectory() as root:
        host = Host(Path(root))
        try:
            run_async(load(host))
        finally:
            host.engine.close()
    return found


def is_broken(tree: dict[str, str], name: str) -> bool:
    """Return whether the file *name* of *tree* has an error."""
    cluster = parse_cluster(tree["cluster"], "c")
    config = {"cluster": parse_cluster, "host": parse_host, "100": parse_guest}.get(name, parse_bridge)(tree[name], "f")
    names = Names(cluster, config) if name == "100" else Names(config if name == "cluster" else cluster)
    return any(one.severity == "error" for one in (*config.problems, *names.problems(config)))


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_garbage_in_the_last_line_opens_nothing(name: str, data: st.DataObject) -> None:
    """… where the file was loaded before it broke everything stays, and else nothing passes that did not without it."""
    rows = FILES[name].splitlines()
    end = data.draw(st.integers(2, len(rows)))
    garbage = data.draw(LINES | st.text(min_size=1), label="garbage")
    good = FILES | {name: "\n".join(rows[:end])}
    bad = FILES | {name: "\n".join([*rows[: end - 1], garbage])}
    assume("\n" not in garbage and is_broken(bad, name) and not is_broken(good, name))
    before = passing(good)
    assert passing(good, bad) == before
    assert passing(bad) <= before
