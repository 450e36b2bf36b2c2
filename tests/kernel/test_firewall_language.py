"""Whole firewall files drawn from the grammar: whatever is right in them, the kernel takes, and has then."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pvenetd.drivers.nft import Library, Nftables
from pvenetd.firewall.macros import MACROS
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.options import HELPERS, LEVELS
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.syntax import Config, parse_bridge, parse_cluster, parse_guest, parse_host
from pvenetd.plan import Op, plan
from pvenetd.state import Chains, State
from tests.kernel.firewall import DESIGNS, desired, have_bridge_netfilter
from tests.kernel.world import inside, world

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""What fails is not made smaller: that would take minutes."""

NAMES = ("one", "two-2", "Three_3")
V4 = ("192.0.2.1", "192.0.2.77/24", "0.0.0.0/0", "192.0.2.1-192.0.2.9", "192.0.2.0/25,192.0.2.200", "224.0.0.0/4")
V6 = ("2001:db8::1", "::/0", "2001:db8::-2001:db8::ff", "2001:db8::/32,::1", "fe80::/10")
ADDRESSES = st.sampled_from((*V4, *V6))
REFERENCES = st.tuples(st.sampled_from(["", "+", "+dc/", "dc/", "guest/", "+guest/"]), st.sampled_from(NAMES)).map(
    "".join
)
SIDES = ADDRESSES | REFERENCES | st.just("local_network")
PORTS = st.sampled_from(["22", "80,443", "1:1024", "0:65535", "0", "5,7:9,11:20,8"])
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "source": SIDES,
        "dest": SIDES,
        "sport": PORTS,
        "dport": PORTS,
        "icmp-type": st.sampled_from(["ping", "3", "3/4,0", "ttl-exceeded", "255/255", "any"]),
        "p": st.sampled_from(["tcp", "udp", "sctp", "dccp", "udplite", "icmp", "icmpv6", "gre", "0", "255"]),
        "log": st.sampled_from(LEVELS),
    },
)
ACTIONS = st.sampled_from(["ACCEPT", "DROP", "REJECT"])
HEADS = ACTIONS | st.tuples(st.sampled_from([one.name for one in MACROS.values()]), ACTIONS).map(
    lambda one: "{}({})".format(*one)
)
PICKED = st.sets(st.sampled_from(["source", "dest", "sport", "dport", "icmp-type", "p", "log"]), max_size=3)


@st.composite
def rules(draw: st.DrawFn, *ifaces: str) -> str:
    if draw(st.integers(0, 5)) == 0:
        line = f"GROUP {draw(st.sampled_from(NAMES))}"
    else:
        picked = draw(PICKED)
        said = [f"-{name} {value}" for name, value in draw(OPTIONS).items() if name in picked]
        line = " ".join([draw(st.sampled_from(["IN", "OUT", "FORWARD"])), draw(HEADS), *said])
    iface = draw(st.sampled_from(["", "", *ifaces]))
    return f"{line} -i {iface}" if iface else line


def section(header: str, lines: st.SearchStrategy[str], size: int = 5) -> st.SearchStrategy[str]:
    return st.lists(lines, max_size=size).map(lambda some: "\n".join([header, *some, ""]))


POLICIES = st.tuples(st.sampled_from(["policy_in", "policy_out", "policy_forward"]), st.just(": "), ACTIONS).map(
    "".join
)
LEVEL_LINES = st.tuples(
    st.sampled_from(
        [f"log_level_{way}" for way in ("in", "out", "forward")] + ["smurf_log_level", "tcp_flags_log_level"]
    ),
    st.just(": "),
    st.sampled_from(LEVELS),
).map("".join)
FLAGS = st.tuples(
    st.sampled_from(
        ["ebtables", "ndp", "nosmurfs", "tcpflags", "nf_conntrack_allow_invalid", "protection_synflood", "dhcp", "radv",
         "log_nf_conntrack", "macfilter", "ipfilter", "ips"]
    ),
    st.just(": "),
    st.sampled_from("01"),
).map("".join)  # fmt: skip
VALUES = st.sampled_from(
    [
        "log_ratelimit: 0",
        "log_ratelimit: burst=9,rate=20/minute",
        f"nf_conntrack_helpers: {','.join(HELPERS)}",
        "nf_conntrack_helpers: ftp",
        "protection_synflood_rate: 7",
        "ips_queues: 3:5",
        "layer2_protocols: ARP,88cc",
    ]
)
SETTINGS = POLICIES | LEVEL_LINES | FLAGS | VALUES
ENTRIES = st.tuples(st.sampled_from(["", "", "!"]), st.sampled_from([*V4[:4], *V6[:3], *NAMES, "dc/one"])).map("".join)
ALIASES = st.tuples(st.sampled_from(NAMES), st.just(" "), st.sampled_from([*V4[:4], *V6[:3]])).map("".join)
SETS = st.sampled_from([*NAMES, "management", "blacklist", "ipfilter-net0"]).flatmap(
    lambda name: section(f"[IPSET {name}]", ENTRIES)
)
GROUPS = st.sampled_from(NAMES).flatmap(lambda name: section(f"[group {name}]", rules()))


def files(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    head = section("[OPTIONS]\nenable: 1", SETTINGS, 4)
    return st.tuples(head, *parts).map("".join)


CLUSTERS = files(section("[ALIASES]", ALIASES), SETS, SETS, section("[RULES]", rules("vmbr0", "eno1")), GROUPS, GROUPS)
GUESTS = files(section("[ALIASES]", ALIASES), SETS, section("[RULES]", rules("net0", "net1"), 8))
HOSTS = files(section("[RULES]", rules("vmbr0", "lo")))
BRIDGES = files(section("[RULES]", rules()))


def right(text: str, parse: Callable[[str, str], Config], names: Callable[[Config], Names]) -> str:
    """Return *text* without what is wrong in it: the lines, and under a wrong header the section."""
    while True:
        config = parse(text, "f")
        found = {one.line for one in (*config.problems, *names(config).problems(config)) if one.severity == "error"}
        if not found:
            return text
        kept, skipped = [], False
        for number, line in enumerate(config.lines, 1):
            skipped = number in found if line.startswith("[") else skipped
            if not skipped and number not in found:
                kept.append(line)
        text = "".join(kept)


@st.composite
def whole(draw: st.DrawFn, design: Design) -> dict[str, str]:
    cluster = right(draw(CLUSTERS), parse_cluster, Names)
    known = parse_cluster(cluster, "f")
    guest = draw(GUESTS)
    if design == "mark":  # this kernel has no nft_queue
        guest = guest.replace("ips: 1", "ips: 0")
    return {
        "cluster.fw": cluster,
        "host.fw": right(draw(HOSTS), parse_host, lambda _: Names(known)),
        "100.fw": right(guest, parse_guest, lambda config: Names(known, config)),
        "vmbr0.fw": right(draw(BRIDGES), parse_bridge, lambda _: Names(known)),
    }


@pytest.fixture(scope="module")
def host() -> Iterator[None]:
    have_bridge_netfilter()
    with world(bridge_nf=True) as made, inside(made.names["host"]):
        yield


def load(wanted: State, *, by_wire: bool) -> dict[object, list[str]]:
    """Load *wanted* into empty tables, and return what the kernel has then."""
    Library().run("flush ruleset")
    driver = Nftables()
    for op in plan(wanted, driver.observe()):
        chains = op.resource
        if isinstance(chains, Chains) and not by_wire:
            driver.apply(Op(op.verb, chains.model_copy(update={"wire": None})))
        else:
            driver.apply(op)
    assert plan(wanted, driver.observe()) == ()
    return {key: sorted(one.text.splitlines()) for key, one in driver.observe().items() if isinstance(one, Chains)}


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("design", DESIGNS)
def test_the_kernel_takes_every_file_that_is_right(design: Design) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
    @given(drawn=whole(design), other=whole(design))
    def check(drawn: dict[str, str], other: dict[str, str]) -> None:
        wanted = desired(drawn, design)
        assert load(wanted, by_wire=True) == load(wanted, by_wire=False)
        driver, changed = Nftables(), desired(other, design)
        for op in plan(changed, driver.observe()):
            driver.apply(op)
        assert plan(changed, driver.observe()) == ()

    check()
