"""A port of the host's, forwarded to a guest by an edit: reached from outside over TCP, counted, and gone again."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT
from tests.sandbox.world import GUEST, HOST, PROVIDER, World

FORWARD = f"nat-forward=tcp 8000 {GUEST}:8080"

ECHO = """
import socket, sys
listening = socket.create_server(("", int(sys.argv[1])))
print("listening", flush=True)
peer, _ = listening.accept()
while data := peer.recv(100):
    peer.sendall(data)
"""
TALK = """
import socket, sys
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
line = "hello"
while line:
    peer.settimeout(3 if line.endswith("?") else 60)
    peer.sendall(line.encode())
    try:
        print(peer.recv(100).decode(), flush=True)
    except OSError:
        print("no answer", flush=True)
    line = sys.stdin.readline().strip()
"""


def translated(world: World) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in json.loads(world.ctl("--json", "nat", "list"))}


def by_port(world: World, port: str) -> dict[str, Any]:
    (found,) = (one for one in json.loads(world.ctl("--json", "nat", "list")) if one["ports"] == port)
    return dict(found)


@pytest.mark.netns
def test_a_forward_from_its_edit_to_its_removal(world: World) -> None:
    guest, _ = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    command = [*guest.prefix(), sys.executable, "-m", "tests.sandbox.web", "serve", "8080", "8081"]
    server = world.keep(Process("guest", command, {"PYTHONPATH": str(CHECKOUT)}))
    server.expect("^listening$")

    with pytest.raises(AssertionError, match="timed out"):  # by the host's own rules
        world.page(f"http://{HOST}:8000/", 1)
    world.ctl("interfaces", "set", "vmbr1", FORWARD, f"nat-forward=tcp 8001 {GUEST}:8081")
    world.ctl("apply")
    assert world.ctl("plan") == ""
    assert world.page(f"http://{HOST}:8000/", 60) == f"hello {PROVIDER}\n"
    with pytest.raises(AssertionError, match="timed out"):
        world.page(f"http://{HOST}:8001/", 1)  # by the guest's own rules

    found = translated(world)
    assert found["masquerade"]["loaded"]
    forward = by_port(world, "8000")
    assert (forward["kind"], forward["target"], forward["target_ports"]) == ("forward", GUEST, "8080")
    assert forward["connections"] == 1
    assert forward["origin"].rpartition(":")[0].endswith("etc/network/interfaces")
    assert f"tcp the host:8000  {GUEST}:8080" in world.ctl("nat", "list")

    world.ctl("interfaces", "set", "vmbr1", FORWARD, f"nat-forward=udp 53 {GUEST}")
    world.ctl("apply")
    assert by_port(world, "53")["connections"] == 0
    assert by_port(world, "8000")["connections"] == 1, "what stays goes on counting"

    world.host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    assert "net/ipv4/ip_forward is 0" in world.ctl("nat", "list")
    world.ctl("interfaces", "set", "vmbr1", "--delete", "nat-forward")
    world.ctl("apply")
    assert world.host.run("sysctl", "-n", "net.ipv4.ip_forward") == "1\n"
    with pytest.raises(AssertionError, match="timed out"):  # by the host's own rules
        world.page(f"http://{HOST}:8000/", 1)
    assert set(translated(world)) == {"masquerade"}


@pytest.mark.netns
def test_a_connection_goes_with_its_forward_and_stays_with_a_line_that_moves(world: World) -> None:
    guest, _ = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    echo = world.keep(Process("guest", [*guest.prefix(), sys.executable, "-c", ECHO, "8080"]))
    echo.expect("^listening$")
    world.ctl("interfaces", "set", "vmbr1", FORWARD)
    world.ctl("apply")
    talk = [*world.provider.prefix(), sys.executable, "-c", TALK, HOST, "8000"]
    client = world.keep(Process("client", talk))
    client.expect("^hello$", 60)

    text = world.read("etc/network/interfaces")
    world.write("etc/network/interfaces", f"# A comment.\n{text}")
    world.ctl("apply")
    client.send("still there")
    client.expect("^still there$", 60)

    world.ctl("interfaces", "set", "vmbr1", "--delete", "nat-forward")
    world.ctl("apply")
    client.send("and now?")
    client.expect("^no answer$", 60)


@pytest.mark.netns
def test_a_forward_that_is_not_confirmed_is_undone(world: World) -> None:
    world.ctl("interfaces", "set", "vmbr1", FORWARD)
    world.ctl("apply", "--confirm", "600")
    assert "dport 8000" in world.host.run("nft", "list", "table", "inet", "pvenetd")
    world.ctl("rollback")
    assert "dport 8000" not in world.host.run("nft", "list", "table", "inet", "pvenetd")
    assert set(translated(world)) == {"masquerade"}


@pytest.mark.netns
def test_with_the_last_of_it_nothing_is_left(world: World) -> None:
    world.write("etc/pvenetd/firewall/cluster.fw", "[OPTIONS]\nenable: 0\n")
    world.ctl("firewall", "apply")
    world.ctl("interfaces", "set", "vmbr1", FORWARD)
    world.ctl("apply")
    assert "table inet pvenetd" in world.host.run("nft", "list", "tables")
    gone = [word for key in ("nat-forward", "post-up", "post-down") for word in ("--delete", key)]
    world.ctl("interfaces", "set", "vmbr1", *gone)
    world.ctl("apply")
    assert world.host.run("nft", "list", "tables") == ""


@pytest.mark.netns
def test_what_is_wrong_with_a_forward_is_refused_with_its_reason(world: World) -> None:
    with pytest.raises(AssertionError, match="65536"):
        world.ctl("interfaces", "set", "vmbr1", f"nat-forward=tcp 65536 {GUEST}")
