"""Packets that the kernel logs, as it tells of them."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from pvenetd.firewall.log import Logged
from pvenetd.sources.nflog import Nflog
from tests.netns import fresh, run

RULES = (
    "add table inet other",
    "add chain inet other input { type filter hook input priority 0; policy accept; }",
    'add rule inet other input udp dport 4711 log prefix ":100:6:in: policy DROP: 100.fw:4" group 0',
)

PATIENCE = 60.0

pytestmark = pytest.mark.netns


@pytest.fixture
def nflog() -> Iterator[Nflog]:
    """Yield a listener in a namespace of its own, whose rule logs UDP to port 4711."""
    with fresh(), closing(Nflog()) as listener:
        for rule in RULES:
            run("nft", rule)
        yield listener


def packets(nflog: Nflog, count: int) -> list[Logged]:
    found: list[Logged] = []
    while len(found) < count:
        assert select.select([nflog], [], [], PATIENCE)[0], found
        found += nflog.packets()[0]
    return found


def send(family: socket.AddressFamily, address: str, count: int = 1) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"secret" * 100, (address, 4711))


@pytest.mark.parametrize(
    ("family", "address", "ethertype"), [(socket.AF_INET, "127.0.0.1", 0x0800), (socket.AF_INET6, "::1", 0x86DD)]
)
def test_a_logged_packet_comes_with_prefix_device_and_headers_and_little_of_what_it_holds(
    nflog: Nflog, family: socket.AddressFamily, address: str, ethertype: int
) -> None:
    send(family, address)
    (one,) = packets(nflog, 1)
    assert (one.prefix, one.device_in, one.ethertype) == (":100:6:in: policy DROP: 100.fw:4", "lo", ethertype)
    assert 48 <= len(one.packet) <= 128


def test_many_come_in_turns_and_none_twice(nflog: Nflog) -> None:
    send(socket.AF_INET, "127.0.0.1", 500)
    assert len(packets(nflog, 500)) == 500
    assert nflog.packets() == ([], False)


def test_a_second_listener_is_refused_with_the_reason(nflog: Nflog) -> None:
    del nflog
    with pytest.raises(OSError, match="another program listens there"):
        Nflog()
