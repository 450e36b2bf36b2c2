"""What takes more than a rule: connections that belong to others (FTP, TFTP), and queues that others decide in."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest

from tests.kernel.firewall import compiled, have_bridge_netfilter
from tests.kernel.lines import Line, parse
from tests.kernel.packets import Player
from tests.kernel.queue import Listener
from tests.kernel.test_firewall_packets import CT, IPTABLES, MARK, Backend
from tests.kernel.world import World, inside, world
from tests.patience import PATIENCE

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
CLUSTER = "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n"
HELPERS = "[OPTIONS]\nnf_conntrack_helpers: ftp,tftp\n"
CLOSED = "[OPTIONS]\nenable: 1\npolicy_in: REJECT\n[RULES]\nIN FTP(ACCEPT)\n"


class Talk:
    """Two who talk FTP or TFTP, in their namespaces."""

    def __init__(self, made: World, client: str, server: str, version: int, seconds: float) -> None:
        self.made, self.client, self.server, self.version = made, client, server, version
        self.seconds = seconds
        """How long a further connection is waited for: not everybody who is refused is told."""
        self.open = ExitStack()

    def _listen(self, zone: str, kind: socket.SocketKind, port: int = 0) -> socket.socket:
        with inside(self.made.names[zone]):
            found = self.open.enter_context(socket.socket(FAMILIES[self.version], kind))
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.settimeout(PATIENCE)
        found.bind((self.made.address(zone, self.version), port))
        if kind == socket.SOCK_STREAM:
            found.listen()
        return found

    def _connect(self, zone: str, other: str, port: int, seconds: float = PATIENCE) -> socket.socket:
        with inside(self.made.names[zone]):
            found = self.open.enter_context(socket.socket(FAMILIES[self.version], socket.SOCK_STREAM))
        found.settimeout(seconds)
        found.connect((self.made.address(other, self.version), port))
        return found

    def ftp(self, *, passive: bool) -> bool:
        """Return whether the connection for data is made, by the server where it is not *passive*."""
        with self.open:
            door = self._listen(self.server, socket.SOCK_STREAM, 21)
            asking = self._connect(self.client, self.server, 21)
            answering = self.open.enter_context(door.accept()[0])
            _say(answering, asking, "220 ready")
            _say(asking, answering, "USER anonymous")
            near, far = (self.server, self.client) if passive else (self.client, self.server)
            port = self._listen(near, socket.SOCK_STREAM).getsockname()[1]
            where = f"{self.made.address(near, self.version).replace('.', ',')},{port >> 8},{port & 255}"
            if passive:
                _say(asking, answering, "PASV" if self.version == 4 else "EPSV")
                told = f"227 Entering Passive Mode ({where})." if self.version == 4 else f"229 Extended (|||{port}|)"
                _say(answering, asking, told)
            else:
                address = self.made.address(near, self.version)
                _say(asking, answering, f"PORT {where}" if self.version == 4 else f"EPRT |2|{address}|{port}|")
            try:
                self._connect(far, near, port, self.seconds)
            except OSError:
                return False
            return True

    def tftp(self) -> bool:
        """Return whether the answer arrives, which comes from another port than the one that was asked."""
        with self.open:
            door = self._listen(self.server, socket.SOCK_DGRAM, 69)
            asking = self._listen(self.client, socket.SOCK_DGRAM)
            asking.sendto(b"\0\1file\0octet\0", door.getsockname()[:2])
            _, client = door.recvfrom(100)
            answering = self._listen(self.server, socket.SOCK_DGRAM)
            answering.sendto(b"\0\3\0\1content", client)
            asking.settimeout(self.seconds)
            with suppress(TimeoutError):
                return bool(asking.recv(100))
            return False


def _say(who: socket.socket, whom: socket.socket, line: str) -> None:
    """Have a line arrive: a helper reads those alone that begin where it knows that one begins."""
    who.sendall(f"{line}\r\n".encode())
    assert whom.recv(1000)


def talks(made: World, seconds: float) -> dict[str, bool]:
    """Return which of the further connections there are, each within *seconds*."""
    found = {}
    for version in FAMILIES:
        found[f"passive, to a guest, IPv{version}"] = Talk(made, "outside", "vm/100", version, seconds).ftp(
            passive=True
        )
        found[f"active, by a guest, IPv{version}"] = Talk(made, "vm/100", "outside", version, seconds).ftp(
            passive=False
        )
        found[f"active, routed, IPv{version}"] = Talk(made, "vm/100", "vm/102", version, seconds).ftp(passive=False)
        found[f"TFTP, IPv{version}"] = Talk(made, "vm/100", "outside", version, seconds).tftp()
    return found


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(MARK, id="nftables-mark", marks=pytest.mark.netns),
        pytest.param(CT, id="nftables-ct", marks=pytest.mark.lab),
        pytest.param(IPTABLES, id="iptables", marks=pytest.mark.netns),
    ],
)
def test_what_belongs_to_a_connection_passes_by_its_helper_and_not_without(backend: Backend) -> None:
    if backend.bridge_nf:
        have_bridge_netfilter()
    with world(bridge_nf=backend.bridge_nf) as made:
        for host, helped in (("", False), (HELPERS, True)):
            backend.load(made, compiled({"cluster.fw": CLUSTER, "host.fw": host, "100.fw": CLOSED}))
            found = talks(made, PATIENCE if helped else 0.3)
            assert [one for one, passes in found.items() if passes is not helped] == []


IPS = {
    "cluster.fw": CLUSTER + "[group web]\nIN HTTP(ACCEPT)\n",
    "100.fw": "[OPTIONS]\nenable: 1\nips: 1\nips_queues: 3:4\n[RULES]\nIN SSH(ACCEPT)\nGROUP web\n",
    "101.fw": "[OPTIONS]\nenable: 1\n[RULES]\nIN SSH(ACCEPT)\n",
}
ASKED = """\
outside vm/100 tcp  22 ACCEPT
outside vm/100 tcp6 22 ACCEPT
vm/109  vm/100 tcp  80 ACCEPT
vm/102  vm/100 tcp  22 ACCEPT
"""
"""What the rules let in, and the queues decide about."""
ANSWERED = "vm/100 outside udp 53 ACCEPT\n"
"""What a guest begins: the queues see the answer."""
REST = """\
outside vm/100 tcp  23 DROP
outside vm/101 tcp  22 ACCEPT
"""
"""What no queue gets: what is refused, and what is for other guests."""


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(IPTABLES, id="iptables", marks=pytest.mark.netns),
        pytest.param(MARK, id="nftables-mark", marks=pytest.mark.lab),
        pytest.param(CT, id="nftables-ct", marks=pytest.mark.lab),
    ],
)
def test_what_a_guest_gets_is_for_its_queues_to_decide_and_passes_while_nobody_listens(backend: Backend) -> None:
    if backend.bridge_nf:
        have_bridge_netfilter()
    asked, rest = parse(ASKED), parse(REST)
    answered = [*asked, *parse(ANSWERED)]
    with world(bridge_nf=backend.bridge_nf) as made:
        backend.load(made, compiled(IPS))
        with Player(made) as player:
            assert _unlike(player, [*answered, *rest]) == []
            for lets_pass in (True, False):
                judged = answered if lets_pass else [replace(line, verdict="DROP") for line in asked]
                first = player.number
                with Listener(made.names["host"], (3, 4), lets_pass=lets_pass) as listener:
                    assert _unlike(player, [*judged, *rest]) == []
                seen = [any(b"pv%06d" % number in one for one in listener.seen) for number in range(first, first + 10)]
                assert seen[: len(judged) + len(rest)] == [*([True] * len(judged)), *([False] * len(rest))]
            assert _unlike(player, [*answered, *rest]) == []


def _unlike(player: Player, lines: list[Line]) -> list[str]:
    """Return what meets another verdict than its own."""
    return [
        f"{line}: {found}" for line, found in zip(lines, player.verdicts(lines), strict=True) if found != line.verdict
    ]
