"""Real connections between zones of a `World`: who got it, and whom he saw."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from tests.kernel.world import World, inside

PATIENCE = 10.0
"""Seconds for what is to happen."""
SILENCE = 1.0
"""Seconds without an answer that say there is none: on veths everything is there at once."""


class Listeners:
    """Sockets in zones that tell who connects to them, over TCP and UDP, in either family."""

    def __init__(self, world: World, *zones: str, ports: tuple[int, ...]) -> None:
        self._world = world
        self._stack = ExitStack()
        self._sockets: dict[socket.socket, str] = {}
        for zone in zones:
            with inside(world.names[zone]):
                for port in ports:
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        made = self._stack.enter_context(socket.socket(socket.AF_INET6, kind))
                        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        made.bind(("::", port))
                        if kind == socket.SOCK_STREAM:
                            made.listen()
                        made.setblocking(False)
                        self._sockets[made] = f"{zone}:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def ask(self, zone: str, proto: str, address: str, port: int, *, patience: float = PATIENCE) -> str:
        """Return ``vm/102:80 from 192.0.2.254`` for a connection that was made both ways, else what became of it."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
        with inside(self._world.names[zone]), socket.socket(family, kind) as client:
            client.settimeout(patience)
            try:
                client.connect((address, port))
                client.send(b"who?")
                seen = self._answer(client, patience)
                client.recv(10)
            except (ConnectionRefusedError, ConnectionResetError):
                return "refused"
            except TimeoutError:
                return "silence"
            except OSError as error:
                return error.strerror or str(error)
        return seen

    def _answer(self, client: socket.socket, patience: float) -> str:
        """Answer the one that has come, and return who got it and from whom.

        Raises TimeoutError, and what *client* is told instead.
        """
        ready = select.select([*self._sockets, client], [], [], patience)[0]
        if not ready:
            raise TimeoutError
        if client in ready:
            client.recv(10)
        (here,) = ready
        if here.type == socket.SOCK_STREAM:
            peer, sender = here.accept()
            peer.settimeout(patience)
            with peer:
                peer.recv(10)
                peer.send(b"me")
        else:
            _, sender = here.recvfrom(10)
            here.sendto(b"me", sender)
        source = ip_address(sender[0])
        return f"{self._sockets[here]} from {getattr(source, 'ipv4_mapped', None) or source}"


class Connection:
    """TCP from one network namespace to another, accepted; *listens* where a forward leads to another port."""

    def __init__(self, client: str, server: str, address: str, port: int, listens: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with ExitStack() as stack:
            with inside(server):
                listening = stack.enter_context(socket.socket(family))
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(("", listens or port))
                listening.listen()
                listening.settimeout(PATIENCE)
            with inside(client):
                self.client = socket.create_connection((address, port), PATIENCE)
            self.server, _ = listening.accept()
        for one in (self.client, self.server):
            one.settimeout(PATIENCE)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.close()

    def ended(self) -> bool:
        """Return whether nothing that one of them sends gets to the other."""
        return not self.goes_on(SILENCE)

    def goes_on(self, patience: float = PATIENCE) -> bool:
        """Return whether what either sends gets to the other; who answered is first."""
        for sender, getter in ((self.server, self.client), (self.client, self.server)):
            getter.settimeout(patience)
            try:
                sender.send(b"still there?")
                got = getter.recv(12)
            except OSError:  # a reset, or silence
                return False
            if not got:
                return False
        return True
