"""DHCP with real clients and a real server: dhclient and dhcpcd against dnsmasq, of both families."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest

from pvenetd.drivers.clients import PROGRAMS
from pvenetd.drivers.files import Files
from pvenetd.drivers.host import Host
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.plan import plan
from pvenetd.resource import Resource
from pvenetd.state import INTERFACES, Address, Client, Sysctl, state
from tests.kernel.test_addresses import Monitor
from tests.kernel.test_kill import apply, finishes, prepare, recover
from tests.kernel.test_netlink import link, ours
from tests.netns import Namespaces, run, show
from tests.patience import PATIENCE
from tests.sandbox.process import Process

pytestmark = pytest.mark.netns

NIC = Ethernet(**ours(name="eno1"))
MINE = (
    Address(**ours(dev="eno1", address="198.51.100.1/24")),
    Address(**ours(dev="eno1", address="2001:db8:7::1/64", nodad=True)),
)
HOOK = Path(__file__).parent.parent.parent / "hooks/dhclient-enter"
_GROUPS = 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE."""
_PAUSE = 0.2
"""Seconds after which is looked again: of a process that comes or goes there is no event."""
both = pytest.mark.parametrize("program", PROGRAMS)


def client(family: str, **values: object) -> Client:
    return Client.model_validate(ours(iface="eno1", family=family, **values))


@pytest.fixture
def root(tmp_path: Path, namespaces: Namespaces) -> Iterator[Path]:
    """A host with a cable to a DHCP server; at the end no client is left."""
    namespaces.cable("eno1")
    there = tmp_path / "etc/dhcp/dhclient-enter-hooks.d/pvenetd"
    there.parent.mkdir(parents=True)
    there.write_bytes(HOOK.read_bytes())
    (tmp_path / "etc/dhcp/dhclient.conf").write_text("request subnet-mask, routers;\n")
    (tmp_path / "etc/dhcpcd.conf").write_text("noarp\noption routers\n")
    yield tmp_path
    with closing(Host(Files(tmp_path))) as host:
        bring(host)
    assert clients() == []


@pytest.fixture
def server(root: Path, namespaces: Namespaces) -> Iterator[Process]:
    words = [
        "dnsmasq",
        "--keep-in-foreground",
        "--log-facility=-",
        "--conf-file=/dev/null",
        "--port=0",
        "--log-dhcp",
        "-u",
        "root",
    ]
    ranges = ["--dhcp-range=192.0.2.100,192.0.2.150,120", "--dhcp-range=2001:db8::100,2001:db8::1ff,64,120"]
    with namespaces.away():
        run("ip", "address", "add", "192.0.2.254/24", "dev", "eno1")
        run("ip", "address", "add", "2001:db8::fe/64", "dev", "eno1", "nodad")
        more = ["--interface=eno1", "--bind-interfaces", "--enable-ra", "--dhcp-authoritative", "--no-ping"]
        found = Process("dnsmasq", [*words, *ranges, *more, f"--dhcp-leasefile={root}/leases"])
    found.expect("sockets bound|DHCP, IP range")
    yield found
    found.stop()


def bring(host: Host, *wanted: Resource) -> list[str]:
    desired = state(wanted)
    ops = plan(desired, host.observe(desired.keys()), {INTERFACES})
    for op in ops:
        host.apply(op)
    assert plan(desired, host.observe(desired.keys()), {INTERFACES}) == ()
    return [str(op) for op in ops]


def clients() -> list[int]:
    """Return the DHCP clients of this network namespace: the process that leads each."""
    here = Path("/proc/thread-self/ns/net").stat().st_ino
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            name = (directory / "comm").read_text().strip()
            inside = (directory / "ns/net").stat().st_ino == here
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if name in PROGRAMS and inside and fields[0] != "Z" and int(fields[2]) == int(directory.name):
            found.append(int(directory.name))
    return found


def addresses() -> set[str]:
    return {one["local"] for one in link("eno1")["addr_info"] if not one["local"].startswith("fe80")}


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for addresses, routes and processes to change until *condition* holds."""
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        events.bind((0, _GROUPS))
        while time.monotonic() < deadline:
            if condition():
                return
            select.select([events], [], [], _PAUSE)
            with suppress(BlockingIOError):
                events.recv(1 << 16, socket.MSG_DONTWAIT)
    raise AssertionError(f"not within {seconds:g} s: {addresses()}")


@both
def test_a_lease_from_start_to_release(program: str, root: Path, server: Process) -> None:
    with closing(Host(Files(root), program)) as host:
        bring(host, NIC, *MINE, client("inet", hostname="pve-a", vendor="v1", metric=77))
        server.expect("vendor class: v1")
        until(lambda: any(one.startswith("192.0.2.") for one in addresses()))
        server.expect(r"DHCPACK\(eno1\) 192\.0\.2\..* pve-a")
        until(lambda: bool(show("ip", "-j", "-4", "route", "show", "default")))
        (leased,) = addresses() - {"198.51.100.1", "2001:db8:7::1"}
        (route,) = show("ip", "-j", "-4", "route", "show", "default")
        assert (route["gateway"], route["metric"]) == ("192.0.2.254", 77)
        assert bring(host, NIC, *MINE, client("inet", hostname="pve-a", vendor="v1", metric=77)) == []
        assert bring(host, NIC, *MINE) == ["- client eno1 inet"]
        server.expect(rf"DHCPRELEASE\(eno1\) {leased}")
        assert addresses() == {"198.51.100.1", "2001:db8:7::1"}
    assert clients() == []


@both
def test_other_options_start_it_anew_and_keep_the_lease(program: str, root: Path, server: Process) -> None:
    with closing(Host(Files(root), program)) as host:
        bring(host, NIC, client("inet", hostname="pve-a"))
        until(lambda: len(addresses()) == 1)
        first, monitor = clients(), Monitor("address", "ip", "address")
        bring(host, NIC, client("inet", hostname="pve-b"))
        server.expect("DHCPACK.* pve-b")
        until(lambda: len(clients()) == 1)
        assert clients() != first
        assert not [line for line in monitor.end() if line.startswith("Deleted")]
        assert not any("DHCPRELEASE" in line for line in server.lines)


@both
@pytest.mark.usefixtures("server")
def test_it_is_found_again_and_there_is_one(program: str, root: Path) -> None:
    with closing(Host(Files(root), program)) as host:
        bring(host, NIC, client("inet"))
        until(lambda: len(addresses()) == 1)
    first = clients()
    assert len(first) == 1
    with closing(Host(Files(root), program)) as host:
        assert bring(host, NIC, client("inet")) == []
        assert clients() == first
        os.kill(first[0], signal.SIGKILL)
        until(lambda: client("inet").key not in host.observe())
        assert bring(host, NIC, client("inet")) == ["+ client eno1 inet"], "it is noticed that it died"
        until(lambda: len(clients()) == 1)


@both
@pytest.mark.usefixtures("server")
def test_one_that_somebody_else_has_started_is_taken_over(program: str, root: Path) -> None:
    words = {
        "dhclient": "dhclient -4 -nw -pf /run/dhclient.eno1.pid -lf /var/lib/dhcp/dhclient.eno1.leases eno1",
        "dhcpcd": "dhcpcd -4 -b --persistent eno1",
    }
    with closing(Host(Files(root), program)) as host:
        bring(host, NIC)
        inside = 'cd "$0"; for d in etc run var; do mkdir -p $d var/lib/dhcp; mount --bind $d /$d; done; '
        run("unshare", "--mount", "sh", "-c", f"{inside} {words[program]} >/dev/null 2>&1", str(root))
        until(lambda: len(addresses()) == 1)
        first, monitor = clients(), Monitor("address", "ip", "address")
        bring(host, NIC, client("inet"))
        until(lambda: len(clients()) == 1)
        assert clients() != first
        assert not [line for line in monitor.end() if line.startswith("Deleted")]


@both
def test_ipv6_by_dhcp(program: str, root: Path, server: Process) -> None:
    with closing(Host(Files(root), program)) as host:
        bring(host, NIC, *MINE, client("inet6"))
        until(lambda: any(one.startswith("2001:db8::1") for one in addresses()))
        assert {"198.51.100.1", "2001:db8:7::1"} <= addresses()
        bring(host, NIC, *MINE)
        server.expect(r"DHCPRELEASE\(eno1\)")
        until(lambda: addresses() == {"198.51.100.1", "2001:db8:7::1"})


@both
def test_addresses_by_router_advertisement_and_the_rest_by_dhcp(
    program: str, root: Path, server: Process, namespaces: Namespaces
) -> None:
    server.stop()
    with namespaces.away():
        words = ["dnsmasq", "-k", "--log-facility=-", "--conf-file=/dev/null", "--port=0", "-i", "eno1", "-uroot"]
        slaac = Process("dnsmasq", [*words, "--dhcp-range=2001:db8::,ra-stateless", "--enable-ra", "--log-dhcp"])
    slaac.expect("router advertisement")
    settings = {"accept_ra": "2", "autoconf": "1"}
    wanted = [
        Sysctl(**ours(name=f"net/ipv6/conf/eno1/{name}", value=value, dev="eno1")) for name, value in settings.items()
    ]
    try:
        with closing(Host(Files(root), program)) as host:
            bring(host, NIC, *wanted, client("inet6", stateless=True))
            until(lambda: any(one.startswith("2001:db8:") for one in addresses()))
            slaac.expect("DHCPINFORMATION-REQUEST")
            slaac.stop()
            assert bring(host, NIC, *wanted, client("inet6", stateless=True)) == []
    finally:
        slaac.stop()


@pytest.fixture
def swept(tmp_path: Path, namespaces: Namespaces) -> Iterator[Namespaces]:
    """A host of which no client is left at the end, whatever happens."""
    yield namespaces
    with closing(Host(Files(tmp_path))) as host:
        bring(host)


def test_killed_at_any_moment_there_is_one_client_or_none(tmp_path: Path, swept: Namespaces) -> None:
    case = prepare("client/new", tmp_path, swept)
    for at in count():
        finished = finishes(tmp_path, at, apply(case))
        recover(tmp_path)
        if finished or Files(tmp_path).read("etc/network/interfaces") != b"# what was active before\n":
            break
        assert clients() == [], f"as before when killed at moment {at}"
    until(lambda: len(clients()) == 2)
    with closing(Host(Files(tmp_path))) as host:
        assert plan(case.desired, host.observe(case.desired.keys()), {INTERFACES}) == ()
        bring(host)
    assert clients() == []
