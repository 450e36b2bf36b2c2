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


def translated(world: World) -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in json.loads(world.ctl("--json", "nat", "list"))}


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
    forward = next(one for one in json.loads(world.ctl("--json", "nat", "list")) if one["ports"] == "8000")
    assert (forward["kind"], forward["target"], forward["target_ports"]) == ("forward", GUEST, "8080")
    assert forward["connections"] == 1
    assert forward["origin"].rpartition(":")[0].endswith("etc/network/interfaces")
    assert f"tcp the host:8000  {GUEST}:8080" in world.ctl("nat", "list")

    world.ctl("interfaces", "set", "vmbr1", "--delete", "nat-forward")
    world.ctl("apply")
    with pytest.raises(AssertionError, match="timed out"):  # by the host's own rules
        world.page(f"http://{HOST}:8000/", 1)
    assert set(translated(world)) == {"masquerade"}


@pytest.mark.netns
def test_a_forward_that_is_not_confirmed_is_undone(world: World) -> None:
    world.ctl("interfaces", "set", "vmbr1", FORWARD)
    world.ctl("apply", "--confirm", "600")
    assert "8000" in world.host.run("nft", "list", "table", "inet", "pvenetd")
    world.ctl("rollback")
    assert "8000" not in world.host.run("nft", "list", "table", "inet", "pvenetd")
    assert set(translated(world)) == {"masquerade"}


@pytest.mark.netns
def test_what_is_wrong_with_a_forward_is_refused_with_its_reason(world: World) -> None:
    with pytest.raises(AssertionError, match="65536"):
        world.ctl("interfaces", "set", "vmbr1", f"nat-forward=tcp 65536 {GUEST}")
