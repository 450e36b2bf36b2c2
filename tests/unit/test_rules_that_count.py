"""Which rules count: a broken file's as they were, for its own guest alone; nothing is opened by a typo."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.rule_files import GRACE, SETTLED
from pvenetd.daemon.store import Store
from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Conflict, KernelError
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from pvenetd.plan import Op
from pvenetd.settings import Settings
from pvenetd.state import Chains
from tests.patience import PATIENCE

ON = "[OPTIONS]\nenable: 1\n"
RULES = f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 22\n"
OTHERS = f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 80\n"
BROKEN = f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 99999\n"


ALTERNATIVE = "enp0s31f6-on-the-left"


class Host:
    """Guests 100 to 102 with a filtered NIC on a fake machine, and a clock that is set by hand."""

    def __init__(self, root: Path) -> None:
        self.root = Files(root)
        self.machine = Fake([Bridge(name="vmbr0")])
        self.put("etc/network/interfaces", "auto lo\niface lo inet loopback\n")
        for vmid in (100, 101, 102):
            line = f"net0: virtio=02:00:00:00:00:{vmid - 100:02x},bridge=vmbr0,firewall=1\n"
            self.put(f"etc/pvenetd/qemu-server/{vmid}.conf", line)
        self.time = 0.0
        self.start()

    def start(self) -> None:
        """Start a daemon, as after a restart."""
        self.engine = Engine(self.machine, Journal(self.root))
        self.daemon = Daemon(Store(self.root), self.engine, Journal(self.root), Settings(), "ct")
        self.daemon.firewall.files.clock = lambda: self.time

    def put(self, name: str, text: str | None) -> None:
        self.root.put(name, None if text is None else text.encode())

    def fw(self, name: str, text: str | None) -> None:
        self.put(f"etc/pvenetd/firewall/{name}.fw", text)

    async def apply(self) -> dict[str, str]:
        """Do what `firewall apply` does."""
        self.daemon.firewall.files.decide()
        return await self.follow()

    async def follow(self) -> dict[str, str]:
        """Do what follows from a change of files."""
        failed = await self.daemon.load()
        await self.daemon.firewall.files.flush()
        return failed

    async def reboot(self) -> None:
        """Forget all that a kernel knows."""
        self.engine.close()
        self.machine = Fake([Bridge(name="vmbr0")])
        self.start()
        await self.follow()

    def chains(self, name: str) -> str:
        found = self.machine.observe().get(("chains", name))
        return found.text if isinstance(found, Chains) else ""

    def of(self, vmid: int) -> str:
        """Return what guest's chains do: its port 22, its port 80, dropping all, nothing, or that there are none."""
        text = self.chains(f"vm:{vmid}")
        for word, sign in (("closed", "broken rules"), ("ssh", "dport 22"), ("web", "dport 80"), ("open", ": accept")):
            if sign in text:
                return word
        return "rules" if text else "none"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    made.fw("cluster", ON)
    yield made
    made.engine.close()


async def test_a_rule_follows_the_alternative_name_of_its_interface(host: Host) -> None:
    host.fw("host", f"[RULES]\nIN DROP -i {ALTERNATIVE}\n")
    assert await host.apply() == {}
    assert "host.fw:2" not in host.chains("host")
    for name in ("eno7", "eno8"):
        host.machine.appear(Ethernet(name=name, altnames=(ALTERNATIVE,)))
        await host.daemon.noticed()
        assert f'iifname "{name}" counter drop comment "host.fw:2"' in host.chains("host")
        host.machine.vanish(name)


async def test_a_broken_file_keeps_its_guests_chains_and_nobody_elses(host: Host) -> None:
    for vmid in (100, 101):
        host.fw(str(vmid), RULES)
    assert await host.apply() == {}
    host.fw("100", BROKEN)
    host.fw("101", OTHERS)
    failed = await host.apply()
    assert list(failed) == ["vm:100"]
    assert "100.fw:4" in failed["vm:100"]
    assert (host.of(100), host.of(101), host.of(102)) == ("ssh", "web", "open")


async def test_it_keeps_them_through_a_reboot(host: Host) -> None:
    host.fw("100", RULES)
    await host.apply()
    host.fw("100", BROKEN)
    await host.apply()
    await host.reboot()
    assert host.of(100) == "ssh"


async def test_without_any_all_its_traffic_is_dropped(host: Host) -> None:
    host.fw("100", BROKEN)
    await host.apply()
    assert (host.of(100), host.of(101)) == ("closed", "open")
    await host.reboot()
    assert host.of(100) == "closed"
    host.fw("100", RULES)
    assert await host.apply() == {}
    assert host.of(100) == "ssh"


async def test_a_guest_that_runs_and_never_had_rules_stays_plugged_and_is_closed(host: Host) -> None:
    host.machine.appear(Tap(name="tap100i0", up=False, made_here=False))
    await host.apply()
    assert host.of(100) == "open"
    host.fw("100", BROKEN)
    await host.apply()
    assert host.of(100) == "closed"
    tap = host.machine.observe()["link", "tap100i0"]
    assert isinstance(tap, Tap)
    assert tap.master == "vmbr0"
    with pytest.raises(ConfigError):
        await host.daemon.guests.prepare(100)


@pytest.mark.parametrize("typo", ["enable: yes\n", "enable: 1\nenabel: 1\n", "policy_in: DENY\n"])
async def test_a_typo_in_the_clusters_file_opens_nothing(host: Host, typo: str) -> None:
    host.fw("cluster", f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 8443\n")
    host.fw("100", RULES)
    await host.apply()
    before = host.chains("host")
    host.fw("cluster", f"[OPTIONS]\n{typo}")
    host.fw("100", OTHERS)
    failed = await host.apply()
    assert "cluster.fw:" in failed["firewall"]
    assert (host.chains("host"), host.of(100)) == (before, "web")
    await host.reboot()
    assert (host.chains("host"), host.of(100)) == (before, "web")
    host.fw("cluster", "[OPTIONS]\nenable: 0\n")
    assert await host.apply() == {}
    assert (host.chains("host"), host.of(100)) == ("", "none")


async def test_a_clusters_file_that_never_was_right_closes(host: Host) -> None:
    host.fw("cluster", "[OPTIONS]\nenable: yes\n")
    host.fw("100", RULES)
    assert list(await host.apply()) == ["firewall"]
    assert host.of(100) == "ssh"
    assert 'drop comment "policy_in"' in host.chains("host")


async def test_a_hosts_file_that_never_was_right_lets_its_own_services_in_alone(host: Host) -> None:
    host.fw("cluster", "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n[RULES]\nIN ACCEPT -p tcp -dport 8443\n")
    host.fw("host", "[RULES]\nIN DROP -p tpc\n")
    assert list(await host.apply()) == ["firewall"]
    assert "8443" not in host.chains("host")
    assert 'drop comment "policy_in"' in host.chains("host")
    host.fw("host", "")
    assert await host.apply() == {}
    assert "8443" in host.chains("host")


@pytest.mark.parametrize("name", ["cluster", "100"])
@pytest.mark.parametrize("text", [None, ""])
async def test_a_file_that_goes_opens_nothing_until_it_has_been_gone_for_a_moment(
    host: Host, name: str, text: str | None
) -> None:
    host.fw("100", RULES)
    await host.apply()
    host.fw(name, text)
    await host.follow()
    assert host.of(100) == "ssh"
    host.fw(name, ON if name == "cluster" else OTHERS)
    await host.follow()
    assert host.of(100) == ("ssh" if name == "cluster" else "web")
    host.fw(name, text)
    await host.follow()
    host.time += GRACE
    await host.follow()
    assert host.of(100) == ("none" if name == "cluster" else "open")


async def test_who_asks_for_the_rules_that_are_there_need_not_wait(host: Host) -> None:
    host.fw("100", RULES)
    await host.apply()
    host.fw("cluster", None)
    await host.apply()
    assert host.of(100) == "none"


async def test_a_guest_that_is_gone_leaves_nothing_to_who_comes_with_its_number(host: Host) -> None:
    host.fw("100", RULES)
    await host.apply()
    conf = host.root.read("etc/pvenetd/qemu-server/100.conf")
    host.root.put("etc/pvenetd/qemu-server/100.conf", None)
    await host.apply()
    host.root.put("etc/pvenetd/qemu-server/100.conf", conf)
    host.fw("100", BROKEN)
    await host.apply()
    assert host.of(100) == "closed"


async def test_what_is_everybodys_changes_only_the_guests_that_it_changes(host: Host) -> None:
    for vmid in (100, 101, 102):
        host.fw(str(vmid), RULES)
    await host.apply()
    done = told(host.machine)
    host.fw("cluster", f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 8443\n")
    assert await host.daemon.load_rules() == {}
    assert [str(op.resource.key[1]) for ops in done for op in ops] == ["host"]


async def test_one_guest_that_the_kernel_refuses_keeps_nobody_else_out(host: Host) -> None:
    host.fw("cluster", "[OPTIONS]\nenable: 0\n")
    for vmid in (100, 101, 102):
        host.fw(str(vmid), RULES)
    await host.apply()
    refused = refuse(host.machine, lambda op: op.resource.key == ("chains", "vm:101"))
    host.fw("cluster", ON)
    failed = await host.daemon.load_rules()
    assert list(failed) == ["vm:101"]
    assert (host.of(100), host.of(101), host.of(102)) == ("ssh", "none", "ssh")
    refused.clear()
    assert await host.daemon.load_rules() == {}
    assert host.of(101) == "ssh"


def told(machine: Fake) -> list[tuple[Op, ...]]:
    """Return a list that every step goes into which *machine* is told from now on."""
    done: list[tuple[Op, ...]] = []
    apply = machine.apply

    def listening(*ops: Op) -> None:
        done.append(ops)
        apply(*ops)

    machine.apply = listening  # type: ignore[method-assign]
    return done


def refuse(machine: Fake, which: Callable[[Op], bool]) -> list[str]:
    """Have *machine* refuse what *which* tells, as long as the list that is returned holds something."""
    refusing = ["yes"]
    apply = machine.apply

    def choosy(*ops: Op) -> None:
        if refusing and any(map(which, ops)):
            raise KernelError("; ".join(map(str, ops)), 22, "Invalid argument")
        apply(*ops)

    machine.apply = choosy  # type: ignore[method-assign]
    return refusing


async def test_rules_that_nobody_confirms_are_those_before_and_the_file_stays(host: Host) -> None:
    host.fw("100", RULES)
    await host.daemon.apply_rules()
    host.fw("100", OTHERS)
    await host.daemon.apply_rules(confirm=3600)
    assert host.of(100) == "web"
    with pytest.raises(Conflict):
        await host.daemon.apply_rules()
    await host.daemon.trial.roll_back()
    assert host.of(100) == "ssh"
    assert "not confirmed" in host.engine.failed["vm:100"]
    assert host.root.read("etc/pvenetd/firewall/100.fw") == OTHERS.encode()
    await host.reboot()
    assert host.of(100) == "ssh"
    assert await host.daemon.apply_rules() == {}
    assert host.of(100) == "web"


async def test_what_was_followed_in_the_minutes_before_is_on_trial_too(host: Host) -> None:
    host.fw("100", RULES)
    host.fw("101", RULES)
    await host.daemon.apply_rules()
    host.fw("101", OTHERS)
    await host.follow()
    host.time += SETTLED
    host.fw("100", OTHERS)
    host.fw("102", OTHERS)
    await host.follow()
    await host.daemon.apply_rules(confirm=3600)
    host.fw("100", ON)
    await host.follow()
    await host.daemon.trial.roll_back()
    assert (host.of(100), host.of(101), host.of(102)) == ("ssh", "web", "open")


async def test_confirmed_rules_stay(host: Host) -> None:
    host.fw("100", OTHERS)
    await host.daemon.apply_rules(confirm=3600)
    assert host.daemon.trial.pending
    assert host.daemon.trial.extend(60).left() > 3600
    with pytest.raises(Conflict):
        host.daemon.trial.confirm("00000000")
    host.daemon.trial.confirm(host.daemon.trial.pending.id)
    with pytest.raises(Conflict):
        await host.daemon.trial.roll_back()
    await host.daemon.start()
    assert host.of(100) == "web"


async def test_a_daemon_that_was_killed_meanwhile_rolls_back(host: Host) -> None:
    host.fw("100", RULES)
    await host.daemon.apply_rules()
    host.fw("100", OTHERS)
    host.fw("cluster", "[OPTIONS]\nenable: 0\n")
    await host.daemon.apply_rules(confirm=3600)
    assert host.of(100) == "none"
    host.engine.close()
    host.start()
    await host.daemon.start()
    assert host.of(100) == "ssh"
    host.fw("100", f"{RULES}\n")
    await host.follow()
    assert host.of(100) == "ssh"
    assert "vm:100" not in host.engine.failed


async def test_a_rollback_opens_nobody_who_was_closed(host: Host) -> None:
    host.fw("100", BROKEN)
    host.fw("300", RULES)
    await host.daemon.apply_rules()
    host.fw("100", RULES)
    await host.daemon.apply_rules(confirm=3600)
    host.put("etc/pvenetd/qemu-server/300.conf", "net0: virtio=02:00:00:00:00:30,bridge=vmbr0,firewall=1\n")
    await host.follow()
    await host.daemon.trial.roll_back()
    assert (host.of(100), host.of(300)) == ("closed", "ssh")


async def test_a_guests_file_that_has_gone_is_looked_at_again_for_that_guest_alone(host: Host) -> None:
    for vmid in (100, 101):
        host.fw(str(vmid), RULES)
    await host.apply()
    host.fw("100", None)
    await host.daemon.heard.files({Path("firewall"): frozenset({"100.fw"})})
    assert host.of(100) == "ssh"
    host.fw("101", BROKEN)
    host.time += 2
    async with asyncio.timeout(PATIENCE):
        while host.of(100) != "open":  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.02)
    assert "vm:101" not in host.engine.failed, "nobody has told of its file"
    host.daemon.close()


NAMES = f"{ON}[IPSET web]\n192.0.2.1\n[group ssh]\nIN ACCEPT -p tcp -dport 22\n"
USES = f"{ON}[RULES]\nIN ACCEPT -source +web\nGROUP ssh\n"


@pytest.mark.parametrize(
    ("before", "after", "pieces"),
    [("192.0.2.1", "192.0.2.2", ["sets"]), ("-dport 22", "-dport 2222", ["groups"]), ("[group", "# ssh\n[group", [])],
)
async def test_a_set_or_a_group_that_changes_is_replaced_and_no_guest_is(
    host: Host, before: str, after: str, pieces: list[str]
) -> None:
    host.fw("cluster", NAMES)
    for vmid in (100, 101, 102):
        host.fw(str(vmid), USES)
    assert await host.apply() == {}
    done = told(host.machine)
    host.fw("cluster", NAMES.replace(before, after))
    assert await host.daemon.load_rules() == {}
    found = [str(op.resource.key[1]) for ops in done for op in ops]
    assert [name for name in found if name != "groups" or pieces] == pieces, "a comment may move a group's lines"


async def test_a_name_that_goes_concerns_who_uses_it_alone(host: Host) -> None:
    host.fw("cluster", f"{NAMES}[IPSET mail]\n192.0.2.9\n")
    host.fw("100", USES)
    host.fw("101", f"{ON}[RULES]\nIN ACCEPT -source +mail\n")
    assert await host.apply() == {}
    before = host.chains("vm:101")
    host.fw("cluster", NAMES)
    failed = await host.apply()
    assert list(failed) == ["vm:101"]
    assert "101.fw:4" in failed["vm:101"]
    assert host.chains("vm:101") == before


async def test_a_bridges_file_counts_likewise(host: Host) -> None:
    forward = f"{ON}[RULES]\nFORWARD DROP -p tcp -dport 25\n"
    host.fw("vmbr0", forward)
    host.fw("vmbr1", f"{ON}policy_forward: REJECTED\n")
    assert list(await host.apply()) == ["firewall"]
    before = host.chains("bridge:vmbr0")
    assert "dport 25" in before
    assert "drop" in host.chains("bridge:vmbr1"), "it never was right"
    host.fw("vmbr0", f"{forward}FORWARD DORP\n")
    host.fw("vmbr1", None)
    failed = await host.apply()
    assert "vmbr0.fw:5" in failed["firewall"]
    assert (host.chains("bridge:vmbr0"), host.chains("bridge:vmbr1")) == (before, "")
    await host.reboot()
    assert host.chains("bridge:vmbr0") == before
    host.fw("vmbr0", None)
    assert await host.apply() == {}
    assert host.chains("bridge:vmbr0") == ""


async def test_the_kernels_settings_are_set_and_never_lowered(host: Host) -> None:
    settings = {"nf_conntrack_max": "262144", "nf_conntrack_tcp_timeout_established": "432000"}
    host.machine = Fake([Bridge(name="vmbr0")], [f"net/netfilter/{name}" for name in settings])
    host.start()
    host.fw("host", "[OPTIONS]\nnf_conntrack_max: 300000\nnf_conntrack_tcp_timeout_established: 10000\n")
    assert await host.apply() == {}
    keys = {("sysctl", f"net/netfilter/{name}") for name in settings}
    found = {
        key[1].rpartition("/")[2]: getattr(one, "value", "")
        for key, one in host.machine.observe(keys).items()
        if key in keys
    }
    assert found == {"nf_conntrack_max": "303104", "nf_conntrack_tcp_timeout_established": "10000"}
    host.fw("host", "[OPTIONS]\nnf_conntrack_max: 100000\n")
    assert await host.apply() == {}
    assert getattr(host.machine.observe(keys)["sysctl", "net/netfilter/nf_conntrack_max"], "value", "") == "303104"
