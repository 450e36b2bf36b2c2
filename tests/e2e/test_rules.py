"""What the loaded rules have counted, by the lines of the files; what the daemon does, while one looks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.patience import PATIENCE
from tests.sandbox.client import hook
from tests.sandbox.process import Process
from tests.sandbox.world import GUEST, PROVIDER, TAP, World

pytestmark = pytest.mark.netns

SEND = f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('{PROVIDER}', 9999))"
CALL = (
    f"import errno, socket\nfor _ in range(3): assert socket.socket().connect_ex(('{GUEST}', 27)) == errno.ECONNREFUSED"
)
REFUSES = "[OPTIONS]\nenable: 1\n[RULES]\nIN REJECT -p tcp -dport 27 -log warning\n"
RULES = "[OPTIONS]\nenable: 1\n[RULES]\nOUT DROP -p udp -dport 9999 -log info # a comment\nOUT ACCEPT -p tcp\n"


def rules(world: World, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(world.ctl("firewall", "rules", "--json", *words))
    return found


def test_a_rule_is_told_with_its_line_and_what_it_has_counted(world: World) -> None:
    world.write("etc/pvenetd/firewall/100.fw", RULES)
    world.ctl("firewall", "apply")
    guest, _pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    guest.run("python3", "-c", f"{SEND};" * 3)
    told = rules(world, "--vmid", "100")
    (rule,) = (one for one in told if one["origin"] == "100.fw:4")
    assert (rule["vmid"], rule["chain"], rule["packets"]) == (100, "vm-100-out", 3)
    assert rule["text"] == "OUT DROP -p udp -dport 9999 -log info # a comment"
    assert {one["vmid"] for one in told} == {100}
    assert {"cluster.fw", "100.fw"} <= {one["origin"].partition(":")[0] for one in rules(world)}
    assert rule["text"] in world.ctl("firewall", "rules")


def test_events_are_told_while_one_looks(world: World) -> None:
    command = [*world.host.prefix(), world.bin / "pvenetctl", "events", "-f"]
    looker = world.keep(Process("events", command, world.env()))
    looker.expect(".")
    world.start_tap()
    hook(world.root, "up", TAP)
    looker.expect(TAP)


def test_a_broken_file_is_shown_beside_what_is_loaded(world: World) -> None:
    assert world.ctl("firewall", "diff").strip() == "what the files say is loaded"
    world.write("etc/pvenetd/firewall/100.fw", RULES)
    world.ctl("firewall", "apply")
    world.write("etc/pvenetd/firewall/100.fw", f"# more\n{RULES}OUT DENY\n")
    told = world.ctl("firewall", "diff").splitlines()
    assert told[0].endswith("100.fw [RULES] (broken: counts as it was)")
    assert told[1:] == ["  + OUT DENY    # line 7"]
    world.write("etc/pvenetd/firewall/100.fw", f"{RULES}OUT DROP -dest +nosuch\n")
    assert "(broken: counts as it was)" in world.ctl("firewall", "diff")


def test_what_a_rule_logs_is_told_with_its_line(world: World) -> None:
    world.write("etc/pvenetd/firewall/100.fw", RULES)
    world.ctl("firewall", "apply")
    guest, _pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    command = [*world.host.prefix(), world.bin / "pvenetctl", "firewall", "log", "-f", "--vmid", "100"]
    looker = world.keep(Process("log", command, world.env()))
    guest.run("python3", "-c", SEND)
    line = looker.expect(f"^100 6 {TAP}-OUT .* DST={PROVIDER} .* DPT=9999 .* RULE=100.fw:4$", PATIENCE).string
    assert line in world.read("var/log/pvenetd/firewall.log")


def test_what_a_guest_refuses_of_the_host_is_counted_and_logged_once(world: World) -> None:
    world.write("etc/pvenetd/firewall/100.fw", REFUSES)
    world.ctl("firewall", "apply")
    world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    command = [*world.host.prefix(), world.bin / "pvenetctl", "firewall", "log", "-f", "--vmid", "100"]
    looker = world.keep(Process("log", command, world.env()))
    world.host.run("python3", "-c", CALL)
    for _ in range(3):
        looker.expect(f"^100 4 vm100-IN .* REJECT: OUT=vmbr1 MAC=.* DST={GUEST} .* DPT=27 .* RULE=100.fw:4$")
    (rule,) = (one for one in rules(world, "--vmid", "100") if one["origin"] == "100.fw:4")
    assert (rule["table"], rule["chain"], rule["packets"]) == ("bridge", "vm-100-in", 3)
