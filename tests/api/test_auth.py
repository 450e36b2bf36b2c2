"""Who may do what: by the kernel's word for the other end of the socket."""

from __future__ import annotations

import asyncio
import socket
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pvenetd.access.tokens import Token
from pvenetd.api.peer import peer
from pvenetd.api.route import PREFIX, Caller, Route, nodes
from pvenetd.api.routes import ROUTES
from tests.api.server import Api, fake, served

pytestmark = pytest.mark.netns  # needs root, to be somebody else

NOBODY = 65534
_NAMES = "[ALIASES]\nlan 192.0.2.0/24\n[IPSET lan]\n192.0.2.1\n"
RULES = {
    "cluster": f"[OPTIONS]\nenable: 1\n{_NAMES}[RULES]\nIN DROP\n[group web]\nIN DROP\n",
    "host": "[RULES]\nIN DROP\n",
    "100": f"{_NAMES}[RULES]\nIN DROP\n",
    "200": f"{_NAMES}[RULES]\nIN DROP\n",
    "vmbr0": "[RULES]\nFORWARD DROP\n",
}
SOMEBODY = 12345
"""A group that nobody here is in."""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def api(public: Path) -> AsyncIterator[Api]:
    async with served(public, fake()) as found:
        yield found


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_others_may_read_only(api: Api, route: Route) -> None:
    assert route.ask.__doc__
    api.socket.chmod(0o666)
    api.files.write("etc/pvenetd/lxc/200.conf", b"net0: name=eth0,bridge=vmbr0\n")
    vmid = 200 if "lxc" in route.path else 100
    await api.daemon.access.create(Token("root@pam!mine", ""))
    for name, text in RULES.items():
        api.files.write(f"etc/pvenetd/firewall/{name}.fw", text.encode())
    async with api.daemon.tasks.run("srvreload", "networking", "root") as task:
        upid = task.upid(nodes()[0])
    names = {"node": "localhost", "iface": "vmbr0", "upid": upid, "userid": "root@pam", "tokenid": "mine"}
    rules = {"bridge": "vmbr0", "vnet": "vmbr0", "group": "web", "name": "lan", "cidr": "192.0.2.1", "pos": 0}
    path = PREFIX + route.path.format(vmid=vmid, **names, **rules)
    path += "?from=outside&to=host" if path.endswith("simulate") else ""
    status, body = await api.ask(route.method, path, user=NOBODY)
    assert status == (200 if not route.writes else 400 if route.public else 403), body
    assert (await api.ask(route.method, path))[0] != 403


async def test_the_socket_as_it_is_made_keeps_others_out(api: Api) -> None:
    assert stat.S_IMODE(api.socket.stat().st_mode) == 0o660
    command = ["curl", "-s", "--unix-socket", str(api.socket), "http://localhost/"]
    made = await asyncio.create_subprocess_exec(*command, user=NOBODY, group=NOBODY, extra_groups=[])
    assert await made.wait() == 7  # curl: could not connect


@pytest.mark.parametrize(
    ("group", "groups", "may"), [(SOMEBODY, [], True), (NOBODY, [SOMEBODY], True), (NOBODY, [], False)]
)
def test_members_of_the_group_may_write(public: Path, group: int, groups: list[int], may: bool) -> None:
    path = public / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o666)
        listening.listen()
        command = ["curl", "-s", "-m", "0.01", "--unix-socket", str(path), "http://localhost/"]
        subprocess.run(command, user=NOBODY, group=group, extra_groups=groups)
        end, _ = listening.accept()
        with end:
            other = asyncio.BaseTransport({"socket": end})
            assert peer(other, SOMEBODY) == Caller("nobody", may_write=may)
            assert not peer(other, None).may_write


def test_who_is_not_known_may_not_write() -> None:
    assert peer(None, SOMEBODY) == Caller("nobody", may_write=False)
