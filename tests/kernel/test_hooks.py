"""The user's commands, run by the real shell: when, in what order, with what environment."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvenetd.commands import OWNER
from pvenetd.daemon.interfaces import Interfaces
from pvenetd.daemon.store import ACTIVE, Store
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import AS_IT_WAS, Engine
from pvenetd.errors import KernelError
from tests.netns import run

pytestmark = pytest.mark.netns

HEAD = "auto br7\niface br7 inet manual\n\tbridge-ports none\n"
EACH = ("pre-up", "up", "post-up", "pre-down", "down", "post-down")


class Told:
    """A host whose commands tell in a file that they were run."""

    def __init__(self, host: Host, root: Path) -> None:
        self.files = Files(root)
        self.log = root / "log"
        self.journal = Journal(self.files)
        self.engine = Engine(host, self.journal)
        self.interfaces = Interfaces(Store(self.files), self.engine, self.journal, "mark")

    def line(self, phase: str, words: str) -> str:
        return f"\t{phase} echo {words} >> {self.log}\n"

    async def apply(self, text: str) -> list[str]:
        """Return what was run by applying *text*."""
        self.log.write_text("")
        self.files.write(ACTIVE, text.encode())
        await self.interfaces.apply()
        return self.log.read_text().splitlines()

    def stanza(self, name: str, phases: tuple[str, ...] = EACH) -> str:
        return "".join(self.line(phase, f"{name} {phase}") for phase in phases)


@pytest.fixture
def told(host: Host, tmp_path: Path) -> Iterator[Told]:
    found = Told(host, tmp_path)
    yield found
    found.engine.close()


async def test_commands_run_once_and_the_old_ones_undo_before_the_new_ones_run(told: Told) -> None:
    ups = ["pre-up", "up", "post-up"]
    downs = ["pre-down", "down", "post-down"]
    assert await told.apply(HEAD + told.stanza("a")) == [f"a {phase}" for phase in ups]
    assert await told.apply(HEAD + told.stanza("a")) == []
    assert await told.apply(HEAD + "\tmtu 1400\n" + told.stanza("a")) == []
    assert await told.apply(HEAD + told.stanza("b")) == [f"a {one}" for one in downs] + [f"b {one}" for one in ups]
    assert await told.apply("auto lo\niface lo inet loopback\n") == [f"b {one}" for one in downs]


async def test_a_new_up_alone_has_the_old_post_down_run(told: Told) -> None:
    await told.apply(HEAD + told.line("up", "old") + told.line("post-down", "undo"))
    assert await told.apply(HEAD + told.line("up", "new") + told.line("post-down", "undo")) == ["undo", "new"]


async def test_a_link_that_somebody_deleted_or_set_down_comes_up_anew(told: Told) -> None:
    text = HEAD + told.stanza("a", ("up", "down"))
    await told.apply(text)
    run("ip", "link", "set", "br7", "down")
    assert await told.apply(text) == ["a down", "a up"]
    run("ip", "link", "delete", "br7")
    assert await told.apply(text) == ["a down", "a up"]
    assert await told.apply(text) == []


async def test_each_stanza_has_its_environment(told: Told) -> None:
    words = "$IFACE $LOGICAL $ADDRFAM $METHOD $MODE $PHASE $VERBOSITY $IF_ADDRESS $IF_FAVOURITE_COLOUR"
    text = (
        "auto br7\niface br7 inet static\n\taddress 192.0.2.1/24\n\tbridge-ports none\n\tfavourite-colour blue\n"
        + told.line("pre-up", words)
        + told.line("up", words)
        + "iface br7 inet6 static\n\taddress 2001:db8::1/64\n"
        + told.line("post-up", words)
        + told.line("down", words)
    )
    assert await told.apply(text) == [
        "br7 br7 inet static start pre-up 0 192.0.2.1/24 blue",
        "br7 br7 inet static start post-up 0 192.0.2.1/24 blue",
        "br7 br7 inet6 static start post-up 0 2001:db8::1/64",
    ]
    assert await told.apply("") == ["br7 br7 inet6 static stop pre-down 0 2001:db8::1/64"]


async def test_scripts_that_were_run_are_another_ifupdowns_once_that_owns_the_interfaces(told: Told) -> None:
    """Who takes its place and gives it back undoes nothing of what goes on."""
    for phase in ("pre-up", "up", "down", "post-down"):
        told.files.write(f"etc/network/if-{phase}.d/tell", f'#!/bin/sh\necho "$IFACE $PHASE" >>{told.log}\n'.encode())
        told.files.path(f"etc/network/if-{phase}.d/tell").chmod(0o755)
    told.files.write(OWNER, b"")
    assert await told.apply(HEAD) == ["--all pre-up", "br7 pre-up", "br7 post-up", "--all post-up"]
    told.files.path(OWNER).unlink()
    assert await told.interfaces.plan() == ()
    assert await told.apply(HEAD) == []
    told.files.write(OWNER, b"")
    assert await told.apply(HEAD) == []
    assert await told.apply("") == ["br7 pre-down", "br7 post-down"]


async def test_commands_that_always_run_do_so_at_every_apply(told: Told) -> None:
    text = HEAD + "\talways-run-commands yes\n" + told.stanza("a")
    ups = ["a pre-up", "a up", "a post-up"]
    assert await told.apply(text) == ups
    assert await told.apply(text) == ups
    assert await told.interfaces.plan() == ()


async def test_a_command_that_fails_takes_the_apply_back(told: Told) -> None:
    with pytest.raises(KernelError, match="up false: exit status 1") as caught:
        await told.apply(HEAD + told.stanza("a", ("pre-up", "post-down")) + "\tup false\n")
    assert caught.value.outcome == AS_IT_WAS
    assert told.log.read_text().splitlines() == ["a pre-up", "a post-down"]
    assert ("link", "br7") not in await told.engine.observe()


async def test_a_command_that_fails_to_undo_keeps_nothing_up(told: Told) -> None:
    await told.apply(HEAD + "\tdown false\n" + told.stanza("a", ("down",)))
    assert await told.apply("") == ["a down"]
    assert ("link", "br7") not in await told.engine.observe()


async def test_what_a_command_leaves_running_is_not_waited_for(told: Told) -> None:
    assert await told.apply(HEAD + "\tup sleep 60 & echo $! >> " + f"{told.log}\n")
    os.kill(int(told.log.read_text()), signal.SIGKILL)
