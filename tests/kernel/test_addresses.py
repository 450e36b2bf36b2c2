"""Addresses, routes and settings of interfaces on the real kernel, judged by ip(8) and /proc/sys."""

from __future__ import annotations

import select
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pvenetd.drivers.host import Host
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.plan import Op
from pvenetd.state import Address, Route, Sysctl
from tests.kernel.test_netlink import bring, link, ours
from tests.netns import run, show
from tests.patience import PATIENCE

pytestmark = pytest.mark.netns
NIC = Ethernet(**ours(name="eno1"))


def address(**values: Any) -> Address:
    return Address(**ours(dev="eno1", **values))


def shown(local: str) -> dict[str, Any]:
    return next(one for one in link("eno1")["addr_info"] if one["local"] == local)


def setting(name: str) -> str:
    return Path("/proc/sys/net", name).read_text().strip()


def sysctl(name: str, value: str) -> Sysctl:
    return Sysctl(**ours(name=f"net/{name}", value=value, dev="eno1"))


class Monitor:
    """What ``ip monitor`` tells, from when it listens until it is asked."""

    def __init__(self, what: str, *poke: str) -> None:
        words = ["ip", "-o", "monitor", what]
        self._poke, self._pokes = poke, 0
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._until_it_tells()

    def _until_it_tells(self) -> list[str]:
        """Poke until the poke itself is told, and return what was told before."""
        assert self._process.stdout
        seen: list[str] = []
        for _ in range(250):  # a minute or two; 203.0.113.0/24 has as many
            self._pokes += 1
            mark = f"203.0.113.{self._pokes}"
            run(*self._poke, "add", f"{mark}/32", "dev", "lo")
            run(*self._poke, "del", f"{mark}/32", "dev", "lo")
            if select.select([self._process.stdout], [], [], 0.4)[0]:
                while not (
                    "Deleted" in (line := self._process.stdout.readline()) and mark in line.replace("/", " ").split()
                ):
                    seen.append(line)
                return [line for line in seen if "203.0.113." not in line]
        raise AssertionError("ip monitor tells nothing")

    def end(self) -> list[str]:
        seen = self._until_it_tells()
        self._process.terminate()
        self._process.communicate()
        return seen


def test_everything_an_address_can_be(host: Host) -> None:
    bring(
        host,
        NIC,
        address(address="192.0.2.1/24", broadcast="192.0.2.255", scope="link", metric=50, label="eno1:1"),
        address(address="198.51.100.1/32", peer="198.51.100.77", preferred_lifetime=0, noprefixroute=True),
        address(address="2001:db8::1/64", nodad=True, preferred_lifetime=0, metric=70),
        address(address="2001:db8:1::1/64", preferred_lifetime=3600),
        address(address="198.51.100.9/24", preferred_lifetime=3600),
    )
    one = shown("192.0.2.1")
    assert (one["broadcast"], one["scope"], one["metric"], one["label"]) == ("192.0.2.255", "link", 50, "eno1:1")
    one = shown("198.51.100.1")
    assert (one["address"], one["prefixlen"], one["deprecated"], one["noprefixroute"]) == (
        "198.51.100.77",
        32,
        True,
        True,
    )
    one = shown("2001:db8::1")
    assert (one["nodad"], one["preferred_life_time"], one["deprecated"], one["metric"]) == (True, 0, True, 70)
    for local in ("2001:db8:1::1", "198.51.100.9"):
        assert 3600 - PATIENCE <= shown(local)["preferred_life_time"] <= 3600


def test_lifetimes_and_metrics_change_in_place(host: Host) -> None:
    bring(host, NIC, address(address="192.0.2.1/24"), address(address="2001:db8::1/64"))
    monitor = Monitor("address", "ip", "address")
    changed: dict[str, Any] = {"preferred_lifetime": 0, "metric": 9}
    bring(host, NIC, address(address="192.0.2.1/24", **changed), address(address="2001:db8::1/64", **changed))
    bring(host, NIC, address(address="192.0.2.1/24"), address(address="2001:db8::1/64"))
    seen = monitor.end()
    assert seen
    assert not [line for line in seen if line.startswith("Deleted")]
    assert "deprecated" not in shown("192.0.2.1")
    assert {one["metric"] for one in show("ip", "-j", "-6", "route", "show", "2001:db8::/64")} == {256}


def test_a_default_route_is_replaced_and_never_gone(host: Host) -> None:
    own = (NIC, address(address="192.0.2.1/24"), address(address="2001:db8::1/64"))

    def gateways(v4: str, v6: str) -> tuple[Route, ...]:
        return (
            Route(**ours(family="inet", dev="eno1", via=v4)),
            Route(**ours(family="inet6", dev="eno1", via=v6)),
            Route(**ours(family="inet", dev="eno1", via=v4, metric=100, onlink=True)),
        )

    bring(host, *own, *gateways("192.0.2.254", "2001:db8::fe"))
    monitor = Monitor("route", "ip", "route")
    ops = bring(host, *own, *gateways("192.0.2.253", "fe80::1"))
    seen = monitor.end()
    assert [op[0] for op in ops] == ["~", "~", "~"]
    assert len([line for line in seen if "default" in line]) == 3
    assert not [line for line in seen if "Deleted" in line]
    assert [one["gateway"] for one in show("ip", "-j", "route", "show", "default")] == ["192.0.2.253", "192.0.2.253"]
    assert [one["gateway"] for one in show("ip", "-j", "-6", "route", "show", "default")] == ["fe80::1"]


def test_a_gateway_of_another_table(host: Host) -> None:
    run("ip", "route", "add", "default", "via", "192.0.2.7", "dev", "lo", "onlink", "table", "1001")
    host.observe()
    bring(host, NIC, address(address="192.0.2.1/24"))
    host.apply(Op("+", Route(**ours(family="inet", dev="eno1", via="192.0.2.254", table=1001, metric=5))))
    found = show("ip", "-j", "route", "show", "table", "1001")
    assert [(one["gateway"], one["dev"], one.get("metric")) for one in found] == [
        ("192.0.2.7", "lo", None),
        ("192.0.2.254", "eno1", 5),
    ]
    assert show("ip", "-j", "route", "show", "default") == []


def test_settings_are_set_and_go_back(host: Host) -> None:
    before = {name: setting(name) for name in ("ipv6/conf/eno1/accept_ra", "ipv4/conf/eno1/forwarding")}
    bring(host, NIC, sysctl("ipv6/conf/eno1/accept_ra", "0"), sysctl("ipv4/conf/eno1/forwarding", "1"))
    assert (setting("ipv6/conf/eno1/accept_ra"), setting("ipv4/conf/eno1/forwarding")) == ("0", "1")
    assert bring(host, NIC, sysctl("ipv4/conf/eno1/forwarding", "1")) == ["- sysctl net/ipv6/conf/eno1/accept_ra"]
    bring(host, NIC)
    assert {name: setting(name) for name in before} == before


def test_what_somebody_else_has_set_stays(host: Host) -> None:
    run("sysctl", "-qw", "net.ipv6.conf.eno1.accept_ra=2")
    bring(host, NIC)
    assert setting("ipv6/conf/eno1/accept_ra") == "2"


def test_without_generation_there_is_no_link_local_address(host: Host) -> None:
    bring(host, NIC)
    assert [one["local"][:4] for one in link("eno1")["addr_info"]] == ["fe80"]
    bring(host, NIC, sysctl("ipv6/conf/eno1/addr_gen_mode", "1"))
    assert link("eno1")["addr_info"] == []
    bring(host, NIC)
    assert [one["local"][:4] for one in link("eno1")["addr_info"]] == ["fe80"]


def test_a_kernel_without_mpls_can_do_without(host: Host) -> None:
    there = Path("/proc/sys/net/mpls").exists()
    bring(host, NIC, sysctl("mpls/conf/eno1/input", "1"))
    assert (setting("mpls/conf/eno1/input") == "1") if there else not Path("/proc/sys/net/mpls").exists()
