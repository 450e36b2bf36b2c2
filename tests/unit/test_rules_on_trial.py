"""Rules that wait for a confirmation: back without one, by whatever end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pvenetd.daemon.rule_files import SETTLED
from pvenetd.errors import Conflict
from tests.unit.rules_host import BROKEN, ON, OTHERS, RULES, Host


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    made.fw("cluster", ON)
    yield made
    made.engine.close()


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
