"""Every word of the ruleset on a real kernel: loaded as text and as messages, listed, and put back from the listing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pvenetd.drivers.nft import Library, Nftables
from pvenetd.firewall import abilities, nft
from pvenetd.firewall.leases import learning, muting, telling
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.ruleset import (
    ARP,
    ICMP,
    ICMP6,
    IP,
    TCP,
    UDP,
    Addresses,
    Chain,
    Hook,
    IcmpType,
    Limit,
    Log,
    NamedSet,
    Piece,
    Port,
    Rule,
    Ruleset,
    SetRef,
    Span,
    TcpFlags,
)
from pvenetd.plan import Op, plan
from pvenetd.state import Chains, State, state
from tests.kernel.firewall import DESIGNS, have_bridge_netfilter
from tests.kernel.world import inside, world

ONE, SOME = Addresses(4, (Span(0xC0000201, 0xC0000201),)), Addresses(4, (Span(1, 1), Span(0xC0000200, 0xC00002FF)))
NET, RANGE = Addresses(4, (Span(0xC0000200, 0xC000027F),)), Addresses(4, (Span(0xC0000201, 0xC0000209),))
ALL, NONE = Addresses(4, (Span(0, (1 << 32) - 1),)), Addresses(4, ())
SIX = 0x20010DB8 << 96
ONE6, SOME6 = Addresses(6, (Span(SIX, SIX),)), Addresses(6, (Span(SIX, SIX + 9), Span(SIX + 65536, SIX + 131071)))
TWO6 = Addresses(6, (Span(SIX, SIX), Span(SIX + 7, SIX + 7)))
MAC = "02:00:00:00:00:01"
LOG = Log(100, 6, "in", "policy DROP")
WORDS = [
    *(Rule("drop", not_source=side, origin="100.fw:1") for side in (ONE, SOME, NET, RANGE, ALL, NONE, ONE6, SOME6)),
    *(Rule("drop", source=side, origin="100.fw:2") for side in (ALL, NONE, SetRef("dc-x", 4), SetRef("dc-x", 6))),
    *(Rule("accept", not_dest=side) for side in (SOME, SOME6, SetRef("dc-x", 4))),
    *(Rule("drop", not_arp_source=side, origin="ipfilter") for side in (ONE, SOME, RANGE, ALL, NONE)),
    *(Rule("drop", not_nd_target=side, origin="ipfilter") for side in (ONE6, TWO6, SOME6)),
    Rule("drop", ethertypes=(ARP,), not_arp_mac="02:00:00:00:00:01"),
    *(
        Rule("drop", ethertypes=(IP,), protocol=UDP, dport=(Span(67, 67),), not_client_mac=MAC, direct=one)
        for one in (True, False)
    ),
    *(Rule("drop", protocol=ICMP6, icmp=(IcmpType(one),), not_link_mac=MAC) for one in (133, 135, 136)),
    *(Rule("drop", not_source=side, unless_learnt=True) for side in (ONE, SOME, ONE6, SOME6)),
    *(Rule("drop", ethertypes=(ARP,), not_arp_source=side, unless_learnt=True) for side in (ONE, SOME)),
    *(Rule("drop", not_nd_target=side, unless_learnt=True, origin="ipfilter") for side in (ONE6, TWO6)),
    *learning("tap100i0", MAC),
    *telling("tap100i0"),
    muting(547),
    muting(67, 547),
    Rule("log", limit=Limit(1, "second", 5), log=LOG, origin="100.fw:3"),
    Rule("log", log=Log(0, 7, "forward", "x" * 120), origin="100.fw:3"),
    Rule("log", protocol=TCP, dport=(Span(22, 22),), limit=Limit(3, "minute", 7), log=LOG, origin="y" * 200),
    Rule("drop", limit=Limit(10, "hour", 1, over=True)),
    Rule("return", protocol=UDP, sport=(Span(1, 5), Span(7, 7))),
    Rule("jump", target="group-web-in", origin="100.fw:4"),
    Rule("drop", protocol=TCP, tcp_flags=TcpFlags(23, 2)),
    Rule("drop", protocol=TCP, tcp_flags=TcpFlags(63, 0)),
    Rule("drop", tcp_flags=TcpFlags(6, 6)),
    Rule("drop", state=("invalid",)),
    Rule("accept", state=("established", "related")),
    Rule("accept", protocol=ICMP, icmp=(IcmpType(3, 4),)),
    Rule("accept", protocol=ICMP, icmp=(IcmpType(8), IcmpType(3))),
    Rule("reject", protocol=TCP, dport=(Span(25, 25),), origin="100.fw:5"),
    Rule("reject", oif="tap100i0", protocol=TCP, dport=(Span(26, 26),), origin="100.fw:6"),
]
COUNTED = Limit(200, "second", 1000, per_source=True, over=True)
FLOOD = Rule("drop", protocol=TCP, tcp_flags=TcpFlags(23, 2), limit=COUNTED, origin="protection_synflood")
HELPER = Rule("helper", protocol=TCP, dport=(Span(21, 21),), helper="ftp", origin="nf_conntrack_helpers")
HOST = Piece(
    "host",
    (
        Chain(
            "inet", "host-in", (Rule("drop", smurf=True, ethertypes=(IP,)), *WORDS[:12]), Hook("filter", "input", "0")
        ),
        Chain("inet", "host-forward", (Rule("drop", source=SetRef("dc-x", 6)),), Hook("filter", "forward", "filter")),
        Chain("inet", "host-synflood", (FLOOD,), Hook("filter", "prerouting", "-300")),
        Chain("bridge", "host-synflood", (FLOOD,), Hook("filter", "prerouting", "-300")),
        Chain("inet", "host-helpers", (HELPER,), Hook("filter", "prerouting", "-150")),
        Chain("bridge", "host-helpers", (HELPER,), Hook("filter", "prerouting", "-150")),
    ),
)
SETS = Piece(
    "sets",
    (),
    sets=(
        NamedSet("dc-x", 4, SOME.spans),
        NamedSet("dc-x", 6, SOME6.spans),
        NamedSet("dc-all", 4, ALL.spans),
        NamedSet("dc-none", 4, ()),
        NamedSet("dc-many", 4, tuple(Span(n * 4, n * 4 + 1) for n in range(999))),
    ),
)
GROUPS = Piece(
    "groups",
    (
        *(
            Chain(table, "group-web-in", (Rule("reject", dport=(Span(80, 80),), protocol=TCP),))
            for table in ("inet", "bridge")
        ),
        Chain("bridge", "group-web-out", (Rule("reject", source=SetRef("dc-x", 4)), Rule("accept"))),
        Chain("inet", "group-web-forward", (Rule("drop", state=("invalid",)),)),
    ),
)
BRIDGES = tuple(
    Piece(
        f"bridge:{name}", (Chain("bridge", f"bridge-{name}", (Rule("jump", target="group-web-forward"),)),), bridge=name
    )
    for name in ("vmbr0", "br-lan.long-one")
)


def guest(*rules: Rule, vmid: int = 100) -> Piece:
    name = f"vm-{vmid}"
    chains = (Chain("bridge", f"{name}-in", rules), Chain("bridge", f"{name}-out", (*rules, Rule("accept"))))
    return Piece(f"vm:{vmid}", chains, (Port(f"tap{vmid}i0", f"{name}-in", f"{name}-out", MAC), Port(f"tap{vmid}i1")))


def wanted(design: Design, *pieces: Piece) -> State:
    return state(one for one in nft.pieces(Ruleset(pieces), design) if isinstance(one, Chains))


def run(driver: Nftables, desired: State, *, by_wire: bool = True) -> list[str]:
    ops = plan(desired, driver.observe())
    for op in ops:
        assert isinstance(op.resource, Chains)
        driver.apply(op if by_wire else Op(op.verb, op.resource.model_copy(update={"wire": b""})))
    assert plan(desired, driver.observe()) == ()
    return [f"{op.verb} {op.resource.describe()}" for op in ops]


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    have_bridge_netfilter()
    with world(bridge_nf=False) as made, inside(made.names["host"]):
        yield


@pytest.fixture
def host(here: None) -> None:
    assert here is None
    Library().run("flush ruleset")


def tables() -> str:
    return "".join(Library().run(f"list table {table} pvenetd") for table in nft.TABLES)


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("design", DESIGNS)
def test_what_is_loaded_is_listed_and_can_be_put_back(design: Design) -> None:
    desired = wanted(design, SETS, GROUPS, HOST, *BRIDGES, guest(*WORDS))
    run(Nftables(), desired)
    before, there = tables(), Nftables().observe()
    assert plan(desired, there) == ()
    Library().run(nft.render(there.values()))
    assert sorted(tables().splitlines()) == sorted(before.splitlines())
    assert plan(desired, Nftables().observe()) == ()
    Library().run(nft.render(desired.values()))
    assert plan(desired, Nftables().observe()) == ()


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("design", DESIGNS)
def test_messages_say_every_word_of_a_guests(design: Design) -> None:
    desired = wanted(design, SETS, GROUPS, guest(*WORDS))
    piece = desired["chains", "vm:100"]
    assert isinstance(piece, Chains)
    assert piece.wire
    listed = []
    for by_wire in (True, False):
        Library().run("flush ruleset")
        run(Nftables(), desired, by_wire=by_wire)
        listed.append(tables())
    assert listed[0] == listed[1]


USES_X = (Rule("accept", source=SetRef("dc-x", 4)), Rule("jump", target="group-web-in"))


def smaller(piece: Piece, *names: str) -> Piece:
    """Return *piece* without the sets and chains of these names."""
    return Piece(
        piece.name,
        tuple(one for one in piece.chains if one.name not in names),
        sets=tuple(one for one in piece.sets if one.name not in names),
    )


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("design", DESIGNS)
def test_a_set_and_a_group_stay_until_nobody_refers_to_them(design: Design) -> None:
    """… with what is in them: a guest whose file is broken keeps the rules it had."""
    driver = Nftables()
    run(driver, wanted(design, SETS, GROUPS, guest(*USES_X), guest(*USES_X, vmid=101)))
    sets, groups = smaller(SETS, "dc-x"), smaller(GROUPS, "group-web-in", "group-web-out", "group-web-forward")
    run(driver, wanted(design, sets, groups, guest(*USES_X), guest(Rule("drop"), vmid=101)))
    assert "elements = { 0.0.0.1, 192.0.2.0/24 }" in tables()
    assert "th dport 80" in tables() or "tcp dport 80" in tables()
    assert plan(wanted(design, sets, groups, guest(*USES_X), guest(Rule("drop"), vmid=101)), Nftables().observe()) == ()
    run(driver, wanted(design, sets, groups, guest(Rule("drop")), guest(Rule("drop"), vmid=101)))
    for gone in ("dc-x-v4", "group-web-in"):
        assert gone not in tables()


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("design", DESIGNS)
def test_the_last_sets_stay_for_whom_they_hold(design: Design) -> None:
    driver = Nftables()
    run(driver, wanted(design, SETS, GROUPS, guest(*USES_X)))
    run(driver, wanted(design, guest(*USES_X)))
    assert "set dc-x-v4" in tables()
    assert "chain group-web-in" in tables()
    run(driver, wanted(design, guest(Rule("accept"))))
    assert "set dc-" not in tables()
    assert "chain group-" not in tables()


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    "meddling", ["flush set bridge pvenetd dc-x-v4", "delete element inet pvenetd dc-x-v4 { 0.0.0.1 }"]
)
def test_a_set_that_somebody_changed_is_healed(meddling: str) -> None:
    desired = wanted("mark", SETS, guest(*USES_X[:1]))
    driver = Nftables()
    run(driver, desired)
    Library().run(meddling)
    assert run(driver, desired) == ["~ chains sets"]


LACKING = [
    ("queue", Rule("queue", queue=Span(1, 3), origin="100.fw:2"), "accept"),
    ("log", Rule("log", log=LOG, origin="100.fw:2"), "continue"),
    ("helper ftp tcp", HELPER, "continue"),
]


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(("ability", "rule", "instead"), LACKING)
def test_what_the_kernel_lacks_is_said_and_keeps_nothing_from_being_loaded(
    ability: str, rule: Rule, instead: str
) -> None:
    desired = wanted("mark", Piece("host", (Chain("inet", "host-in", (rule,)),)))
    text = next(one.text for one in desired.values() if isinstance(one, Chains) and one.name == "host")
    assert list(abilities.asked(text)) == [ability]
    assert rule.origin in abilities.told(text, ability)
    run(Nftables(), desired)  # with what this kernel has
    Library().run("flush ruleset")
    left = abilities.without(text, frozenset({ability}))
    assert not list(abilities.asked(left))
    Library().run(nft.base("mark").text + left)
    assert plan(desired, Nftables().observe()) == ()
    assert f'{instead} comment "{rule.origin}"' in tables()


@pytest.mark.usefixtures("host")
def test_where_nobody_can_be_told_of_refusals_all_else_is_loaded() -> None:
    desired = wanted("mark", SETS, GROUPS, guest(*WORDS))
    pieces = sorted((one for one in desired.values() if isinstance(one, Chains)), key=lambda one: len(one.needs))
    assert {"answers"} <= {ability for one in pieces for ability in abilities.asked(one.text)}
    left = [abilities.without(one.text, frozenset({"answers"})) for one in pieces]
    Library().run("".join(left))
    assert "netdev" not in Library().run("list ruleset")
    assert plan(desired, Nftables().observe()) == ()


@pytest.mark.usefixtures("host")
def test_asking_what_the_kernel_has_disturbs_nobody() -> None:
    driver = Nftables()
    run(driver, wanted("mark"))
    driver.disturbed()
    run(driver, wanted("mark", guest(*(rule for _, rule, _ in LACKING[:2]))))
    assert not driver.disturbed()
