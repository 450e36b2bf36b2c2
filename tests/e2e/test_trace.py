"""Real packets, followed through the rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox.process import Process
from tests.sandbox.world import GUEST, PROVIDER, TAP, World

pytestmark = pytest.mark.netns

SEND = """\
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    s.sendto(b"x", ("{}", {}))
    time.sleep(0.1)
"""
RULES = "[OPTIONS]\nenable: 1\n[RULES]\nOUT DROP -p udp -dport 9999 # a comment\n"


def events(world: World, **asked: object) -> list[tuple[str, dict[str, Any]]]:
    """Return what a trace tells as it happens: each event's kind and data."""
    given = [word for name, value in asked.items() for word in ("-d", f"{name}={value}")]
    socket = ["--unix-socket", f"{world.root}/run/pvenetd/api.sock", "-H", "Accept: text/event-stream"]
    url = "http://localhost/api2/json/nodes/localhost/pvenetd/firewall/trace"
    told = world.host.run("curl", "-sSN", "--fail-with-body", *socket, *given, url)
    fields = [dict(line.split(": ", 1) for line in event.splitlines()) for event in told.strip().split("\n\n")]
    return [(one["event"], json.loads(one["data"])) for one in fields]


def test_a_packet_is_followed_to_the_line_that_drops_it(world: World) -> None:
    world.write("etc/pvenetd/firewall/100.fw", RULES)
    world.ctl("firewall", "apply")
    before = world.host.run("nft", "list", "tables")
    guest, _pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    for port in (9999, 9998):
        world.keep(Process("sender", [*guest.prefix(), "python3", "-c", SEND.format(PROVIDER, port)]))
    asked = ["--in", TAP, "--proto", "udp", "--dest", PROVIDER, "--packets", "2", "--seconds", "60"]
    told = json.loads(world.ctl("firewall", "trace", "--json", "--dport", "9999", *asked))
    assert [one["packet"]["dpt"] for one in told] == ["9999", "9999"]
    last = told[0]["steps"][-1]
    assert (last["table"], last["chain"], last["origin"], last["verdict"]) == (
        "pvenetd", "vm-100-out", "100.fw:4", "drop",
    )  # fmt: skip
    assert {one["verdict"] for one in told} == {"drop"}
    streamed = events(world, iface=TAP, proto="udp", dest=PROVIDER, dport=9999, packets=1, seconds=60)
    kinds = [kind for kind, _ in streamed]
    assert kinds == ["packet", *["step"] * (len(kinds) - 2), "end"]
    assert [facts["number"] for kind, facts in streamed if kind == "step"] == [1] * (len(kinds) - 2)
    assert (streamed[-2][1]["origin"], streamed[-2][1]["verdict"]) == ("100.fw:4", "drop")
    assert [(one["number"], one["verdict"]) for one in streamed[-1][1]["packets"]] == [(1, "drop")]
    passed = json.loads(world.ctl("firewall", "trace", "--json", "--dport", "9998", *asked))
    assert all(step["verdict"] != "drop" for one in passed for step in one["steps"])
    assert any(step["origin"] == "policy_out" for one in passed for step in one["steps"])
    assert world.host.run("nft", "list", "tables") == before


def test_what_does_not_come_is_told_and_what_is_wrong_is_refused(world: World) -> None:
    before = world.rules()
    asked = ["firewall", "trace", "--source", "192.0.2.77", "--seconds", "0.2"]
    assert world.ctl(*asked).strip() == "no such packet came within 0.2 s"
    with pytest.raises(AssertionError, match="needs proto tcp"):
        world.ctl(*asked, "--dport", "22", "--dest", "2001:db8::1")
    assert world.rules() == before
