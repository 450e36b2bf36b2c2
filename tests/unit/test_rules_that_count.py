"""Which rules count: a broken file's as they were, for its own guest alone; nothing is opened by a typo."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvenetd.daemon.rule_files import GRACE
from pvenetd.errors import ConfigError
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from tests.patience import PATIENCE
from tests.unit.rules_host import ALTERNATIVE, BROKEN, ON, OTHERS, RULES, Host, refuse, told


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


@pytest.mark.parametrize(
    "line", ["net0: virtio=02:00:00:00:00:00,firewall=maybe\n", "net0 virtio,firewall=1\n", "net0:\n"]
)
async def test_a_nic_whose_line_breaks_keeps_its_rules_and_without_any_it_is_closed(host: Host, line: str) -> None:
    conf = "etc/pvenetd/qemu-server/100.conf"
    was = (host.root.read(conf) or b"").decode()
    host.put(conf, was + line.replace("net0", "net1"))
    host.fw("100", RULES)
    await host.apply()
    assert '"tap100i1" : jump vm-100-in' in host.chains("vm:100")
    assert 'oifname "tap100i1" counter drop comment "broken line"' in host.chains("vm:100")
    host.put(conf, was)
    assert await host.apply() == {}
    good = host.chains("vm:100")
    host.put(conf, line)
    await host.apply()
    assert host.chains("vm:100") == good
    host.engine.close()
    host.start()  # as after a restart: the kernel alone knows
    await host.apply()
    assert host.chains("vm:100") == good
    await host.reboot()
    assert "broken line" in host.chains("vm:100")
    host.fw("100", ON.replace("1", "0"))
    await host.apply()
    assert host.of(100) == "open"


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
