"""Packets played on a real kernel and by the simulator: tests/packets/*.txt, with either way to know a connection.

The section ``packets-ct`` holds what fares otherwise where guests' packets are judged before they are translated, and
why.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from pvenetd.drivers.nft import tells_bridge
from pvenetd.firewall.macros import MACROS
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.simulate import Outcome
from tests.kernel.firewall import Guarded, Rules, chains_of, compiled, have_bridge_netfilter, load, sections
from tests.kernel.fwbr import iptables
from tests.kernel.lines import Line, parse
from tests.kernel.packets import Played, Player
from tests.kernel.simulated import outcome
from tests.kernel.world import World, inside, world

PACKETS = Path(__file__).parent.parent / "packets"
CASES = sorted(PACKETS.glob("*.txt"))
VLAN_CASES = sorted((PACKETS / "vlan-aware").glob("*.txt"))


def nftables(host: World, rules: Rules, *, design: Design) -> None:
    load(host, chains_of(rules, design))


@dataclass(frozen=True)
class Backend:
    """What renders and loads rules, and in what its packets fare otherwise than nftables' behind br_netfilter."""

    load: Callable[[World, Rules], object]
    bridge_nf: bool = True
    """Whether br_netfilter shows bridged packets to IP's hooks."""
    translates_first: bool = False
    """Whether NAT has a guest's packet before the guest's rules have."""

    def lines(self, files: dict[str, str]) -> list[Line]:
        """Return the packets of a case; of those with a section of their own, these."""
        return parse(
            files["packets" if self.translates_first else "packets-ct" if "packets-ct" in files else "packets"]
        )


MARK = Backend(partial(nftables, design="mark"), translates_first=True)
CT = Backend(partial(nftables, design="ct"), bridge_nf=False)
IPTABLES = Backend(iptables)
BACKENDS = [
    pytest.param(MARK, id="nftables-mark", marks=pytest.mark.netns),
    pytest.param(CT, id="nftables-ct", marks=pytest.mark.lab),
    pytest.param(IPTABLES, id="iptables", marks=pytest.mark.netns),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_packets_meet_their_verdict(case: Path, backend: Backend) -> None:
    play(case, backend)


@pytest.mark.lab
@pytest.mark.parametrize("backend", [MARK, CT, IPTABLES], ids=["nftables-mark", "nftables-ct", "iptables"])
@pytest.mark.parametrize("case", VLAN_CASES, ids=lambda case: case.stem)
def test_packets_in_vlans_meet_their_verdict(case: Path, backend: Backend) -> None:
    """… on a bridge that keeps them apart, which this machine's kernel cannot."""
    play(case, backend, vlans=True)


UNSEEN = {
    "cluster.fw": "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n",
    "100.fw": "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n",
    "packets": """\
outside vm/100  tcp  22 DROP
outside vm/100  tcp6 22 DROP
vm/100  outside udp  53 DROP
vm/100  host    tcp6 22 DROP
host    vm/100  udp  53 DROP
vm/109  outside udp  53 ACCEPT
""",
}


@pytest.mark.netns
def test_a_filtered_guest_is_cut_off_where_br_netfilter_does_not_show_its_packets() -> None:
    have_bridge_netfilter()
    with world(bridge_nf=False) as made:
        iptables(made, compiled(UNSEEN))
        lines = parse(UNSEEN["packets"])
        with Player(made) as player:
            assert player.verdicts(lines) == [line.verdict for line in lines]


def play(case: Path, backend: Backend, *, vlans: bool = False) -> None:
    """Play a case on the kernel and by the simulator, and tell of every packet that met another verdict."""
    files = sections(case.read_text())
    lines = backend.lines(files)
    if backend.bridge_nf:
        have_bridge_netfilter()
    with world(bridge_nf=backend.bridge_nf, vlans=vlans) as made:
        with inside(made.names["host"]):
            guarded = Guarded(tells_bridge=tells_bridge())
        rules = compiled(files, guarded)
        backend.load(made, rules)
        with Player(made) as player:
            played = player.play(lines)
        ways = {"translates_first": backend.translates_first, "vlans": vlans}
        simulated = [outcome(line, rules, made, **ways) for line in lines]
    wrong = [
        f"{line}: {kernel.verdict} {how} on the kernel, {simulation.verdict} {why} by the simulator"
        for line, kernel, simulation in zip(lines, played, simulated, strict=True)
        if [kernel.verdict, simulation.verdict, (how := _otherwise(line, kernel)), (why := _unlike(line, simulation))]
        != [line.verdict, line.verdict, "", ""]
    ]
    assert not wrong, "\n".join(wrong)


def _otherwise(line: Line, played: Played) -> str:
    """Return what a packet had, where it arrived and in the log, and should not have had."""
    had = {"log": ",".join(played.logged) or "-"}
    if played.heard:
        had |= {"seen": played.heard.source, "port": str(played.heard.dport)}
    return " ".join(f"{key} {found}" for key, found in had.items() if line.options.get(key, found) != found)


def _unlike(line: Line, simulation: Outcome) -> str:
    """Return what the simulator says that the line doesn't: where it ends, and what is logged."""
    logs = [hit.rule.log for step in simulation.steps for hit in step.hits if hit.rule.log]
    told = [f"{log.vmid}:{log.level}:{log.way}:{log.what.replace(' ', '_')}" for log in logs]
    had = {"log": ",".join(told) or "-"}
    if simulation.verdict == "ACCEPT" and "reaches" in line.options:
        had["reaches"] = simulation.reaches
    return " ".join(f"{key} {found}" for key, found in had.items() if line.options.get(key, found) != found)


def test_every_macro_of_the_documented_ones_is_asked_for() -> None:
    """… with packets that it lets through and packets that it does not, by a source of its own."""
    text = "".join(case.read_text() for case in CASES if case.stem.startswith("macros"))
    asked = dict(re.findall(r"^IN (\S+)\(ACCEPT\) -source (\S+)$", text, re.MULTILINE))
    verdicts = {source: set(re.findall(rf" (ACCEPT|DROP) +source={source}\b", text)) for source in asked.values()}
    assert {name.lower() for name in asked} == {macro.name.lower() for macro in MACROS.values()}
    assert [source for source, seen in verdicts.items() if seen != {"ACCEPT", "DROP"}] == []


def test_there_are_enough_packets() -> None:
    assert sum(len(parse(sections(case.read_text())["packets"])) for case in CASES) >= 1000
