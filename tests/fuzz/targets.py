"""What is fed with anything: each target takes bytes, and raises nothing but for a bug.

A target holds its reader to its promises: no error but the one it declares, text that comes back as it was, nothing
unchecked in what is made of it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

from pvenetd.api.app import MAX_BODY
from pvenetd.compile import compile_interfaces
from pvenetd.errors import ConfigError
from pvenetd.firewall import backend, nft
from pvenetd.firewall.compile import Guest, Nic, compile_ruleset
from pvenetd.firewall.syntax import parse_bridge, parse_cluster, parse_guest, parse_host
from pvenetd.guests.libvirt_xml import parse_domain
from pvenetd.guests.lxc_conf import parse_lxc_conf, parse_lxc_net
from pvenetd.guests.nic import parse_net
from pvenetd.guests.qm_conf import parse_conf
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.kinds.link import Link
from pvenetd.names import is_ifname
from pvenetd.sources.qmp import Client, QmpError
from tests.api.server import NODE, OURS, fake, served
from tests.patience import PATIENCE

Target = Callable[[bytes], None]

_ON = parse_cluster("[OPTIONS]\nenable: 1\n", "cluster.fw")
_HOST = parse_host("", "host.fw")
_CARDS = {0: Nic("tap100i0", firewall=True, mac="02:00:5E:00:53:01"), 1: Nic("tap100i1", firewall=True, mac="")}


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def interfaces(data: bytes) -> None:
    """Whatever the file says, it comes back as it was, and no device of it has a name that the kernel refuses."""
    file = parse(data)
    assert str(file) == text_of(data)
    compiled = compile_interfaces(single(file), ["eth0", "eth1"])
    assert compiled.errors or compiled.state is not None
    for one in compiled.state.values():
        assert not isinstance(one, Link) or is_ifname(one.name)


def firewall(data: bytes) -> None:
    """Whatever the files say, they are refused with their lines, or can be written for both backends."""
    text = text_of(data)
    assert all(
        "".join(one(text, "x.fw").lines) == text for one in (parse_cluster, parse_host, parse_guest, parse_bridge)
    )
    for cluster, guest in ((text, "[OPTIONS]\nenable: 1\n"), ("", text)):
        with suppress(ConfigError):
            ruleset = compile_ruleset(
                parse_cluster(cluster, "cluster.fw") if cluster else _ON,
                parse_host(text, "host.fw") if cluster else _HOST,
                [Guest(100, parse_guest(guest, "100.fw"), _CARDS)],
                bridges={"vmbr0": parse_bridge(text, "vmbr0.fw")} if cluster else {},
                local_network=ip_network("192.0.2.0/24"),
            )
            assert nft.pieces(ruleset, "ct") or not ruleset.pieces
            assert backend.pieces(ruleset, "iptables") or not ruleset.pieces


def nets(data: bytes) -> None:
    """A netN string that is taken says the same when it is written, and a guest's file is never refused as a whole."""
    text = text_of(data)
    for line in {text, *text.splitlines()}:
        for read in (parse_net, parse_lxc_net):
            with suppress(ConfigError):
                nic = read(line, 0)
                assert read(str(nic), 0) == nic
    rows = text.count("\n") + 1
    for conf in (parse_conf, parse_lxc_conf):
        assert all(1 <= problem.line <= rows for problem in conf(data, 100, "100.conf").problems)


def domain(data: bytes) -> None:
    """A domain's XML is refused as a whole, or its NICs are read and their devices have names."""
    with suppress(ConfigError):
        found = parse_domain(text_of(data), "guest")
        assert found.guest is None or 0 < found.guest.vmid < 10**9


def monitor(data: bytes) -> None:
    """What a guest's QEMU says ends the session, or is heard as events with records."""
    asyncio.run(_listen(data))


async def _listen(data: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    heard: list[tuple[str, dict[str, object]]] = []
    client = Client(reader, _Nobody(), lambda event, facts: heard.append((event, facts)))  # type: ignore[arg-type]
    with suppress(QmpError, ConnectionResetError):
        await client.greet()
        await client.listen()
    assert all(isinstance(event, str) and isinstance(facts, dict) for event, facts in heard)


class _Nobody:
    """Who is written to, and does not mind."""

    def write(self, _: bytes) -> None:
        """Take it."""


BODIES = (
    f"POST {NODE}/network",
    f"PUT {NODE}/network/vmbr0",
    f"PUT {NODE}/qemu/100/config",
    f"PUT {NODE}/lxc/200/config",
    f"PUT {OURS}/vms/100",
    f"POST {OURS}/hook/qemu",
    f"POST {OURS}/hook/pve",
    f"POST {OURS}/hook/libvirt",
    f"POST {OURS}/nat",
    f"POST {OURS}/pin",
    "POST /api2/json/cluster/firewall/rules",
    "POST /api2/json/cluster/firewall/groups",
    "POST /api2/json/cluster/firewall/ipset",
    "POST /api2/json/cluster/firewall/aliases",
    "PUT /api2/json/cluster/firewall/options",
    f"POST {NODE}/qemu/100/firewall/rules",
    f"PUT {NODE}/qemu/100/firewall/rules/0",
    f"POST {NODE}/qemu/100/firewall/aliases",
    f"PUT {NODE}/qemu/100/firewall/options",
    f"PUT {NODE}/firewall/options",
)
"""What is asked of the API; none of it waits for anything but the daemon."""
KINDS = ("application/json", "application/x-www-form-urlencoded", "", "text/plain", "multipart/form-data; boundary=x")


@contextmanager
def body() -> Iterator[Target]:
    """Yield what sends a body to a daemon on a fake machine: it is answered, and never by a bug.

    The first two bytes say to which of `BODIES`, and as which of `KINDS`.
    """
    with tempfile.TemporaryDirectory() as root, asyncio.Runner() as runner, ExitStack() as stack:
        api = served(Path(root), fake())
        runner.run(api.__aenter__())
        stack.callback(lambda: runner.run(api.__aexit__(None, None, None)))
        yield lambda data: runner.run(_asked(Path(root), data))


async def _asked(root: Path, data: bytes) -> None:
    where, kind = (data + b"\0\0")[:2]
    sent = data[2:]
    head = f"{BODIES[where % len(BODIES)]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(sent)}\r\n"
    if named := KINDS[kind % len(KINDS)]:
        head += f"Content-Type: {named}\r\n"
    async with _connection(root / "run/pvenetd/api.sock") as (reader, writer):
        writer.write(head.encode() + b"\r\n" + sent)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
    status = int(answer.split(b" ", 2)[1])
    assert status < 500 or (status == 503 and b"a bug" not in answer), answer
    assert len(sent) <= MAX_BODY


@asynccontextmanager
async def _connection(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield reader, writer
    finally:
        writer.close()


@contextmanager
def _plain(target: Target) -> Iterator[Target]:
    yield target


TARGETS: dict[str, Callable[[], object]] = {
    "interfaces": lambda: _plain(interfaces),
    "firewall": lambda: _plain(firewall),
    "nets": lambda: _plain(nets),
    "domain": lambda: _plain(domain),
    "monitor": lambda: _plain(monitor),
    "body": body,
}
"""Name → what makes a target ready."""
