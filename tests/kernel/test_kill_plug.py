"""``kill -9`` at every moment of a plug and an unplug, while the guest floods: nothing forbidden passes, ever."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import Store
from pvenetd.drivers import nft
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import Engine
from pvenetd.settings import Settings
from tests.harness import run_async
from tests.kernel.firewall import have_bridge_netfilter
from tests.kernel.test_kill import finishes
from tests.kernel.world import frame, ip_packet
from tests.netns import Namespaces, run
from tests.reliability import Outcome
from tests.sandbox.flood import Guest
from tests.sandbox.tap import make

MAC, TAP = "02:00:00:00:01:00", "tap100i0"
FILES = {
    "etc/network/interfaces": "auto vmbr0\niface vmbr0 inet manual\n\tbridge-ports out\n\tbridge-fd 0\n",
    "etc/pvenetd/firewall/cluster.fw": "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n",
    "etc/pvenetd/firewall/100.fw": "[OPTIONS]\nenable: 1\npolicy_out: DROP\n[RULES]\nOUT ACCEPT -p udp -dport 24\n",
}
CONF = "etc/pvenetd/qemu-server/100.conf"
WITNESS = """\
table bridge witness {
	chain passed {
		type filter hook postrouting priority 400; policy accept;
		oifname "out" meta protocol ip meta l4proto 17 th dport 24 counter accept comment "allowed"
		oifname "out" ether saddr 02:00:00:00:01:00 counter comment "forbidden"
	}
}
"""
"""Counts what leaves the bridge, behind all of pvenetd's chains."""


def udp(port: int) -> bytes:
    return frame(MAC, "ff:ff:ff:ff:ff:ff", 0x0800, ip_packet("udp", "192.0.2.100", "192.0.2.254", 5000, port))


def passed() -> dict[str, int]:
    """Return how many frames have passed, by kind."""
    listed = json.loads(run("nft", "-j", "list", "table", "bridge", "witness"))["nftables"]
    rules = [entry["rule"] for entry in listed if "rule" in entry]
    return {rule["comment"]: next(e["counter"]["packets"] for e in rule["expr"] if "counter" in e) for rule in rules}


async def with_daemon(engine: Engine, files: Files, job: Callable[[Daemon], Awaitable[object]]) -> None:
    daemon = Daemon(Store(files), engine, Journal(files), Settings(), nft.probe())
    daemon.guard.tells_bridge = nft.tells_bridge()
    await daemon.adopt()
    await job(daemon)


def do(root: Path, job: Callable[[Daemon], Awaitable[object]]) -> None:
    files = Files(root)
    with closing(Host(files)) as host, closing(Engine(host, Journal(files))) as engine:
        run_async(with_daemon(engine, files, job))


async def plug(daemon: Daemon) -> None:
    await daemon.load()
    await daemon.guests.plug(100, made_here=False)


async def unplug(daemon: Daemon) -> None:
    await daemon.guests.unplug(100)


async def load(daemon: Daemon) -> None:
    await daemon.load()


@pytest.fixture
def host(tmp_path: Path, namespaces: Namespaces) -> Iterator[Path]:
    del namespaces  # this is one
    have_bridge_netfilter()
    out = make("out")  # a cable's carrier takes its time, a tap's is there
    run("ip", "link", "add", "vmbr0", "type", "bridge", "forward_delay", "0")
    run("ip", "link", "set", "vmbr0", "up")
    run("ip", "link", "set", "out", "master", "vmbr0", "up")
    files = Files(tmp_path)
    for name, text in FILES.items():
        files.write(name, text.encode())
    files.write("witness.nft", WITNESS.encode())
    do(tmp_path, load)
    run("nft", "-f", str(tmp_path / "witness.nft"))
    yield tmp_path
    os.close(out)


@pytest.mark.reliability(
    "`kill -9` at each moment of a plug while the guest floods",
    guarantee="nothing that its rules forbid passes; the next daemon plugs it",
)
@pytest.mark.netns
def test_a_plug(host: Path, outcome: Outcome) -> None:
    for at in count():
        guest = Guest(TAP, [udp(24), udp(25)])
        run("ip", "link", "set", TAP, "master", "vmbr0", "up")
        before = passed()
        Files(host).write(CONF, f"net0: virtio={MAC},bridge=vmbr0,firewall=1\n".encode())
        finished = finishes(host, at, lambda engine: with_daemon(engine, Files(host), plug))
        assert passed()["forbidden"] == 0, f"killed at moment {at}"
        do(host, plug)
        guest.stop()
        after = passed()
        assert after["forbidden"] == 0
        assert after["allowed"] > before["allowed"], "the next daemon has plugged it"
        (host / CONF).unlink()
        do(host, load)
        if finished:
            break
    assert at >= 4, "there is a moment before and after the chains, and the port"
    outcome(tried=at, seen="no forbidden frame left the bridge")


@pytest.mark.reliability(
    "`kill -9` at each moment of an unplug while the guest floods",
    guarantee="nothing that its rules forbid passes; the next daemon unplugs it",
)
@pytest.mark.netns
def test_an_unplug(host: Path, outcome: Outcome) -> None:
    Files(host).write(CONF, f"net0: virtio={MAC},bridge=vmbr0,firewall=1\n".encode())
    for at in count():
        guest = Guest(TAP, [udp(24), udp(25)])
        do(host, plug)
        finished = finishes(host, at, lambda engine: with_daemon(engine, Files(host), unplug))
        assert passed()["forbidden"] == 0, f"killed at moment {at}"
        do(host, unplug)
        guest.stop()
        assert passed()["forbidden"] == 0
        if finished:
            break
    assert at >= 2
    outcome(tried=at, seen="no forbidden frame left the bridge")


@pytest.mark.netns
def test_a_port_that_is_in_the_bridge_alone_gets_nothing_at_all(host: Path) -> None:
    guest = Guest(TAP, [udp(24), udp(25)])
    run("ip", "link", "set", TAP, "master", "vmbr0", "up")
    do(host, load)
    guest.stop()
    assert passed() == {"allowed": 0, "forbidden": 0}
