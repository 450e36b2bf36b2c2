"""Guests whose addresses are leased: a real server, real clients, and those who would like to have more."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.leases import NAK, ack, dhcp, kind
from tests.patience import PATIENCE, until
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT, Space, cable
from tests.sandbox.world import World

pytestmark = pytest.mark.netns

GATEWAY, SERVER = "10.10.10.1", "10.10.10.9"
LEASED, STATIC, FORGED = "10.10.10.100", "10.10.10.77", "10.10.10.66"
MAC, OTHER = "02:00:00:00:02:00", "02:00:00:00:02:01"
LEARNS = "[OPTIONS]\nenable: 1\nipfilter_learn: 1\nlog_level_out: info\n[RULES]\nIN ACCEPT -p icmp\n"
BOUND = f"""#!/bin/sh
case $1 in
bound|renew)
	ip address replace $ip/24 dev $interface
	ping -n -c 1 -W 60 {GATEWAY} | grep -o '. received' ;;
deconfig)
	ip address flush dev $interface scope global ;;
esac
echo script $1 $ip
"""


@pytest.fixture
def lan(world: World) -> Space:
    """A machine beside the guests, where the DHCP server is."""
    space = world.space("lan")
    cable(world.host, "lan0", space, "eth0")
    world.host.run("ip", "link", "set", "lan0", "master", "vmbr1", "up")
    space.run("ip", "address", "add", f"{SERVER}/24", "dev", "eth0")
    space.run("ip", "address", "add", "2001:db8:1::9/64", "dev", "eth0", "nodad")
    return space


def container(world: World, vmid: int, rules: str, mac: str) -> Space:
    """Return a container that is up, with no address but its link's own."""
    (world.root / "etc/pvenetd/lxc").mkdir(exist_ok=True)
    nic = f"name=eth0,bridge=vmbr1,firewall=1,hwaddr={mac}"
    world.write(f"etc/pvenetd/lxc/{vmid}.conf", f"hostname: ct\nnet0: {nic}\n")
    world.write(f"etc/pvenetd/firewall/{vmid}.fw", rules)
    space, veth = world.space(f"ct{vmid}"), f"veth{vmid}i0"
    world.host.run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", space.name)
    space.run("ip", "link", "set", "eth0", "address", mac, "up")
    world.host.run("ip", "link", "set", veth, "up")
    world.host.run(CHECKOUT / "hooks/lxc-net", "ct", "net", "up", "veth", veth, env=world.env())
    return space


@pytest.fixture
def guest(world: World) -> Space:
    return container(world, 200, LEARNS, MAC)


def serve(world: World, space: Space, tmp_path: Path, *ranges: str) -> Process:
    """Start dnsmasq, which leases to the guest."""
    words = ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--port=0", "--log-dhcp"]
    options = [f"--dhcp-range={one}" for one in ranges]
    command = [*words, "-u", "root", "--no-ping", f"--dhcp-leasefile={tmp_path}/leases", "--interface=eth0", *options]
    server = world.keep(Process("dnsmasq", [*space.prefix(), *command]))
    server.expect("started, version")
    return server


def ask(world: World, space: Space, tmp_path: Path) -> Process:
    """Start a client, which gives its lease back in the end."""
    script = tmp_path / "script"
    script.write_text(BOUND)
    script.chmod(0o755)
    words = ["busybox", "udhcpc", "-f", "-R", "-i", "eth0", "-t", "20", "-s", script]
    return world.keep(Process("udhcpc", [*space.prefix(), *words]))


def leases(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(world.ctl("--json", "firewall", "leases"))
    return found


def addresses(world: World) -> list[str]:
    return [one["address"] for one in leases(world)]


def has_only(space: Space, address: str) -> None:
    space.run("ip", "address", "flush", "dev", "eth0", "scope", "global")
    space.run("ip", "address", "add", f"{address}/24", "dev", "eth0")


def send(space: Space, data: bytes, port: int = 67, source: str = "") -> None:
    """Send a DHCP message to everybody, as a server does."""
    program = (
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.setsockopt(socket.SOL_SOCKET, 25, b'eth0');"
        f"s.bind(({source!r}, {port})); s.sendto(bytes.fromhex(sys.argv[1]), ('255.255.255.255', {135 - port}))"
    )
    space.run(sys.executable, "-c", program, data.hex())


def test_a_leased_address_is_the_guests_own_from_its_first_packet_on_until_it_is_given_back(
    world: World, lan: Space, guest: Space, tmp_path: Path
) -> None:
    has_only(guest, STATIC)
    assert not guest.pings(GATEWAY, 2)
    server = serve(world, lan, tmp_path, f"{LEASED},{LEASED},120")
    assert world.daemon
    world.daemon.signal(signal.SIGSTOP)  # the kernel learns by itself
    client = ask(world, guest, tmp_path)
    client.expect("1 received")
    world.daemon.signal(signal.SIGCONT)
    until(lambda: addresses(world) == [LEASED], "the daemon knows the lease")
    (lease,) = leases(world)
    assert (lease["vmid"], lease["nic"], lease["mac"], lease["server"]) == (200, "net0", MAC, SERVER)
    until(lambda: lease["seconds"] <= 120, "it knows how long it lasts")
    assert LEASED in world.ctl("firewall", "leases")
    assert LEASED in world.ctl("vm", "show", "200")
    assert "leased" in world.ctl("events")

    client.signal(signal.SIGUSR1)
    client.expect("script renew")
    assert guest.pings(GATEWAY)
    before = leases(world)[0]["ends"]
    client.signal(signal.SIGUSR1)
    client.expect("script renew")
    until(lambda: leases(world)[0]["ends"] > before, "the lease is longer")

    guest.run("ip", "address", "add", f"{STATIC}/24", "dev", "eth0")
    said = guest.run("ping", "-n", "-c", "1", "-W", "2", "-I", STATIC, GATEWAY, check=False)
    assert ", 0 received" in said
    client.signal(signal.SIGTERM)
    server.expect(f"DHCPRELEASE.*{LEASED}")
    until(lambda: not leases(world), "the lease is gone")
    has_only(guest, LEASED)
    assert not guest.pings(GATEWAY, 2)
    assert "the guest has given it back" in world.ctl("events")


def test_a_lease_outlives_the_daemon_a_flush_of_the_rules_and_a_change_of_the_guests_file(
    world: World, lan: Space, guest: Space, tmp_path: Path
) -> None:
    serve(world, lan, tmp_path, f"{LEASED},{LEASED},3600")
    ask(world, guest, tmp_path).expect("1 received")
    until((world.root / "var/lib/pvenetd/leases.json").exists, "the lease is on disk")
    world.restart_daemon(signal.SIGKILL)
    assert guest.pings(GATEWAY)
    assert addresses(world) == [LEASED]
    world.write("etc/pvenetd/firewall/200.fw", LEARNS + "OUT DROP -p tcp -dport 25\n")
    world.ctl("firewall", "apply")
    assert guest.pings(GATEWAY)
    world.host.run("nft", "flush", "ruleset")
    until(lambda: guest.pings(GATEWAY, 1), "the lease is loaded again")
    world.restart_daemon()
    assert [(one["address"], one["server"]) for one in leases(world)] == [(LEASED, SERVER)]
    assert world.daemon
    world.daemon.signal(signal.SIGTERM)  # as by a boot: the kernel forgets all
    world.daemon.wait()
    world.host.run("nft", "flush", "ruleset")
    world.start_daemon()
    assert guest.pings(GATEWAY)
    assert addresses(world) == [LEASED]


def test_a_lease_is_for_one_mac_address_in_one_network(world: World, lan: Space, guest: Space, tmp_path: Path) -> None:
    serve(world, lan, tmp_path, f"{LEASED},{LEASED},3600")
    ask(world, guest, tmp_path).expect("1 received")
    until(lambda: addresses(world) == [LEASED], "the daemon knows the lease")
    world.ctl("vm", "set", "200", f"net0=name=eth0,bridge=vmbr1,firewall=1,hwaddr={OTHER}")
    guest.run("ip", "link", "set", "eth0", "address", OTHER)
    assert not guest.pings(GATEWAY, 2)
    until(lambda: not leases(world), "the lease is gone")


@pytest.mark.reliability(
    "a guest that answers as a DHCP server nobody has allowed",
    guarantee="nobody is given an address by it",
)
def test_nobody_who_is_filtered_teaches_the_kernel_an_address(world: World, lan: Space, guest: Space) -> None:
    """Whatever its own rules let out; a server that is not filtered is believed, if it means this NIC."""
    liar = container(world, 201, "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p udp\nOUT ACCEPT\n", OTHER)
    has_only(liar, "10.10.10.21")
    seen = world.capture(guest, "eth0", "udp and src port 67")
    send(liar, ack(MAC, FORGED, 3600))
    seen.expect("BOOTP/DHCP, Reply")  # it got there, and meant nothing
    send(guest, ack(MAC, FORGED, 3600))
    send(lan, ack(OTHER, FORGED, 3600))
    seen.expect("BOOTP/DHCP, Reply")
    send(lan, ack(MAC, LEASED, 3600))
    until(lambda: addresses(world) == [LEASED], "the server that may is believed")
    has_only(guest, FORGED)
    assert not guest.pings(GATEWAY, 2)
    has_only(guest, LEASED)
    assert guest.pings(GATEWAY)


@pytest.mark.usefixtures("guest")
def test_a_guest_whose_rules_let_requests_in_is_a_server(world: World) -> None:
    server = container(world, 201, "[OPTIONS]\nenable: 1\n[RULES]\nIN DHCPfwd(ACCEPT)\n", OTHER)
    has_only(server, "10.10.10.21")
    send(server, ack(MAC, LEASED, 3600))
    until(lambda: addresses(world) == [LEASED], "the guest that may is believed")


def test_a_lease_ends_with_its_time(world: World, lan: Space, guest: Space) -> None:
    send(lan, ack(MAC, LEASED, 4))
    until(lambda: addresses(world) == [LEASED], "the daemon knows the lease")
    until(lambda: "it has expired" in world.ctl("events"), "the lease has ended")
    has_only(guest, LEASED)
    assert not guest.pings(GATEWAY, 2)


def test_a_refusal_ends_what_it_answers(world: World, lan: Space, guest: Space) -> None:
    send(lan, ack(MAC, LEASED, 3600))
    until(lambda: addresses(world) == [LEASED], "the daemon knows the lease")
    has_only(guest, LEASED)
    send(lan, dhcp(kind(NAK), MAC, xid=4))  # answers nothing
    request = dhcp(kind(3), MAC, op=1, client=LEASED, xid=5)
    send(guest, request, 68, LEASED)
    send(lan, dhcp(kind(NAK), MAC, xid=6))
    assert guest.pings(GATEWAY)
    send(guest, request, 68, LEASED)
    send(lan, dhcp(kind(NAK), MAC, xid=5))
    until(lambda: not leases(world), "the lease is gone")
    assert not guest.pings(GATEWAY, 2)


@pytest.mark.reliability(
    "one NIC that leases address after address",
    guarantee="16 and no more, and that is said; those it has go on",
)
def test_a_nic_is_leased_so_many_addresses_and_no_more(world: World, lan: Space, guest: Space) -> None:
    for number in range(100, 117):
        send(lan, ack(MAC, f"10.10.10.{number}", 3600))
    until(lambda: "leased too much" in world.ctl("events"), "that it is too much is told")
    assert len(addresses(world)) == 16
    has_only(guest, "10.10.10.116")
    until(lambda: not guest.pings(GATEWAY, 1), "the kernel has forgotten it")
    has_only(guest, "10.10.10.100")
    assert guest.pings(GATEWAY)


@pytest.mark.reliability(
    "a guest that claims its neighbours' and its gateway's addresses by ARP",
    guarantee="nobody hears of it",
)
def test_what_neighbours_are_told_of_others_addresses_is_dropped(world: World, lan: Space, guest: Space) -> None:
    send(lan, ack(MAC, LEASED, 3600))
    until(lambda: addresses(world) == [LEASED], "the daemon knows the lease")
    seen = world.capture(lan, "eth0", "arp")
    program = (
        "import socket, sys; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0));"
        "m, a = bytes.fromhex(sys.argv[1]), socket.inet_aton(sys.argv[2]);"
        "s.send(b'\\xff' * 6 + m + bytes.fromhex('0806000108000604' '0001') + m + a + bytes(6) + a)"
    )
    for address in (FORGED, GATEWAY, LEASED):
        guest.run(sys.executable, "-c", program, MAC.replace(":", ""), address)
    seen.expect(f"tell {LEASED},")
    assert not seen.seen(f"tell ({FORGED}|{GATEWAY}),")


def test_ipv6_is_learnt_from_dhcpv6(world: World, lan: Space, guest: Space, tmp_path: Path) -> None:
    address, other = "2001:db8:1::100", "2001:db8:1::77"
    serve(world, lan, tmp_path, f"{address},{address},64,3600")
    script = tmp_path / "script6"
    script.write_text(
        '#!/bin/sh\n[ -n "$new_ip6_address" ] && ip address add $new_ip6_address/64 dev $interface\nexit 0\n'
    )
    script.chmod(0o755)
    guest.run("ip", "address", "add", f"{other}/64", "dev", "eth0", "nodad")
    assert not guest.pings("2001:db8:1::9", 2)
    guest.run("ip", "address", "del", f"{other}/64", "dev", "eth0")
    files = ["-lf", tmp_path / "dhclient.leases", "-pf", tmp_path / "dhclient.pid", "-cf", "/dev/null"]
    client = [*guest.prefix(), "dhclient", "-6", "-d", "-v", *files, "-sf", script, "eth0"]
    world.keep(Process("dhclient", client)).expect("Reply message")
    until(lambda: addresses(world) == [address], "the daemon knows the lease", PATIENCE)
    until(lambda: guest.pings("2001:db8:1::9", 2), "the address works")
    assert leases(world)[0]["server"].startswith("fe80::")
    guest.run("ip", "address", "add", f"{other}/64", "dev", "eth0", "nodad")
    said = guest.run("ping", "-n", "-c", "1", "-W", "2", "-I", other, "2001:db8:1::9", check=False)
    assert ", 0 received" in said


def test_who_listens_in_pvenetds_place_is_told_of(world: World) -> None:
    assert world.daemon
    world.daemon.signal(signal.SIGTERM)
    world.daemon.wait()
    program = "from pvenetd.sources.nflog import Nflog; n = Nflog(126); print('listening', flush=True); input()"
    command = [*world.host.prefix(), sys.executable, "-c", program]
    world.keep(Process("listener", command, {"PYTHONPATH": str(CHECKOUT)})).expect("^listening$")
    world.start_daemon()
    assert "NFLOG group 126: another program listens there" in world.ctl("status")
