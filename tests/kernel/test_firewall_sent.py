"""A guest's refusals reach whoever sends by way of the host; packets of all kinds are in tests/packets/guest.txt."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pvenetd.drivers.nft import Library
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.sent import sent
from pvenetd.plan import plan
from pvenetd.state import State
from tests.kernel.firewall import DESIGNS, desired, have_bridge_netfilter, load
from tests.kernel.world import BRIDGE_MACS, World, inside, world
from tests.patience import until

FILES = {
    "cluster.fw": "[OPTIONS]\nenable: 1\n[group ssh]\nIN REJECT -p tcp -dport 22\n",
    "100.fw": "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n[RULES]\nGROUP ssh\nIN REJECT -p tcp -dport 446\n",
}
ANSWERED, REFUSED, SILENCE = "answered", "refused", "silence"


@pytest.fixture
def host(design: Design) -> Iterator[World]:
    if design == "mark":
        have_bridge_netfilter()
    with world(bridge_nf=design == "mark") as made:
        yield made


def tried(made: World, source: str, dest: str, port: int) -> str:
    """Return what becomes of a connection to *port* of vm/100, which listens there."""
    version = socket.AF_INET6 if ":" in dest else socket.AF_INET
    with ExitStack() as stack:
        with inside(made.names["vm/100"]):
            listening = stack.enter_context(socket.socket(version))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("", port))
            listening.listen()
        with inside(made.names[source]):
            asking = stack.enter_context(socket.socket(version))
        asking.settimeout(2)
        try:
            asking.connect((dest, port))
        except ConnectionRefusedError:
            return REFUSED
        except TimeoutError:
            return SILENCE
        return ANSWERED


def find_out(made: World, ways: list[tuple[str, str, int]]) -> dict[tuple[str, str, int], str]:
    return {way: tried(made, *way) for way in ways}


def refused(made: World, source: str, dest: str, port: int) -> bool:
    return tried(made, source, dest, port) == REFUSED


@pytest.mark.parametrize("design", DESIGNS)
def test_connections_by_way_of_the_host_are_refused_and_others_made(design: Design, host: World) -> None:
    load(host, desired(FILES, design))
    for source in ("host", "vm/102"):
        for dest in ("192.0.2.100", "2001:db8::64"):
            for port in (22, 446):
                # The second one, where the kernel is still busy with connect() while it gets the first.
                until(lambda: refused(host, source, dest, port), f"{source} {dest} {port}")  # noqa: B023
            assert tried(host, source, dest, 80) == ANSWERED


@pytest.mark.parametrize("design", DESIGNS)
def test_without_the_chains_that_answer_nothing_passes_either(design: Design, host: World) -> None:
    load(host, desired(FILES, design))
    with inside(host.names["host"]):
        Library().run("delete table netdev pvenetd")
    ways = [("host", "192.0.2.100", 446), ("vm/102", "2001:db8::64", 22)]
    assert find_out(host, ways) == dict.fromkeys(ways, SILENCE)
    assert tried(host, "host", "192.0.2.100", 80) == ANSWERED


@pytest.mark.parametrize("design", DESIGNS)
def test_a_bridge_that_is_made_anew_is_asked_again(design: Design, host: World) -> None:
    wanted = desired(FILES, design)
    driver = load(host, wanted)
    assert refused(host, "host", "192.0.2.100", 446)
    host.ip(
        "host",
        "link del vmbr0",
        f"link add vmbr0 address {BRIDGE_MACS['vmbr0']} type bridge forward_delay 0 mcast_snooping 0",
        "addr add 192.0.2.1/24 dev vmbr0",
        "link set tap100i0 master vmbr0 up",
        "link set vmbr0 up",
    )
    with inside(host.names["host"]):
        for op in plan(wanted, driver.observe()):
            assert op.resource.key == ("chains", "sent")
            driver.apply(op)
        assert plan(wanted, driver.observe()) == ()
    until(lambda: refused(host, "host", "192.0.2.100", 446), "refused")
    assert tried(host, "host", "192.0.2.100", 80) == ANSWERED


@pytest.mark.lab
@pytest.mark.parametrize("design", ["mark", "ct"])
def test_what_the_host_sends_to_a_vlan_is_refused_before_it_is_tagged(design: Design, host: World) -> None:
    for zone, below, number in (("host", "vmbr0", 1), ("vm/100", "eth0", 100)):
        host.ip(
            zone,
            f"link add link {below} name {below}.10 type vlan id 10",
            f"link set {below}.10 up",
            f"addr add 203.0.113.{number}/24 dev {below}.10",
        )
    answers = sent(["vmbr0", "vmbr0.10"], design)
    assert answers
    wanted: State = {**desired(FILES, design), answers.key: answers}
    load(host, wanted)
    until(lambda: refused(host, "host", "203.0.113.100", 446), "refused")
    assert tried(host, "host", "203.0.113.100", 80) == ANSWERED
    until(lambda: refused(host, "host", "192.0.2.100", 446), "refused")


@pytest.mark.parametrize("design", DESIGNS)
def test_frames_that_others_have_on_lo_are_left_alone(design: Design, host: World) -> None:
    """… whatever their mark, and however strict the host is with addresses."""
    host.sysctl("host", ipv4__conf__all__rp_filter="1", ipv4__conf__lo__rp_filter="1", ipv4__fwmark_reflect="1")
    load(host, desired(FILES, design))
    with inside(host.names["host"]), socket.socket() as listening, socket.socket() as asking:
        listening.bind(("192.0.2.1", 0))
        listening.listen()
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x7FFFFFFF)
        asking.settimeout(10)
        asking.connect(listening.getsockname())
    until(lambda: refused(host, "host", "192.0.2.100", 446), "refused")
    until(lambda: refused(host, "vm/102", "192.0.2.100", 446), "refused")


@pytest.mark.parametrize("design", DESIGNS)
def test_who_is_behind_a_translation_is_told_too(design: Design, host: World) -> None:
    load(host, desired(FILES, design))
    hook = "type nat hook postrouting priority 100;"
    with inside(host.names["host"]):
        Library().run(f"table ip t {{ chain c {{ {hook} ip saddr 198.51.100.0/24 masquerade; }}; }}")
    until(lambda: refused(host, "vm/102", "192.0.2.100", 446), "refused")
    assert tried(host, "vm/102", "192.0.2.100", 80) == ANSWERED


@pytest.mark.parametrize("design", DESIGNS)
def test_a_refused_packet_that_nobody_takes_is_asked_once_and_does_not_go_round(design: Design, host: World) -> None:
    load(host, desired(FILES, design))
    with inside(host.names["host"]):
        Library().run("flush chain inet pvenetd sent-refused")
    assert tried(host, "vm/102", "192.0.2.100", 446) == SILENCE
    with inside(host.names["host"]):
        told = Library().run("list chain netdev pvenetd refuse", counters=True)
    counted = re.search(r"counter packets ([0-9]+)", told)
    assert counted
    assert 1 <= int(counted[1]) <= 4, "once for each time it was sent"
