"""tests/rulesets/*.case: files in, the whole ruleset as text out; and the kernel takes it, and any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvenetd.drivers.nft import Library, Nftables
from pvenetd.firewall import nft
from pvenetd.firewall.iptables import parts
from pvenetd.firewall.layer2 import layer2
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.syntax import parse_cluster
from pvenetd.plan import Op, plan
from pvenetd.resource import Key
from pvenetd.state import Chains, State
from tests.kernel.firewall import DESIGNS, Guarded, Rules, compiled, desired, have_bridge_netfilter, sections
from tests.kernel.world import GUESTS, inside, world

CASES = sorted((Path(__file__).parent.parent / "rulesets").glob("*.case"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_ruleset_is_the_expected_one(case: Path, request: pytest.FixtureRequest) -> None:
    files = sections(case.read_text())
    idea = "".join(
        f"-- {name} --\n{text}" if name else text
        for name, text in files.items()
        if name not in ("ct", "mark", "iptables")
    )
    texts = {
        design: nft.render(desired(files, design, _guarded(files, design)).values())
        for design in cast("tuple[Design, ...]", ("ct", "mark"))
    }
    sections_of = {**texts, "iptables": _by_iptables(compiled(files, _guarded(files, "mark", behind=True)))}
    whole = idea + "".join(f"-- {name} --\n{text}" for name, text in sections_of.items())
    if request.config.getoption("--update"):
        case.write_text(whole)
    assert case.read_text() == whole


def _by_iptables(rules: Rules) -> str:
    """Return what iptables and ipset are to have, and the rest for nftables."""
    rest = [one for one in layer2(rules.ruleset, *rules.others) if isinstance(one, Chains)]
    return "".join(one.text for one in parts(rules.ruleset)) + nft.render(rest)


def _guarded(files: dict[str, str], design: Design, *, behind: bool = False) -> Guarded | None:
    """Return what the section ``guard`` says: bridges; devices that are known."""
    if "guard" not in files:
        return None
    bridges, _, known = files["guard"].partition(";")
    announced = tuple(vmid for vmid in GUESTS if f"{vmid}.fw" in files)
    return Guarded(tuple(bridges.split()), tuple(known.split()), announced, tells_bridge=design == "ct", behind=behind)


@pytest.fixture(scope="module")
def host() -> Iterator[None]:
    have_bridge_netfilter()
    with world(bridge_nf=True) as made, inside(made.names["host"]):
        yield


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_nft_loads_it_over_itself(case: Path, design: Design) -> None:
    text = sections(case.read_text())[design]
    for _ in range(2):
        Library().run(text)
    files = sections(case.read_text())
    wanted = desired(files, design, _guarded(files, design))
    assert plan(wanted, Nftables().observe()) == ()


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_messages_say_the_same_as_the_text(case: Path, design: Design) -> None:
    files = sections(case.read_text())
    wanted = desired(files, design, _guarded(files, design))
    assert listed(wanted, by_wire=True) == listed(wanted, by_wire=False)


def listed(wanted: State, *, by_wire: bool) -> dict[Key, list[str]]:
    """Return what nft lists of *wanted*, loaded by messages where there are some, or by text alone."""
    Library().run("flush ruleset")
    driver = Nftables()
    for op in plan(wanted, driver.observe()):
        chains = op.resource
        assert isinstance(chains, Chains)
        driver.apply(op if by_wire else Op(op.verb, chains.model_copy(update={"wire": b""})))
    return {key: sorted(one.text.splitlines()) for key, one in Nftables().observe().items()}


V4 = (
    "192.0.2.1",
    "192.0.2.0/24",
    "0.0.0.0/0",
    "192.0.2.1-192.0.2.9",
    "192.0.2.0/25,192.0.2.64/26,192.0.2.200",
    "224.0.0.0/4",
)
V6 = ("2001:db8::1", "::/0", "2001:db8::-2001:db8::ff", "2001:db8::/32,::1")
ADDRESSES = st.sampled_from((*V4, *V6))
PORTS = st.lists(
    st.integers(0, 65535).map(str)
    | st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda ends: "{}:{}".format(*sorted(ends))),
    min_size=1,
    max_size=7,
).map(",".join)
TYPES = st.lists(
    st.sampled_from(["ping", "3", "3/4", "0", "ttl-exceeded", "255/255", "echo-reply", "1/1"]), min_size=1, max_size=4
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "source": ADDRESSES,
        "dest": ADDRESSES,
        "sport": PORTS,
        "dport": PORTS,
        "icmp-type": TYPES.map(",".join),
        "p": st.sampled_from(
            ["tcp", "udp", "sctp", "dccp", "udplite", "icmp", "icmpv6", "gre", "47", "0", "255", "igmp"]
        ),
        "log": st.just("info"),
    },
)


@st.composite
def rule_lines(draw: st.DrawFn) -> str:
    head = f"{draw(st.sampled_from(['IN', 'OUT']))} {draw(st.sampled_from(['ACCEPT', 'DROP', 'REJECT']))}"
    return " ".join([head, *(f"-{name} {value}" for name, value in draw(OPTIONS).items())])


def files(lines: list[str], guest: list[str], policy: str) -> dict[str, str]:
    """Return the files with those of *lines* that can stand in one: the others are refused, which is another test's."""

    def good(some: list[str]) -> str:
        return "".join(f"{line}\n" for line in some if not parse_cluster(f"[RULES]\n{line}\n").broken)

    head = f"[OPTIONS]\nenable: 1\npolicy_in: {policy}\npolicy_out: {policy}\n[RULES]\n"
    return {"cluster.fw": head + good(lines), "100.fw": head + good(guest)}


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("design", DESIGNS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(rule_lines(), max_size=6),
    guest=st.lists(rule_lines(), max_size=6),
    policy=st.sampled_from(["ACCEPT", "DROP", "REJECT"]),
)
def test_the_kernel_takes_whatever_can_be_written(
    lines: list[str], guest: list[str], policy: str, design: Design
) -> None:
    """… and what it then has is what was wanted; put back from its own listing, it is so again."""
    wanted = desired(files(lines, guest, policy), design)
    driver = Nftables()
    for op in plan(wanted, driver.observe()):
        driver.apply(op)
    there = driver.observe()
    assert plan(wanted, there) == ()
    Library().run(nft.render(there.values()))
    assert plan(wanted, driver.observe()) == ()
    assert listed(wanted, by_wire=True) == listed(wanted, by_wire=False)
