"""What the daemon does is told to who follows it, at once, and through its restarts."""

from __future__ import annotations

import json

import pytest

from tests.patience import until
from tests.sandbox.client import hook, request
from tests.sandbox.process import Process
from tests.sandbox.world import TAP, World

pytestmark = pytest.mark.netns


def follow(world: World, *words: str) -> Process:
    command = [*world.host.prefix(), world.bin / "pvenetctl", *words]
    return world.keep(Process("follower", command, world.env()))


def test_events_are_told_as_they_come_once_each_and_by_the_next_daemon(world: World) -> None:
    follower = follow(world, "events", "-f")
    follower.expect("op=[+] link vmbr1 ")
    world.start_tap()
    hook(world.root, "up", TAP)
    follower.expect(f" op owner=vm:100 op=. link {TAP} ")
    until(lambda: len(follower.lines) == len(request(world.root, "GET", "events")), "nothing twice, nothing left out")
    world.restart_daemon()
    world.ctl("vm", "unplug", "100")
    follower.expect(f" op owner=vm:100 op=~ link {TAP} up=no")


def test_as_json_an_answer_is_a_line(world: World) -> None:
    follower = follow(world, "--json", "events", "--follow")
    follower.expect("vmbr1")
    world.start_tap()
    hook(world.root, "up", TAP)
    follower.expect(TAP)
    count = len(request(world.root, "GET", "events"))
    piped = f"{world.bin}/pvenetctl events -f | sed -u {count + 1}q; echo over"
    ending = world.keep(Process("piped", [*world.host.prefix(), "sh", "-c", piped], world.env()))
    until(lambda: len(ending.lines) == count, "it has told of what was")
    world.ctl("vm", "unplug", "100")
    world.ctl("vm", "plug", "100")
    ending.expect("^over$")
    ids = [one["id"] for line in follower.lines for one in json.loads(line)]
    assert ids == [*range(1, len(ids) + 1)]


def test_who_waits_for_nothing_gets_nothing(world: World) -> None:
    last = request(world.root, "GET", "events")[-1]["id"]
    assert request(world.root, "GET", f"events?since={last}&wait=0.2") == []
