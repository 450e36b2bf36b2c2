"""A daemon on a fake machine, served at a real UNIX socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from pvenetd.api.app import serve
from pvenetd.api.errors import NoMethodError
from pvenetd.api.openapi import document
from pvenetd.api.peer import listening
from pvenetd.api.route import find
from pvenetd.api.routes import ROUTES
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import Store
from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.errors import NotFound
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.machine import Machine
from pvenetd.settings import Api as ApiSettings
from pvenetd.settings import Settings
from tests.api.conform import Document

DOCUMENT = Document(document(ROUTES))
NODE = "/api2/json/nodes/localhost"
OURS = f"{NODE}/pvenetd"

INTERFACES = """\
auto lo
iface lo inet loopback

iface eth0 inet manual

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.1/24
	gateway 192.0.2.254
	bridge-ports eth0
	bridge-fd 0
"""
STAGED = INTERFACES.replace("bridge-fd 0", "bridge-fd 0\n\tbridge-ageing 120")
GUEST = "name: web\nnet0: virtio=02:00:5E:00:53:01,bridge=vmbr0,firewall=1\n"


UNLIMITED = Settings(api=ApiSettings(rate=0, port_metrics=True))


class Api:
    """What a test asks, and what it asks it of."""

    def __init__(self, daemon: Daemon, files: Files, machine: Machine) -> None:
        self.daemon, self.files, self.root = daemon, files, files.root
        self.machine = machine
        self.socket = files.root / "run/pvenetd/api.sock"

    async def ask(self, method: str, path: str, *options: str, user: int | None = None) -> tuple[int, dict[str, Any]]:
        """Return status and record of a request by curl, run as *user*; the document must say such an answer."""
        body, _, status = (await self.text(method, path, "-w", "\n%{http_code}", *options, user=user)).rpartition("\n")
        found = int(status), json.loads(body)
        with suppress(NotFound, NoMethodError):
            route, _ = find(ROUTES, method, path.partition("?")[0])
            assert not DOCUMENT.wrong(route.method, route.path, *found)
        return found

    async def text(self, method: str, path: str, *options: str, user: int | None = None) -> str:
        """Return what curl prints."""
        command = ["curl", "-s", "-X", method, "--unix-socket", str(self.socket), *options]
        identity: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        made = await asyncio.create_subprocess_exec(
            *command, f"http://localhost{path}", stdout=asyncio.subprocess.PIPE, **identity
        )
        return (await made.communicate())[0].decode()

    async def data(self, method: str, path: str, *options: str) -> Any:
        """Return the data of a request that is not refused."""
        status, body = await self.ask(method, path, *options)
        assert status == 200, body
        return body["data"]


def fake() -> Fake:
    """Return a machine with a NIC."""
    return Fake([Ethernet(name="eth0", up=False)], ["net/ipv4/ip_forward"])


@asynccontextmanager
async def served(root: Path, machine: Machine, settings: Settings = UNLIMITED) -> AsyncIterator[Api]:
    """Yield a served daemon of *root*, which gets an example configuration."""
    files = Files(root)
    for name, text in (
        ("etc/network/interfaces", INTERFACES),
        ("etc/pvenetd/qemu-server/100.conf", GUEST),
        ("etc/pvenetd/firewall/cluster.fw", "[OPTIONS]\nenable: 1\n"),
        ("etc/pvenetd/firewall/100.fw", "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 22\n"),
    ):
        files.write(name, text.encode())
    journal = Journal(files)
    engine = Engine(machine, journal)
    try:
        with listening(root / "run/pvenetd/api.sock") as socket:
            daemon = Daemon(Store(files), engine, journal, settings, "ct")
            await daemon.start()
            async with serve(daemon, socket):
                yield Api(daemon, files, machine)
            await daemon.firewall.files.flush()
    finally:
        engine.close()
