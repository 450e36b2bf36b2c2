"""An apply after which somebody no longer answers is undone at once; one that would cut its caller off asks first."""

from __future__ import annotations

import os

import pytest

from tests.sandbox.process import Process
from tests.sandbox.world import HOST, PROVIDER, World

INTERFACES = "etc/network/interfaces"
STAGED = "etc/network/interfaces.new"
BEYOND = "198.51.100.7"
"""An address of the provider's, behind the default gateway."""

pytestmark = pytest.mark.netns


def stage(world: World, old: str, new: str) -> None:
    text = world.read(INTERFACES)
    assert old in text
    world.write(STAGED, text.replace(old, new))


def apply(world: World, *words: object, peer: str = "") -> str:
    """Return what an apply says, from a session of *peer*'s if there is one."""
    command = [*world.host.prefix(), world.bin / "pvenetctl", "apply", *words]
    environment = {**world.env(), "SSH_CONNECTION": f"{peer} 50022 {HOST} 22" if peer else ""}
    process = world.keep(Process("apply", command, environment))
    status = process.wait()
    return "\n".join([*process.lines, f"exit status {status}"])


def probing(world: World, *probes: str, seconds: int) -> None:
    """Have the daemon ask *probes* too, and wait so long for answers after an apply."""
    world.write("etc/pvenetd/pvenetd.toml", f"[apply]\nprobes = {list(probes)}\nprobe_seconds = {seconds}\n")
    world.restart_daemon()


def addresses(world: World, name: str) -> set[str]:
    (link,) = world.host.show("ip", "-j", "-4", "address", "show", name)
    return {address["local"] for address in link["addr_info"]}


@pytest.mark.reliability(
    "an apply that takes the uplink out of its bridge",
    guarantee="the gateway no longer answers, so it is rolled back; the edit waits still",
)
@pytest.mark.parametrize("words", [(), ("--confirm", 600)], ids=["at once", "with a window"])
def test_a_gateway_that_is_lost_comes_back_within_seconds(world: World, words: tuple[object, ...]) -> None:
    stage(world, "bridge-ports eth0", "bridge-ports none")
    said = apply(world, *words)
    assert "answered before the apply, and not after it (asked for 5 s, every 0.25 s)" in said
    assert f"default gateway {PROVIDER} (ARP on vmbr0)" in said
    assert "rolled back: the host is as it was\nexit status 1" in said
    assert world.host.pings(PROVIDER)
    assert "bridge-ports none" in world.read(STAGED), "the edit waits still"
    assert "bridge-ports eth0" in world.read(INTERFACES)
    assert "waiting" not in world.ctl("status")


@pytest.mark.reliability("an apply with a gateway that nobody has", guarantee="rolled back within seconds")
def test_a_wrong_gateway_is_noticed(world: World) -> None:
    stage(world, f"gateway {PROVIDER}", "gateway 192.0.2.99")
    said = apply(world)
    assert "default gateway 192.0.2.99 (ARP on vmbr0)" in said
    assert f"via {PROVIDER}" in world.host.run("ip", "route", "show", "default")


def test_a_gateway_that_was_dead_before_blocks_nothing(world: World) -> None:
    probing(world, seconds=600)
    world.provider.run("ip", "link", "set", "customer0", "down")
    stage(world, "bridge-ports eth0", "bridge-ports none")
    assert "applied\nexit status 0" in apply(world), "a second for it to answer before, and none after"


def test_nobody_is_asked_where_that_is_said(world: World) -> None:
    stage(world, "bridge-ports eth0", "bridge-ports none")
    said = apply(world, "--no-probe")
    assert "applied\nexit status 0" in said


def test_what_the_admin_names_is_asked_too(world: World) -> None:
    world.provider.run("ip", "address", "add", f"{BEYOND}/32", "dev", "lo")
    probing(world, BEYOND, seconds=1)
    assert world.host.pings(BEYOND)
    extra = "\nauto vmbr7\niface vmbr7 inet static\n\taddress 198.51.100.1/24\n\tbridge-ports none\n\tbridge-fd 0\n"
    world.write(STAGED, world.read(INTERFACES) + extra)
    said = apply(world)
    assert f"(asked for 1 s, every 0.25 s):\n  probe {BEYOND} (ping)" in said
    assert "vmbr7" not in world.host.links()
    assert world.host.pings(BEYOND)


def test_what_the_callers_session_stands_on_is_not_taken_away_without_a_word(world: World) -> None:
    before = world.host.run("ip", "address")
    stage(world, "bridge-ports eth0", "bridge-ports none")
    said = apply(world, peer=PROVIDER)
    assert said == (
        "this apply changes what your own session stands on:\n"
        "  eth0, which your session goes by, leaves vmbr0\n"
        "use --confirm 60, which rolls it back unless you confirm it, or --yes\n"
        "exit status 1"
    )
    assert world.host.run("ip", "address") == before
    assert (world.root / STAGED).exists()

    said = apply(world, "--confirm", 600, peer=PROVIDER)
    assert f"  peer of the session {PROVIDER} (ARP on vmbr0, ping)" in said, "and still it is not cut off"
    assert world.host.pings(PROVIDER)

    said = apply(world, "--yes", "--no-probe", peer=PROVIDER)
    assert "exit status 0" in said
    assert not world.host.pings(PROVIDER, 2)


@pytest.mark.parametrize(
    ("old", "new", "loss"),
    [
        (f"{HOST}/24", "192.0.2.3/24", f"the address {HOST}/24 of vmbr0, which your session uses, goes"),
        (f"gateway {PROVIDER}", "gateway 192.0.2.9", "the route default, by which you are reached, changes: "),
    ],
)
def test_an_address_and_a_route_count_as_much(world: World, old: str, new: str, loss: str) -> None:
    stage(world, old, new)
    said = apply(world, peer=BEYOND)
    assert loss in said
    assert "exit status 1" in said


def test_a_session_that_an_apply_does_not_concern_is_not_asked_about(world: World) -> None:
    stage(world, "10.10.10.1/24", "10.10.20.1/24")
    assert "exit status 0" in apply(world, peer=PROVIDER)


def test_a_session_is_found_behind_sudo(world: World) -> None:
    stage(world, "bridge-ports eth0", "bridge-ports none")
    command = f"env -u SSH_CONNECTION {world.bin}/pvenetctl apply 2>&1; echo exit status $?"
    environment = {**world.env(), "SSH_CONNECTION": f"{PROVIDER} 50022 {HOST} 22"}
    said = world.host.run("sh", "-c", command, env=environment)
    assert "eth0, which your session goes by, leaves vmbr0" in said


@pytest.mark.parametrize(("reply", "status"), [("n", 1), ("y", 0)])
def test_a_person_is_asked(world: World, reply: str, status: int) -> None:
    stage(world, f"{HOST}/24", "192.0.2.3/24")
    ours, theirs = os.openpty()
    environment = {**world.env(), "SSH_CONNECTION": f"{PROVIDER} 50022 {HOST} 22"}
    script = f"{world.bin}/pvenetctl apply <{os.ttyname(theirs)} 2>{os.ttyname(theirs)}"
    process = world.keep(Process("apply", [*world.host.prefix(), "sh", "-c", script], environment))
    said = b""
    while b"[y/N]" not in said:
        said += os.read(ours, 1 << 12)
    assert b"which your session uses, goes" in said
    os.write(ours, f"{reply}\n".encode())
    assert process.wait() == status
    for end in (ours, theirs):
        os.close(end)
    assert addresses(world, "vmbr0") == ({"192.0.2.3"} if status == 0 else {HOST})
