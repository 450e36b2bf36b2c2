"""Only what differs is touched: told by the kernel's own notifications, by what is sent to it, and by the files."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from pvenetd.daemon.applies import Asked
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import Store
from pvenetd.drivers import nft
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.drivers.netlink.wire import Wire
from pvenetd.engine import Engine
from pvenetd.settings import Settings
from tests.netns import Namespaces, run, show

GUESTS = 200
ACTIVE = "etc/network/interfaces"
TEXT = """\
auto lo
iface lo inet loopback

auto eno1
iface eno1 inet manual

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.2/24
	gateway 192.0.2.1
	bridge-ports eno1
	bridge-stp off
	bridge-fd 0

iface vmbr0 inet6 static
	address 2001:db8::2/64

auto vmbr1
iface vmbr1 inet static
	address 10.10.10.1/24
	bridge-ports none
	bridge-stp off
	bridge-fd 0
	nat-masquerade vmbr0
"""
QUIET = Asked(probe=False)
_READS = {18, 22, 26, 30, 82, 114}
"""RTM_GETLINK, GETADDR, GETROUTE, GETNEIGH, GETNETCONF, GETVLAN (linux/rtnetlink.h)."""

pytestmark = pytest.mark.netns


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[Daemon]:
    files = Files(root)
    host, journal = Host(files), Journal(files)
    engine = Engine(host, journal)
    try:
        daemon = Daemon(Store(files), engine, journal, Settings(), nft.probe())
        await daemon.start()
        yield daemon
    finally:
        engine.close()
        host.close()


@contextmanager
def news() -> Iterator[Counter[str]]:
    """Yield how often the kernel has told of a change to each link, once the context ends."""
    found: Counter[str] = Counter()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as listening:
        listening.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        listening.bind((0, 1))  # RTMGRP_LINK
        yield found
        listening.setblocking(False)
        while True:
            try:
                data = listening.recv(1 << 16)
            except BlockingIOError:
                return
            while data:
                (length,) = struct.unpack_from("=I", data)
                (number,) = struct.unpack_from("=i", data, 20)
                found[socket.if_indextoname(number)] += 1
                data = data[(length + 3) & ~3 :]


def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Return the messages that go to the kernel from now on, by type."""
    found: Counter[int] = Counter()
    send = Wire._send

    def counting(self: Wire, messages: Sequence[bytes], flags: int) -> int:
        found.update(struct.unpack_from("=H", message, 4)[0] for message in messages)
        return send(self, messages, flags)

    monkeypatch.setattr(Wire, "_send", counting)
    return found


def files(root: Path) -> dict[str, tuple[int, int, int]]:
    """Return what tells of a write to any file below *root*."""
    paths = [root, *root.rglob("*")]
    return {str(path): ((there := path.lstat()).st_ino, there.st_mtime_ns, there.st_ctime_ns) for path in paths}


def generation() -> str:
    """Return the number that grows with every transaction of nftables."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as kernel:  # NETLINK_NETFILTER
        kernel.send(struct.pack("=IHHIIBBH", 20, (10 << 8) | 16, 1, 1, 0, 0, 0, 0))  # NFT_MSG_GETGEN
        return kernel.recv(1 << 12)[20:].hex()


@pytest.fixture
def root(tmp_path: Path, namespaces: Namespaces) -> Path:
    namespaces.cable("eno1")
    Files(tmp_path).write(ACTIVE, TEXT.encode())
    return tmp_path


async def test_one_option_of_a_bridge_touches_none_of_its_ports(root: Path) -> None:
    async with serving(root) as daemon:
        await daemon.interfaces.apply(QUIET)
        names = [f"tap{100 + number}i0" for number in range(GUESTS)]
        made = [f"tuntap add {name} mode tap\nlink set {name} master vmbr0 up" for name in names]
        (root / "batch").write_text("\n".join([*made, ""]))
        run("ip", "-batch", str(root / "batch"))
        assert len(show("bridge", "-j", "link", "show", "master", "vmbr0")) >= GUESTS
        assert (await daemon.interfaces.apply(QUIET)).ops == (), "others' ports are none of ours"
        for option in ("bridge-ageing 120", "bridge-maxage 30", "bridge-mcsnoop no"):
            text = TEXT.replace("bridge-ports eno1\n", f"bridge-ports eno1\n\t{option}\n")
            Files(root).write(f"{ACTIVE}.new", text.encode())
            with news() as told:
                assert len((await daemon.interfaces.apply(QUIET)).ops) >= 1
            assert told.keys() == {"vmbr0"}, option


async def test_with_nothing_to_do_nothing_is_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(root) as daemon:
        assert (await daemon.interfaces.apply(QUIET)).ops
        await daemon.interfaces.apply(QUIET)
        rules, there, kernel = generation(), files(root), sent(monkeypatch)
        with news() as told:
            assert (await daemon.interfaces.apply(QUIET)).ops == ()
            assert (await daemon.interfaces.apply(Asked(confirm=600, probe=False))).ops == ()
        assert daemon.engine.pending is None
        assert told == {}
        assert set(kernel) <= _READS, "no RTM_NEW*, RTM_DEL*, RTM_SET*"
        assert generation() == rules, "no transaction of nftables"
        assert files(root) == there, "no file either"
