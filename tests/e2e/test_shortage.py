"""The machine runs short of something while the daemon serves: it says so, loses nothing, and goes on afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.netns import run
from tests.patience import until
from tests.reliability import Outcome
from tests.sandbox.client import hook, request
from tests.sandbox.world import HOST, TAP, VMID, World

pytestmark = pytest.mark.netns

INTERFACES = "etc/network/interfaces"
FILES = (INTERFACES, f"{INTERFACES}.new", "etc/pvenetd/firewall/cluster.fw", "etc/pvenetd/firewall/100.fw")
RULE = ("firewall", "rule", "add", "vm/100", "type=in", "action=ACCEPT", "proto=tcp", "dport=4242")
EDIT = ("interfaces", "set", "vmbr1", "comments=another")
WINDOW = 3
_STORM = 20_000


@contextmanager
def full(world: World) -> Iterator[None]:
    """Have no room on the disk."""
    ballast = world.root / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    yield
    ballast.unlink()


@contextmanager
def read_only(world: World) -> Iterator[None]:
    """Have the disk be only to be read, as the kernel does where it is broken."""
    run("mount", "-o", "remount,ro", str(world.root))
    yield
    run("mount", "-o", "remount,rw", str(world.root))


@pytest.fixture
def small(world: World) -> Iterator[World]:
    """Yield the example host on a disk of 4 MiB, with a /run of its own."""
    assert world.daemon
    world.daemon.stop()
    place = Path(f"{world.root}.disk")
    world.root.rename(place)
    world.root.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=4M", "small", str(world.root))
    try:
        (world.root / "run").mkdir()
        run("mount", "-t", "tmpfs", "run", str(world.root / "run"))
        run("cp", "-a", f"{place}/.", str(world.root))
        world.start_daemon()
        yield world
        assert world.daemon
        world.daemon.stop()
    finally:
        run("umount", "-R", str(world.root))
        world.root.rmdir()
        place.rename(world.root)


def said(world: World, *words: object) -> str:
    """Return what pvenetctl says where it fails."""
    command = [*world.host.prefix(), world.bin / "pvenetctl", *words]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=os.environ | world.env())
    assert done.returncode == 1, done.stdout
    return done.stderr


def texts(world: World) -> dict[str, str | None]:
    return {name: world.read(name) if (world.root / name).exists() else None for name in FILES}


def plugs(world: World) -> None:
    """See that a guest comes and goes."""
    tap = world.start_tap()
    hook(world.root, "up", TAP)
    assert request(world.root, "GET", f"vms/{VMID}")["nics"][0]["plugged"]
    tap.stop()


@pytest.mark.reliability(
    "the disk is full, or only to be read: edits, applies and rules on trial",
    guarantee="507 or 503 and the file's name; nothing is changed, guests are plugged; all goes on when there is room",
)
@pytest.mark.parametrize(("short", "why"), [(full, "No space left"), (read_only, "Read-only file system")])
def test_a_disk_that_cannot_be_written(small: World, short: object, why: str, outcome: Outcome) -> None:
    world = small
    before, rules = texts(world), world.rules()
    with short(world):  # type: ignore[operator]
        assert why in said(world, *RULE)
        assert why in said(world, *EDIT)
        plugs(world)
        assert texts(world) == before
        assert world.rules() == rules
        assert world.ctl("plan") == ""
        world.restart_daemon()
        assert world.ctl("plan") == ""
        plugs(world)
    world.restart_daemon()
    world.ctl(*RULE)
    world.ctl(*EDIT)
    world.ctl("apply")
    assert "4242" in world.rules()
    assert world.ctl("plan") == ""
    outcome(tried=2, seen="refused with the reason, nothing changed, done when asked again")


@pytest.mark.reliability(
    "the interfaces file is mounted by itself, so that nothing can take its place",
    guarantee="an apply is refused with the file's name, and rolled back; the edit waits",
)
def test_a_file_that_cannot_be_replaced(small: World) -> None:
    file = small.root / INTERFACES
    small.ctl(*EDIT)
    before = texts(small)
    assert small.daemon
    there = ("nsenter", "-m", "-t", str(small.daemon.pid))
    run(*there, "mount", "--bind", str(file), str(file))
    told = said(small, "apply", "--yes")
    assert f"{file}: Device or resource busy" in told
    assert "rolled back" in told
    assert texts(small) == before
    run(*there, "umount", str(file))
    small.ctl("apply", "--yes")
    assert small.ctl("plan") == ""


@pytest.mark.reliability(
    "the disk gets full while an apply, and then rules, wait to be confirmed",
    guarantee="both are rolled back when their window has ended, files and all",
)
def test_a_disk_that_gets_full_in_a_window(small: World, outcome: Outcome) -> None:
    world = small
    assert world.daemon
    before = texts(world)
    world.write(f"{INTERFACES}.new", world.read(INTERFACES).replace(f"{HOST}/24", "198.51.100.2/24"))
    staged = texts(world)
    world.ctl("apply", "--no-probe", "--confirm", WINDOW)
    with full(world):
        world.daemon.expect("not confirmed in time: rolling back")
        until(lambda: texts(world) == staged, "the files are as before")
        until(lambda: HOST in world.host.run("ip", "-4", "address"), "the address is back")
        (world.root / f"{INTERFACES}.new").unlink()
        assert world.ctl("plan") == ""
    assert texts(world) == before
    file = "etc/pvenetd/firewall/cluster.fw"
    world.write(file, "[OPTIONS]\nenable: 1\n[RULES]\nIN DROP -source 192.0.2.1\n")
    world.ctl("firewall", "apply", "--confirm", WINDOW)
    assert "192.0.2.1" in chain(world)
    with full(world):
        world.daemon.expect("not confirmed in time: those before count again")
        until(lambda: "192.0.2.1" not in chain(world), "the rules before are loaded")
    outcome(tried=2, seen="back within the window, on a disk without room")


def chain(world: World) -> str:
    return world.host.run("nft", "list", "chain", "inet", "pvenetd", "host-in")


@pytest.mark.reliability(
    "clients take all of the daemon's file descriptors",
    guarantee="it lives; it answers and plugs again when they have gone",
)
def test_descriptors_run_out(world: World, outcome: Outcome) -> None:
    assert world.daemon
    pid = world.daemon.pid
    most = len(list(Path(f"/proc/{pid}/fd").iterdir())) + 20
    run("prlimit", f"--pid={pid}", f"--nofile={most}:{most}")
    held = []
    for _ in range(100):
        held.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        held[-1].setblocking(False)
        try:
            held[-1].connect(str(world.root / "run/pvenetd/api.sock"))
        except BlockingIOError:
            break
    until(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) >= most, "none is left")
    world.host.run("ip", "link", "add", "meanwhile", "type", "veth", "peer", "name", "elsewhere")  # which it follows
    tap = world.start_tap()  # which nobody can tell it of
    world.write("etc/pvenetd/firewall/100.fw", "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 4242\n")
    for one in held:
        one.close()
    until(lambda: request(world.root, "GET", f"vms/{VMID}")["nics"][0]["plugged"], "it has seen the tap")
    until(lambda: "4242" in world.rules(), "it has read the guest's file")
    tap.stop()
    assert world.ctl("plan") == ""
    plugs(world)
    outcome(seen=f"{most} descriptors, all of them taken")


@pytest.mark.reliability(
    "/run is wiped below the running daemon", guarantee="it is reached again by itself; nothing of the host changes"
)
def test_run_is_wiped(world: World) -> None:
    before = world.rules()
    run("rm", "-rf", str(world.root / "run"))
    until((world.root / "run/pvenetd/api.sock").exists, "the socket is there again")
    plugs(world)
    assert world.ctl("plan") == ""
    assert world.rules() == before
    world.restart_daemon()
    assert world.ctl("plan") == ""
    plugs(world)
    assert world.rules() == before


@pytest.mark.reliability(
    "20,000 changes of links while the daemon does not read: the kernel drops its notifications (ENOBUFS)",
    guarantee="it looks anew: what changed meanwhile is put right",
)
def test_a_storm_of_events(world: World, tmp_path: Path, outcome: Outcome) -> None:
    tap = world.start_tap()
    hook(world.root, "up", TAP)
    host, daemon = world.host, world.daemon
    assert daemon
    host.run("ip", "link", "add", "storm0", "type", "veth", "peer", "name", "storm1")
    (tmp_path / "storm").write_text("link set storm0 mtu 1400\nlink set storm0 mtu 1500\n" * (_STORM // 2))
    daemon.signal(signal.SIGSTOP)
    host.run("ip", "-batch", tmp_path / "storm")
    host.run("ip", "link", "set", TAP, "nomaster")
    lost = dropped(world, daemon.pid)
    daemon.signal(signal.SIGCONT)
    assert lost, "the kernel has dropped events"
    until(lambda: host.show("ip", "-j", "link", "show", TAP)[0].get("master") == "vmbr1", "the tap is put back")
    host.run("ip", "link", "delete", "storm0")
    tap.stop()
    until(lambda: not request(world.root, "GET", f"vms/{VMID}")["nics"][0]["plugged"], "it follows as before")
    assert world.ctl("plan") == ""
    outcome(tried=_STORM, seen="events were dropped, and nothing was missed")


def dropped(world: World, pid: int) -> int:
    """Return how many notifications the kernel has dropped for a process (/proc/net/netlink)."""
    rows = [line.split() for line in world.host.run("cat", "/proc/net/netlink").splitlines()[1:]]
    inodes = {link.removeprefix("socket:[").rstrip("]") for link in links(pid) if link.startswith("socket:")}
    return sum(int(row[8]) for row in rows if row[9] in inodes)


def links(pid: int) -> list[str]:
    return [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
