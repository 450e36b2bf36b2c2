"""Connections that stand when rules change: they go on; where they are to be cut, those end that are refused now."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_address
from pathlib import Path

import pytest

from pvenetd.drivers.conntrack import Tracked
from pvenetd.firewall.nft_base import Design
from tests.kernel.firewall import DESIGNS, STANZAS, have_bridge_netfilter
from tests.kernel.talk import PATIENCE, Connection
from tests.kernel.test_firewall_apply import Host
from tests.kernel.world import guest_mac, inside, world
from tests.patience import until

ON = "[OPTIONS]\nenable: 1\n"
OPEN = f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 1:1023\nIN ACCEPT -p udp\n"
SO_RCVBUFFORCE = 33
"""asm-generic/socket.h."""
BRIDGES = {100: "vmbr0", 101: "vmbr0", 102: "vmbr1", 104: "vmbr1"}
NAT = "\tnat-masquerade vmbr0\n\tnat-forward tcp 8080 198.51.100.102:80\n"


@pytest.fixture(params=DESIGNS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    """Yield a host whose guests are open, by rules that are loaded."""
    design: Design = request.param
    if design == "mark":
        have_bridge_netfilter()
    with world(bridge_nf=design == "mark") as made:
        there = Host(made, tmp_path)
        there.write("network/interfaces", STANZAS.replace("bridge-ports none", "bridge-ports eth0", 1))
        for vmid, bridge in BRIDGES.items():
            conf = f"net0: virtio={guest_mac(vmid)},bridge={bridge},firewall=1\n"
            there.write(f"pvenetd/qemu-server/{vmid}.conf", conf)
            there.fw(str(vmid), OPEN)
        there.fw("cluster", ON + "[RULES]\nIN ACCEPT -p tcp -dport 80\n")
        assert there.apply() == (0, "")
        yield there


CASES = [
    ("outside", "vm/100", 4, 80),
    ("outside", "vm/100", 6, 80),
    ("vm/101", "vm/100", 4, 80),
    ("vm/102", "vm/100", 4, 80),
    ("vm/102", "vm/100", 6, 80),
    ("host", "vm/100", 4, 80),
]


def tightened(text: str, *rules: str) -> str:
    return text.replace("[RULES]\n", "".join(["[RULES]\n", *(f"{rule}\n" for rule in rules)]))


@pytest.mark.parametrize(("zone", "server", "version", "port"), CASES)
def test_a_connection_ends_that_a_rule_of_the_one_who_answers_refuses(
    host: Host, zone: str, server: str, version: int, port: int
) -> None:
    there = host.world
    with Connection(there.names[zone], there.names[server], there.address(server, version), port) as one:
        assert one.goes_on()
        host.fw("100", tightened(OPEN, "IN DROP -p tcp -dport 80"))
        assert host.apply() == (0, "")
        assert one.goes_on(), "as Proxmox VE has it"
        assert host.apply("--cut") == (0, "")
        assert one.ended()


@pytest.mark.parametrize("version", [4, 6])
def test_a_connection_ends_that_a_rule_of_the_one_who_began_it_refuses(host: Host, version: int) -> None:
    there = host.world
    with (
        Connection(there.names["vm/100"], there.names["outside"], there.address("outside", version), 80) as one,
        Connection(there.names["vm/100"], there.names["outside"], there.address("outside", version), 81) as other,
    ):
        host.fw("100", tightened(OPEN, "OUT REJECT -p tcp -dport 80"))
        assert host.apply("--cut") == (0, "")
        one.client.send(b"still there?")
        with pytest.raises(ConnectionResetError):  # REJECT answers
            one.client.recv(1)
        assert one.ended()
        assert other.goes_on()


def test_the_hosts_own_connections_end_by_its_rules(host: Host) -> None:
    there = host.world
    with Connection(there.names["outside"], there.names["host"], there.address("host", 4), 80) as one:
        host.fw("cluster", f"{ON}[RULES]\nIN DROP -p tcp -dport 80\n")
        assert host.apply("--cut") == (0, "")
        assert one.ended()


@pytest.mark.parametrize(("zone", "server", "port"), [("vm/102", "outside", 80), ("outside", "vm/102", 8080)])
def test_translated_connections_end_like_others(host: Host, zone: str, server: str, port: int) -> None:
    there = host.world
    host.write("network/interfaces", STANZAS.replace("bridge-ports none", "bridge-ports eth0", 1) + NAT)
    assert host.apply() == (0, "")
    address = there.address(server, 4) if port == 80 else there.address("host", 4)
    with Connection(there.names[zone], there.names[server], address, port, 80) as one:
        host.fw("104", tightened(OPEN, "IN DROP -p tcp", "OUT DROP -p tcp"))
        assert host.apply("--cut") == (0, "")
        assert one.goes_on(), "another guest's rules"
        host.fw("102", tightened(OPEN, "IN DROP -p tcp -dport 80", "OUT DROP -p tcp -dport 80"))
        assert host.apply("--cut") == (0, "")
        assert one.ended()


def test_what_is_still_allowed_loses_no_packet(host: Host) -> None:
    there = host.world
    stop = threading.Event()
    with ExitStack() as stack:
        with inside(there.names["vm/100"]):
            getter = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
            getter.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
            getter.bind(("", 5000))
            getter.settimeout(PATIENCE)
        with inside(there.names["outside"]):
            sender = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
            sender.connect((there.address("vm/100", 4), 5000))
            sender.settimeout(PATIENCE)
        sender.send(b"0")
        first, client = getter.recvfrom(10)
        getter.sendto(first, client)
        sender.recv(10)
        sent = [0]

        def send() -> None:
            while not stop.wait(0.002):
                sent[0] += 1
                sender.send(str(sent[0]).encode())

        thread = threading.Thread(target=send)
        ends = there.names["outside"], there.names["vm/100"], there.address("vm/100", 4)
        one = stack.enter_context(Connection(*ends, 80))
        thread.start()
        try:
            host.fw("100", tightened(OPEN, "IN DROP -p tcp -dport 80"))
            assert host.apply("--cut") == (0, "")
        finally:
            stop.set()
            thread.join()
        assert one.ended()
        assert sent[0] > 0
        assert [int(getter.recv(10)) for _ in range(sent[0])] == [*range(1, sent[0] + 1)]


def test_nothing_is_cut_of_an_address_that_two_guests_speak_with(host: Host) -> None:
    """Whose connection it is nobody knows: the rules of both would have to refuse it."""
    there = host.world
    address = there.address("vm/100", 4)
    whose = (4, int(ip_address(address)))
    with Connection(there.names["outside"], there.names["vm/100"], address, 80):
        there.ip("vm/101", f"addr add {address}/24 dev eth0")
        with inside(there.names["vm/101"]), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
            liar.bind((address, 0))
            liar.sendto(b"it is me", (there.address("outside", 4), 9))
        with inside(there.names["host"]):
            until(lambda: Tracked().seen()[whose] == {"tap100i0", "tap101i0"}, "both are seen with it")
        for vmid, count in ((100, 1), (101, 0)):
            host.fw(str(vmid), tightened(OPEN, "IN DROP -p tcp -dport 80"))
            assert host.apply("--cut") == (0, "")
            with inside(there.names["host"]):
                assert len([one for one in Tracked().flows([whose]) if one.asked.dport == 80]) == count
