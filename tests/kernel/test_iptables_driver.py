"""The iptables driver on a real kernel: both families and the sets at once, aware of what others do to our chains."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from pvenetd.drivers.iptables import Iptables, clear
from pvenetd.drivers.nft import Library, Nftables
from pvenetd.errors import KernelError
from pvenetd.firewall import backend
from pvenetd.plan import Op, plan
from pvenetd.state import Chains, State, state
from tests.kernel.firewall import compiled, have_bridge_netfilter
from tests.kernel.world import World, inside, world
from tests.netns import lasting

pytestmark = pytest.mark.netns

CLUSTER = """\
[OPTIONS]
enable: 1
policy_in: ACCEPT
[IPSET web]
192.0.2.0/25
!192.0.2.3
2001:db8::/64
[group grp]
IN ACCEPT -p tcp -dport 99
"""
GUEST = """\
[OPTIONS]
enable: 1
[RULES]
IN ACCEPT -source +web -p tcp -dport 22,80
GROUP grp
OUT REJECT -p tcp -dport 25
"""
FILES = {"cluster.fw": CLUSTER, "100.fw": GUEST, "101.fw": GUEST}
OTHERS = ("-s 203.0.113.9/32 -j DROP", "-s 203.0.113.10/32 -j ACCEPT")
PROGRAMS = ("iptables", "ip6tables")


@pytest.fixture(scope="module")
def here() -> Iterator[World]:
    have_bridge_netfilter()
    with world(bridge_nf=True) as made:
        yield made


@pytest.fixture
def host(here: World) -> Iterator[World]:
    """Be in the host's namespace, with no ruleset but others' rules in iptables."""
    with inside(here.names["host"]):
        clear()
        Library().run("flush ruleset")
        for program in PROGRAMS:
            run(program, "-N", "DOCKER-USER")
            if program == "iptables":
                for chain, rule in (("FORWARD", OTHERS[0]), ("INPUT", OTHERS[1]), ("DOCKER-USER", OTHERS[0])):
                    run(program, "-A", chain, *rule.split())
        yield here


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def saved() -> list[str]:
    """Return what there is of iptables and ipset: chains, rules, entries, in order."""
    text = run("iptables-save") + run("ip6tables-save") + "".join(sorted(run("ipset", "save").splitlines(True)))
    return [line.split(" [")[0] for line in text.splitlines() if line[:1] in (":", "-", "a")]


def desired(files: dict[str, str]) -> State:
    found = compiled(files)
    return state(one for one in backend.pieces(found.ruleset, "iptables") if isinstance(one, Chains))


def bring(driver: Iptables, wanted: State) -> list[str]:
    """Bring the kernel to *wanted*, check that nothing is left to do, and return what was done."""
    ops = plan(wanted, driver.observe())
    for op in ops:
        driver.apply(op)
    assert plan(wanted, driver.observe()) == ()
    return [f"{op.verb} {op.resource.describe()}" for op in ops]


@pytest.mark.usefixtures("host")
def test_loading_is_idempotent_and_another_driver_sees_the_same() -> None:
    wanted = desired(FILES)
    loaded = bring(Iptables(Nftables()), wanted)
    assert loaded[0] == "+ chains base"
    names = ("groups", "host", "sets", "vm:100", "vm:101")
    assert sorted(loaded[1:]) == [f"+ chains {name}" for name in names]
    before = saved()
    assert bring(Iptables(Nftables()), wanted) == []
    assert saved() == before


@pytest.mark.usefixtures("host")
def test_all_of_it_goes_and_what_is_others_stays() -> None:
    before = [line for line in saved() if not line.startswith(":PVEFW")]
    driver = Iptables(Nftables())
    bring(driver, desired(FILES))
    bring(driver, {})
    assert [line for line in saved() if line.startswith("-") or "DOCKER" in line] == [
        line for line in before if line.startswith("-") or "DOCKER" in line
    ]
    assert not any("PVEFW" in line for line in saved())
    assert "chain vm-100-in" not in run("nft", "list", "ruleset")


@pytest.mark.usefixtures("host")
def test_a_changed_guest_touches_nobody_elses_counters() -> None:
    driver = Iptables(Nftables())
    bring(driver, desired(FILES))
    text = "*filter\n[7:700] -A tap101i0-IN -m comment --comment counted -j RETURN\nCOMMIT\n"
    subprocess.run(["iptables-restore", "--noflush", "--counters"], input=text, text=True, check=True)
    changed = desired(FILES | {"100.fw": GUEST.replace("25", "26")})
    ops = [op for op in plan(changed, Iptables(Nftables()).observe()) if op.resource.key[1] == "vm:100"]
    assert [op.verb for op in ops] == ["~"]
    driver.apply(*ops)
    assert "[7:700] -A tap101i0-IN" in run("iptables-save", "-c")
    assert "--dport 26 " in run("iptables-save")


@pytest.mark.parametrize(
    "words",
    [
        ("iptables", "-F", "tap100i0-IN"),
        ("iptables", "-D", "tap100i0-OUT", "1"),
        ("ip6tables", "-A", "tap100i0-IN", "-j", "ACCEPT"),
        ("ip6tables", "-F", "PVEFW-FWBR-IN"),
        ("iptables", "-F", "FORWARD"),
        ("nft", "flush", "ruleset"),
        ("nft", "delete", "element", "bridge", "pvenetd", "apart", "{ tap100i0 }"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("host")
def test_what_others_take_away_is_noticed_and_comes_back(words: tuple[str, ...]) -> None:
    driver, wanted = Iptables(Nftables()), desired(FILES)
    bring(driver, wanted)
    before = sorted(line for line in saved() if "203.0.113" not in line)
    driver.disturbed()
    run(*words)
    assert driver.disturbed()
    assert bring(driver, wanted)
    assert sorted(line for line in saved() if "203.0.113" not in line and "DOCKER" not in line) == [
        line for line in before if "DOCKER" not in line
    ]


@pytest.mark.usefixtures("host")
def test_a_piece_that_is_refused_leaves_everything_as_it_was() -> None:
    driver, wanted = Iptables(Nftables()), desired(FILES)
    bring(driver, wanted)
    before = saved(), lasting(run("nft", "-s", "list", "ruleset"))
    changed = desired(FILES | {"100.fw": GUEST.replace("25", "26")})["chains", "vm:100"]
    assert isinstance(changed, Chains)
    head, _, tail = changed.text.rpartition("--dport 26")  # IPv6's: IPv4's is right
    with pytest.raises(KernelError, match="nonsense"):
        driver.apply(Op("~", changed.model_copy(update={"text": f"{head}--dport nonsense{tail}"})))
    assert (saved(), lasting(run("nft", "-s", "list", "ruleset"))) == before
    assert plan(wanted, driver.observe()) == ()


@pytest.mark.usefixtures("host")
def test_a_set_that_changes_is_exchanged_below_the_rules_that_ask_it() -> None:
    driver = Iptables(Nftables())
    bring(driver, desired(FILES))
    rules = run("iptables-save")
    assert bring(driver, desired(FILES | {"cluster.fw": CLUSTER.replace("!192.0.2.3", "!192.0.2.4")})) == [
        "~ chains sets"
    ]
    assert [line for line in run("iptables-save").splitlines() if line[:1] == "-"] == [
        line for line in rules.splitlines() if line[:1] == "-"
    ]
    members = run("ipset", "save", "PVEFW-0-web-v4")
    assert "add PVEFW-0-web-v4 192.0.2.0/30\n" in members
    assert "add PVEFW-0-web-v4 192.0.2.5\n" in members


@pytest.mark.usefixtures("host")
def test_what_restores_a_piece_is_what_the_kernel_lists() -> None:
    driver, wanted = Iptables(Nftables()), desired(FILES)
    bring(driver, wanted)
    before = driver.observe()
    bring(driver, desired(FILES | {"100.fw": "[OPTIONS]\nenable: 1\n"}))
    assert bring(driver, before) == ["~ chains vm:100"], "as a rollback does it"
    assert plan(wanted, Iptables(Nftables()).observe()) == ()
