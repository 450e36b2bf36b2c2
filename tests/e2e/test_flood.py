"""Guests that flood from their first microsecond, however they come into their bridge: nothing forbidden gets on."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPException

import pytest

from tests.kernel.firewall import have_bridge_netfilter
from tests.kernel.world import frame, inside, ip_packet
from tests.patience import PATIENCE
from tests.reliability import Outcome
from tests.sandbox.client import hook, request
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, Capture
from tests.sandbox.world import GUEST_MAC, TAP, World

ALL, FORGED = "ff:ff:ff:ff:ff:ff", "02:00:00:00:0b:ad"
ALLOWED, FORBIDDEN = 24, 9999
TAG = 10
Q, AD = (0x8100, TAG), (0x88A8, TAG)
INTERFACES = """\
auto eth1
iface eth1 inet manual

auto vmbr1
iface vmbr1 inet manual
	bridge-ports eth1
	bridge-fd 0
"""
CONF = f"net0: virtio={GUEST_MAC},bridge=vmbr1,firewall=1"
RULES = f"[OPTIONS]\nenable: 1\npolicy_out: DROP\n[RULES]\nOUT ACCEPT -p udp -dport {ALLOWED}\n"
BRIDGES = [
    pytest.param("", "", "nftables", marks=pytest.mark.netns, id="bridge"),
    pytest.param("", "", "iptables", marks=pytest.mark.netns, id="iptables"),
    pytest.param("\tbridge-vlan-aware yes\n", f",tag={TAG}", "nftables", marks=pytest.mark.lab, id="vlan-aware"),
]


def udp(port: int, *tags: tuple[int, int], mac: str = GUEST_MAC, six: bool = False) -> bytes:
    ends = ("2001:db8::64", "2001:db8::fe") if six else ("192.0.2.100", "192.0.2.254")
    packet = ip_packet("udp6" if six else "udp", *ends, 5000, port)
    return frame(mac, ALL, 0x86DD if six else 0x0800, packet, *tags)


FRAMES = [
    udp(ALLOWED),
    udp(FORBIDDEN),
    udp(FORBIDDEN, six=True),
    udp(FORBIDDEN, Q),
    udp(FORBIDDEN, AD),
    udp(FORBIDDEN, Q, Q),
    udp(ALLOWED, mac=FORGED),
    frame(FORGED, ALL, 0x0806, b"forged ARP" * 3),
    frame(GUEST_MAC, ALL, 0x88B5, b"no protocol of ours" * 3),
]
OURS = f"(ether src {GUEST_MAC} or ether src {FORGED})"
WELCOME = f"ether src {GUEST_MAC} and (udp dst port {ALLOWED} or (vlan {TAG} and udp dst port {ALLOWED}))"


@dataclass
class Scene:
    """A host, a guest that floods, and who listens behind the bridge."""

    world: World
    guest: Process
    ear: socket.socket
    """Where what the guest may send gets out."""
    captures: list[Capture]
    """Of what it may not send: on the bridge, and behind it."""
    conf: str

    def announce(self) -> None:
        """Write the guest's files; its rules first, for a guest without any is not filtered."""
        self.world.write("etc/pvenetd/firewall/100.fw", RULES)
        self.world.write("etc/pvenetd/qemu-server/100.conf", self.conf)

    def forget(self) -> None:
        for name in ("qemu-server/100.conf", "firewall/100.fw"):
            (self.world.root / "etc/pvenetd" / name).unlink(missing_ok=True)
        request(self.world.root, "POST", "firewall/apply")

    def start(self) -> None:
        self.guest.send("start")
        self.guest.expect("^flooding$")

    def stop(self) -> None:
        """End the guest, and check that it did send."""
        self.guest.send("stop")
        taken = int(self.guest.expect(r"^taken (\d+), ")[1])
        assert taken > 0, "the bridge took frames of it"

    def put_into_bridge(self) -> None:
        self.world.host.run("ip", "link", "set", TAP, "master", "vmbr1", "up")

    def heard(self, seconds: float = PATIENCE) -> bool:
        """Return whether a frame that the guest may send gets out within *seconds*."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.ear.settimeout(left)
            with suppress(TimeoutError):
                if FRAMES[0][-16:] in self.ear.recv(2048):
                    return True
        return False

    def deafen(self) -> None:
        """Forget what was heard."""
        self.ear.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.ear.recv(2048)

    def check(self) -> None:
        for capture in self.captures:
            lines = [line for line in capture.seen(f"{GUEST_MAC}|{FORGED}") if "listening" not in line]
            assert not lines, f"on {capture.link}"


@pytest.fixture
def scene(aware: str, tag: str, backend: str) -> Iterator[Scene]:
    if backend == "iptables":
        have_bridge_netfilter()
    with World(cables=("eth0", "eth1")) as world, ExitStack() as stack:
        world.write("etc/network/interfaces", INTERFACES + aware)
        world.write("etc/pvenetd/pvenetd.toml", f'[firewall]\nbackend = "{backend}"\n')
        for name in ("qemu-server/100.conf", "firewall/100.fw"):
            (world.root / "etc/pvenetd" / name).unlink()
        world.provider.run("ip", "link", "set", "customer1", "up")
        world.start_daemon()
        world.ctl("apply")
        with inside(world.provider.name):
            ear = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
            ear.bind(("customer1", 3))
        forbidden = f"{OURS} and not ({WELCOME})"
        captures = [
            world.capture(world.host, "vmbr1", forbidden),
            world.capture(world.provider, "customer1", forbidden),
        ]
        command = [*world.host.prefix(), sys.executable, "-m", "tests.sandbox.flood", TAP, *(f.hex() for f in FRAMES)]
        guest = world.keep(Process("flood", command, {"PYTHONPATH": str(CHECKOUT)}))
        yield Scene(world, guest, ear, captures, f"{CONF}{tag}\n")


@pytest.mark.reliability(
    "a guest that floods with forged frames while its NIC is plugged and unplugged, 200 times",
    guarantee="not one forged frame leaves its port",
)
@pytest.mark.parametrize(("aware", "tag", "backend"), BRIDGES)
def test_two_hundred_starts_by_the_script(scene: Scene, outcome: Outcome) -> None:
    scene.announce()
    for _ in range(200):
        scene.deafen()
        scene.start()
        hook(scene.world.root, "up", TAP)
        assert scene.heard()
        hook(scene.world.root, "down", TAP)
        scene.stop()
    scene.check()
    outcome(tried=200, seen="no forged frame was seen outside")


@pytest.mark.reliability(
    "a flooding tap that is put into a bridge behind the daemon's back",
    guarantee="nothing passes, until it is announced and filtered",
)
@pytest.mark.parametrize(("aware", "tag", "backend"), BRIDGES)
def test_a_tap_that_is_in_the_bridge_before_anybody_has_told(scene: Scene) -> None:
    """As libvirt does it at a hotplug, for a guest that no file tells of yet."""
    for _ in range(20):
        scene.start()
        scene.put_into_bridge()
        assert not scene.heard(0.05), "not even what it will be allowed"
        scene.announce()
        hook(scene.world.root, "up", TAP)
        assert scene.heard()
        hook(scene.world.root, "down", TAP)
        scene.stop()
        scene.forget()
        scene.deafen()
    scene.check()


@pytest.mark.reliability(
    "`kill -9` of the daemon while it plugs a guest that floods",
    guarantee="not one forged frame leaves its port; the next daemon plugs it",
)
@pytest.mark.parametrize(("aware", "tag", "backend"), BRIDGES)
def test_the_daemon_is_killed_while_a_guest_is_plugged(scene: Scene) -> None:
    """… wherever it is in it: `tests/kernel/test_kill_plug.py` tries every moment."""
    for _ in range(4):
        scene.start()
        scene.put_into_bridge()
        scene.announce()
        asking = threading.Thread(target=_ask, args=(scene,))
        asking.start()
        scene.world.restart_daemon(signal.SIGKILL)
        asking.join()
        hook(scene.world.root, "up", TAP)
        assert scene.heard()
        hook(scene.world.root, "down", TAP)
        scene.stop()
        scene.forget()
        scene.deafen()
        scene.check()


def _ask(scene: Scene) -> None:
    with suppress(OSError, HTTPException, AssertionError):
        hook(scene.world.root, "up", TAP)
