"""The nftables driver on a real kernel: atomic, by piece, aware of what others do to our tables."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from pvenetd.drivers.nft import Generation, Library, Nftables, obstacle, probe
from pvenetd.errors import ConfigError, KernelError
from pvenetd.firewall.nft_base import Design
from pvenetd.plan import Op, plan, steps
from pvenetd.state import Chains, State
from tests.kernel.firewall import desired, have_bridge_netfilter, load
from tests.kernel.lines import Line
from tests.kernel.packets import Player
from tests.kernel.world import World, inside, world
from tests.netns import lasting

pytestmark = pytest.mark.netns

CLUSTER = "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n"
GUEST = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 22,80\nOUT REJECT -p tcp -dport 25\n"
FILES = {"cluster.fw": CLUSTER, "100.fw": GUEST, "101.fw": GUEST, "nat": ""}
MASQUERADE = "iptables -t nat -A POSTROUTING -s 198.51.100.0/24 -o vmbr0 -j MASQUERADE"


@pytest.fixture(scope="module")
def here() -> Iterator[World]:
    have_bridge_netfilter()
    with world(bridge_nf=True) as made:
        yield made


@pytest.fixture
def host(here: World) -> Iterator[World]:
    """Be in the host's namespace, with no ruleset."""
    with inside(here.names["host"]):
        Library().run("flush ruleset")
        yield here


def nft(*words: str) -> str:
    return subprocess.run(["nft", *words], check=True, capture_output=True, text=True).stdout


def run(driver: Nftables, wanted: State) -> list[str]:
    ops = plan(wanted, driver.observe())
    for op in ops:
        driver.apply(op)
    return [f"{op.verb} {op.resource.describe()}" for op in ops]


@pytest.mark.usefixtures("host")
def test_the_probe_tells_and_leaves_nothing() -> None:
    assert probe() == "mark"  # br_netfilter is on here, so bridge conntrack must not be used beside it
    assert obstacle("mark") == ""
    assert nft("-s", "list", "ruleset") == ""


@pytest.mark.usefixtures("host")
def test_loading_is_idempotent_and_another_driver_sees_the_same() -> None:
    wanted = desired(FILES | {"nat": MASQUERADE}, "mark")
    loaded = run(Nftables(), wanted)
    assert loaded[0] == "+ chains base"
    assert sorted(loaded[1:]) == [
        *("+ chains groups", "+ chains host", "+ chains nat", "+ chains vm:100", "+ chains vm:101")
    ]
    again = Nftables()
    assert plan(wanted, again.observe()) == ()
    owners = {key[1]: one.owner for key, one in again.observe().items()}
    assert owners == {
        "base": "firewall",
        "groups": "firewall",
        "host": "firewall",
        "nat": "interfaces",
        "vm:100": "vm:100",
        "vm:101": "vm:101",
    }


@pytest.mark.usefixtures("host")
def test_a_piece_can_be_read_alone() -> None:
    driver = Nftables()
    run(driver, desired(FILES, "mark"))
    everything = driver.observe()
    assert driver.observe(["vm:100", "host", "vm:999"]) == {
        key: everything[key] for key in (("chains", "host"), ("chains", "vm:100"))
    }
    assert driver.observe([]) == {}


def test_replacing_one_guest_keeps_the_others_counters(here: World) -> None:
    driver = load(here, desired(FILES, "mark"))
    with Player(here) as player:
        assert (
            player.verdicts([Line("outside", "vm/100", "tcp", 22), Line("outside", "vm/101", "tcp", 22)])
            == ["ACCEPT"] * 2
        )
    changed = desired(FILES | {"100.fw": GUEST.replace("22,80", "443")}, "mark")
    with inside(here.names["host"]):
        assert run(driver, changed) == ["~ chains vm:100"]
        assert _packets("vm-101-in", "101.fw:4") == 1
        assert _packets("vm-100-in", "100.fw:4") == 0
    with Player(here) as player:
        assert player.verdicts([Line("outside", "vm/100", "tcp", port) for port in (22, 443)]) == ["DROP", "ACCEPT"]


@pytest.mark.parametrize(
    ("by_wire", "anew", "port"),
    [(True, False, 22), (False, False, 80), (True, True, 8080)],
    ids=["messages", "text", "messages, by a new daemon"],
)
def test_rules_that_say_the_same_go_on_counting(here: World, port: int, *, by_wire: bool, anew: bool) -> None:
    """… whichever line of the file they are on; one that says something else begins at nothing."""
    # A port for each row: a flow that was seen before would be established.
    with inside(here.names["host"]):
        Library().run("flush ruleset")
    guest = GUEST.replace("22,80", "22,80,8080")
    driver = load(here, desired(FILES | {"100.fw": guest}, "mark"))
    with Player(here) as player:
        player.verdicts([Line("outside", "vm/100", "tcp", port), Line("vm/100", "outside", "tcp", 25)])
    changed = guest.replace("[RULES]\n", "[RULES]\nIN DROP -p tcp -dport 443\n").replace("25", "26")
    wanted = desired(FILES | {"100.fw": changed}, "mark")
    piece = wanted["chains", "vm:100"]
    assert isinstance(piece, Chains)
    with inside(here.names["host"]):
        driver = Nftables() if anew else driver
        driver.apply(Op("~", piece if by_wire else piece.model_copy(update={"wire": None})))
        assert plan(wanted, driver.observe()) == ()
        assert [_packets(f"vm-100-{way}", f"100.fw:{line}") for way, line in (("in", 4), ("in", 5), ("out", 6))] == [
            0,
            1,
            0,
        ]


def _packets(chain: str, origin: str) -> int:
    found = re.search(
        rf'counter packets (\d+) bytes \d+ [\w -]+ comment "{origin}"', nft("list", "chain", "bridge", "pvenetd", chain)
    )
    assert found
    return int(found[1])


@pytest.mark.usefixtures("host")
def test_everything_goes_with_the_base_and_foreign_tables_stay() -> None:
    Library().run("table inet theirs {\n\tchain c {\n\t}\n}\n")
    driver = Nftables()
    run(driver, desired(FILES, "mark"))
    assert run(driver, {})[-1] == "- chains base"
    assert re.findall(r"^table .*", nft("-s", "list", "ruleset"), re.MULTILINE) == ["table inet theirs {"]


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("meddling", "healed"),
    [
        ("flush ruleset", ["+ chains base", "+ chains groups", "+ chains host", "+ chains vm:100", "+ chains vm:101"]),
        (
            "delete table bridge pvenetd",
            ["+ chains vm:100", "+ chains vm:101", "~ chains base", "~ chains groups", "~ chains host"],
        ),
        ("delete table netdev pvenetd", ["~ chains base", "~ chains groups"]),
        ("delete table inet pvenetd", ["~ chains base", "~ chains host"]),
        ("flush table bridge pvenetd", ["~ chains base", "~ chains groups", "~ chains vm:100", "~ chains vm:101"]),
        ("flush chain bridge pvenetd vm-100-in", ["~ chains vm:100"]),
        ("flush map bridge pvenetd in", ["~ chains vm:100", "~ chains vm:101"]),
        ('delete element bridge pvenetd out { "tap101i0" }', ["~ chains vm:101"]),
        ("add rule inet pvenetd host-in accept", ["~ chains host"]),
    ],
)
def test_what_others_break_is_seen_and_healed(meddling: str, healed: list[str]) -> None:
    wanted = desired(FILES, "mark")
    driver = Nftables()
    run(driver, wanted)
    Library().run(meddling)
    assert sorted(run(driver, wanted)) == healed
    assert plan(wanted, driver.observe()) == ()


OTHERS = "table inet theirs {\n\tchain c {\n\t\tcounter\n\t}\n}\n"


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("commands", "ours"),
    [
        ([OTHERS], False),
        ([OTHERS, "delete table inet theirs"], False),
        ([OTHERS] * 3, False),
        (["table ip pvenetd-x {\n}\n"], False),
        ([OTHERS + "add rule inet pvenetd host-in accept\n"], True),
        ([OTHERS, 'delete element bridge pvenetd out { "tap101i0" }', OTHERS], True),
        (["flush ruleset"], True),
        ([OTHERS, "flush ruleset", OTHERS], True),
    ],
)
def test_only_what_others_do_to_our_tables_disturbs_us(commands: list[str], ours: bool) -> None:
    wanted = desired(FILES, "mark")
    driver = Nftables()
    run(driver, wanted)
    driver.disturbed()
    for _ in range(2):
        for one in commands:
            Library().run(one)
        assert driver.disturbed() is ours
        assert (plan(wanted, driver.observe()) != ()) is ours
        run(driver, wanted)
        assert plan(wanted, Nftables().observe()) == ()
        driver.disturbed()
        Library().run("add table inet theirs\ndelete table inet theirs\n")


@pytest.mark.usefixtures("host")
def test_who_was_not_told_everything_looks_for_himself() -> None:
    """The kernel keeps only so much for who does not read."""
    wanted = desired(FILES, "mark")
    driver = Nftables()
    run(driver, wanted)
    driver.disturbed()
    library = Library()
    library.run('delete element bridge pvenetd out { "tap101i0" }')
    rules = "".join(f"\t\tip saddr 192.0.2.{number % 256} counter\n" for number in range(2000))
    for _ in range(20):
        library.run(f"table inet theirs {{\n\tchain c {{\n{rules}\t}}\n}}\n")
    assert driver.disturbed()
    assert [op.resource.key for op in plan(wanted, driver.observe())] == [("chains", "vm:101")]


@pytest.mark.usefixtures("host")
def test_a_change_behind_the_drivers_back_is_read_before_giving_up() -> None:
    driver = Nftables()
    wanted = desired(FILES, "mark")
    run(driver, wanted)
    Library().run("flush ruleset")
    for resource in wanted.values():
        driver.apply(Op("~", resource))  # planned before the flush
    assert plan(wanted, driver.observe()) == ()


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("wire", [b"", b"\x14\0\0\0\x03\x0a\1\4" + bytes(8) + b"\7\0\0\0"], ids=["text", "messages"])
def test_a_refused_piece_changes_nothing_and_says_why(wire: bytes) -> None:
    driver = Nftables()
    wanted = desired(FILES, "mark")
    run(driver, wanted)
    before = lasting(nft("-s", "list", "ruleset"))
    broken = wanted["chains", "vm:100"]
    assert isinstance(broken, Chains)
    text = broken.text + "add rule bridge pvenetd vm-100-in goto nowhere\n"
    op = Op("~", broken.model_copy(update={"text": text, "wire": lambda _: wire}))
    with pytest.raises(KernelError, match=r"~ chains vm:100: .*No such file or directory") as caught:
        driver.apply(op)
    assert caught.value.errno == 2
    assert lasting(nft("-s", "list", "ruleset")) == before


@pytest.mark.usefixtures("host")
def test_many_guests_are_one_transaction_all_of_them_or_none() -> None:
    driver = Nftables()
    wanted = desired(FILES, "mark")
    run(driver, {key: one for key, one in wanted.items() if not key[1].startswith("vm:")})
    (loads,) = [step for step in steps(plan(wanted, driver.observe())) if step[0].is_guests_chains]
    assert [op.resource.key[1] for op in loads] == ["vm:100", "vm:101"]

    refused = wanted["chains", "vm:101"].model_copy(update={"text": "add rule bridge pvenetd nowhere\n", "wire": b""})
    before = lasting(nft("-s", "list", "ruleset"))
    with pytest.raises(KernelError, match=r"vm:100 .*, .* vm:101"):
        driver.apply(loads[0], Op("+", refused))
    assert lasting(nft("-s", "list", "ruleset")) == before

    generation = Generation()
    was = generation.now()
    driver.apply(*loads)
    assert generation.now() == was + 1
    assert plan(wanted, driver.observe()) == ()


@pytest.mark.usefixtures("host")
def test_a_rollback_puts_back_what_was_there() -> None:
    driver = Nftables()
    run(driver, desired(FILES, "mark"))
    before = Nftables().observe()
    run(driver, desired({"cluster.fw": CLUSTER, "100.fw": GUEST.replace("25", "26"), "nat": MASQUERADE}, "mark"))
    run(driver, before)
    after = Nftables().observe()
    assert {key: one.digest for key, one in after.items()} == {key: one.digest for key, one in before.items()}
    assert after["chains", "vm:100"] == before["chains", "vm:100"]


@pytest.mark.usefixtures("host")
def test_a_broken_file_is_refused_whole_and_what_is_loaded_stays() -> None:
    driver = Nftables()
    run(driver, desired(FILES, "mark"))
    before = lasting(nft("-s", "list", "ruleset"))
    with pytest.raises(ConfigError) as caught:
        desired(FILES | {"100.fw": f"{GUEST}IN DENY -p tcp\nIN ACCEPT -dport 1\n"}, "mark")
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [("100.fw", 6), ("100.fw", 7)]
    assert lasting(nft("-s", "list", "ruleset")) == before


@pytest.mark.usefixtures("host")
def test_the_design_can_change_below_loaded_guests() -> None:
    designs: tuple[Design, ...] = ("ct", "mark") if _bridge_conntrack() else ("mark", "mark")
    driver = Nftables()
    for design in (*designs, *designs):
        wanted = desired(FILES, design)
        run(driver, wanted)
        assert plan(wanted, driver.observe()) == ()


def _bridge_conntrack() -> bool:
    chain = "\tchain c {\n\t\ttype filter hook prerouting priority 0;\n\t\tct state new\n\t}\n"
    try:
        Library().run(f"table bridge t {{\n{chain}}}\ndelete table bridge t\n")
    except OSError:
        return False
    return True


def test_an_established_connection_survives_new_rules(here: World) -> None:
    """A reply is let in by its connection's state, which no replacement of chains touches."""
    load(here, desired(FILES, "mark"))
    with Player(here) as player:
        assert player.verdicts([Line("vm/100", "outside", "udp", 5000, options={"sport": "5001"})]) == ["ACCEPT"]
        load(here, desired(FILES | {"100.fw": GUEST.replace("22,80", "443")}, "mark"))
        assert player.verdicts([Line("outside", "vm/100", "udp", 5001, options={"sport": "5000"})]) == ["ACCEPT"]
        assert player.verdicts([Line("outside", "vm/100", "udp", 5001, options={"sport": "5002"})]) == ["DROP"]
