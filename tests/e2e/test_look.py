"""pvenetctl where one looks at live things: ``--watch``, ``capture``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.sandbox.client import hook
from tests.sandbox.process import Process
from tests.sandbox.world import TAP, World

pytestmark = pytest.mark.netns


def run(world: World, *words: object) -> subprocess.CompletedProcess[str]:
    command = [*world.host.prefix(), str(world.bin / "pvenetctl"), *map(str, words)]
    return subprocess.run(command, env={**os.environ, **world.env()}, capture_output=True, text=True, timeout=120)


def start(world: World, *words: str) -> Process:
    command = [*world.host.prefix(), world.bin / "pvenetctl", *words]
    return world.keep(Process(words[0], command, world.env()))


def test_what_is_watched_is_shown_again_as_it_changes_and_while_the_daemon_is_not_there(world: World) -> None:
    watching = start(world, "vm", "list", "--watch", "0.1")
    watching.expect(r"^100 .*unplugged|^100 .*absent")
    world.start_tap()
    hook(world.root, "up", TAP)
    watching.expect(rf"^100 .*{TAP} .*up")
    assert world.daemon
    world.daemon.stop()
    watching.expect("pvenetd is not running")
    world.start_daemon()
    watching.expect(rf"^100 .*{TAP} .*up")


def test_as_json_each_look_is_a_line(world: World) -> None:
    watching = start(world, "--json", "vm", "list", "--watch", "0.1")
    watching.expect(r"^\[\{.*\}\]$")
    watching.expect(r"^\[\{.*\}\]$")


def test_a_guests_packets_are_captured_by_its_name(world: World, tmp_path: Path) -> None:
    guest, _ = world.start_namespace_guest("10.10.10.2/24")
    there = tmp_path / "packets.pcap"
    capturing = start(world, "capture", "vm/100/net0", "-c", "2", "-w", str(there), "icmp", "and", "host 10.10.10.1")
    capturing.expect(f"listening on {TAP}")
    assert guest.pings("10.10.10.1")
    assert capturing.wait() == 0
    assert "10.10.10.2 > 10.10.10.1: ICMP echo request" in world.host.run("tcpdump", "-n", "-r", there)


def test_who_may_not_capture_himself_has_the_daemon_do_it(world: World, tmp_path: Path) -> None:
    guest, _ = world.start_namespace_guest("10.10.10.2/24")
    there = tmp_path / "packets.pcapng"
    bound = [*world.host.prefix(), "setpriv", "--bounding-set", "-net_raw", world.bin / "pvenetctl", "capture"]
    asked = ["vm/100/net0", "-c", "2", "icmp", "and", "host 10.10.10.1"]
    to_file, to_terminal = (
        world.keep(Process("capture", [*bound, *words], world.env())) for words in ([*asked, "-w", there], asked)
    )
    for capturing in (to_file, to_terminal):
        capturing.expect("pvenetd captures")
    assert guest.pings("10.10.10.1")
    to_terminal.expect("10.10.10.2 > 10.10.10.1: ICMP echo request")
    assert (to_file.wait(), to_terminal.wait()) == (0, 0)
    assert "10.10.10.2 > 10.10.10.1: ICMP echo request" in world.host.run("tcpdump", "-n", "-r", there)
    refused = world.keep(Process("capture", [*bound, "eth0", "host", "("], world.env()))
    refused.expect("filter: .*syntax error")
    assert refused.wait() == 1


def test_a_filter_that_is_wrong_or_an_interface_that_is_not_there_leaves_no_file(world: World, tmp_path: Path) -> None:
    there = tmp_path / "packets.pcap"
    wrong = {
        ("eth0", "-w", there, "host", "("): "syntax error",
        ("eth9", "-w", there): "no interface eth9",
        ("vm/999/net0", "-w", there): "no guest 999",
        ("vm/100/net7", "-w", there): "guest 100 has no net7",
        ("vm/100/net0", "-w", there): "does the guest run?",
    }
    said = {words: run(world, "capture", *words) for words in wrong}
    assert {words: done.stderr for words, done in said.items() if wrong[words] not in done.stderr} == {}
    assert all(done.returncode for done in said.values())
    assert not there.exists()
    assert run(world, "capture", "../eth0").returncode == run(world, "capture", "eth0", "--exec=x").returncode == 2
