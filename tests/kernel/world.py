"""A small world of network namespaces: a host with two bridges, guests on them, and the outside.

::

    outside 192.0.2.254 ── eth0 ─ vmbr0 192.0.2.1 ─┬─ tap100i0 ── vm/100 192.0.2.100
                                                   ├─ tap101i0 ── vm/101
                                                   ├─ tap104i1 ── vm/104/net1 192.0.2.114
                                                   └─ tap109i0 ── vm/109 (firewall=0)
                                  vmbr1 198.51.100.1 ─┬─ tap102i0 ── vm/102 198.51.100.102, behind NAT
                                                      ├─ tap104i0 ── vm/104
                                                      └─ eth1 ── bridge/vmbr1, nobody's guest

IPv6 likewise in 2001:db8::/64 and 2001:db8:1::/64.  A guest's tap is a veth end of the same name.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from tests.patience import until

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 0x0003

_LIBC = ctypes.CDLL(None, use_errno=True)
_COUNT = itertools.count()


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Run this thread in the namespace *name*: sockets made here stay there."""
    with Path("/proc/thread-self/ns/net").open() as back, Path("/run/netns", name).open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(back.fileno())


def _enter(fd: int) -> None:
    if _LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def guest_mac(vmid: int) -> str:
    return f"02:00:00:00:00:{vmid - 100 + 1:02x}"


@dataclass
class World:
    """The namespaces, by zone: ``outside``, ``host``, ``vm/100``."""

    names: dict[str, str] = field(default_factory=dict)
    addresses: dict[tuple[str, int], str] = field(default_factory=dict)
    """(zone, IP version) → address."""

    def ip(self, zone: str, *lines: str) -> None:
        done = subprocess.run(
            ["ip", "-n", self.names[zone], "-batch", "-"], input="\n".join(lines), text=True, capture_output=True
        )
        assert not done.returncode, done.stderr

    def sysctl(self, zone: str, **values: str) -> None:
        with inside(self.names[zone]):
            for name, value in values.items():
                path = Path("/proc/sys/net") / name.replace("__", "/")
                path.write_text(value)

    def address(self, zone: str, version: int) -> str:
        return self.addresses[zone, version]

    def host_address(self, zone: str, version: int) -> str:
        """Return the host's own address on the bridge that *zone* is on."""
        return f"{_NETS[STATIONS[zone].bridge][version == 6]}1"


GUESTS = {100: "vmbr0", 101: "vmbr0", 109: "vmbr0", 102: "vmbr1", 104: "vmbr1"}


@dataclass(frozen=True)
class Station:
    """Who has a cable to one of the host's bridges."""

    zone: str
    port: str
    """The host's end of the cable."""
    bridge: str
    number: int
    """The last part of its addresses."""
    mac: str


STATIONS = {
    one.zone: one
    for one in (
        Station("outside", "eth0", "vmbr0", 254, "02:00:00:00:0f:fe"),
        *(Station(f"vm/{vmid}", f"tap{vmid}i0", on, vmid, guest_mac(vmid)) for vmid, on in GUESTS.items()),
        Station("vm/104/net1", "tap104i1", "vmbr0", 114, guest_mac(114)),
        Station("bridge/vmbr1", "eth1", "vmbr1", 200, "02:00:00:00:0f:c8"),
    )
}
ACCESS = {"vm/100": 20}
"""VLAN of a zone that knows of none; others on a VLAN-aware bridge have all, VLAN 1 without a tag."""
BRIDGE_MACS = {"vmbr0": "02:00:00:00:01:00", "vmbr1": "02:00:00:00:01:01"}
_NETS = {"vmbr0": ("192.0.2.", "2001:db8::"), "vmbr1": ("198.51.100.", "2001:db8:1::")}


@contextmanager
def world(*, bridge_nf: bool, vlans: bool = False) -> Iterator[World]:
    """Make the world, and take it down whatever happens; with *vlans*, vmbr0 keeps them apart, as `ACCESS` says."""
    made = World()
    prefix = f"pvt{os.getpid()}x{next(_COUNT)}"
    zones = ["host", *STATIONS]
    try:
        for zone in zones:
            name = f"{prefix}-{zone.replace('/', '')}"
            subprocess.run(["ip", "netns", "add", name], check=True)
            made.names[zone] = name
            made.sysctl(zone, ipv4__icmp_ratelimit="0", ipv6__icmp__ratelimit="0")
            # Until its link-local address is known to be its own alone, a router asks for no neighbours.
            made.sysctl(zone, ipv6__conf__default__accept_dad="0", ipv6__conf__default__dad_transmits="0")
            made.ip(zone, "link set lo up")
        _host(made, bridge_nf=bridge_nf)
        for one in STATIONS.values():
            station(made, one)
        if vlans:
            _keep_apart(made)
        _settle(made)
        yield made
    finally:
        for name in made.names.values():
            subprocess.run(["ip", "netns", "del", name], check=True)


def _settle(made: World) -> None:
    """Wait until every link sends and every port forwards: the kernel tells links of their cables a second late."""
    for zone, name in made.names.items():
        commands = [["ip", "-n", name, "-j", "link", "show"]]
        commands += [["bridge", "-n", name, "-j", "link", "show"]] if zone == "host" else []
        for command in commands:
            until(partial(is_settled, command), " ".join(command))


def is_settled(command: list[str]) -> bool:
    links = json.loads(subprocess.run(command, check=True, capture_output=True).stdout or "[]")
    real = [one for one in links if one["ifname"] != "lo"]
    return all(one.get("operstate", "UP") == "UP" and one.get("state", "forwarding") == "forwarding" for one in real)


def _keep_apart(made: World) -> None:
    lines = ["vlan add dev vmbr0 vid 20-40 self"]
    for one in STATIONS.values():
        if one.bridge == "vmbr0" and one.zone in ACCESS:
            lines += [f"vlan del dev {one.port} vid 1", f"vlan add dev {one.port} vid {ACCESS[one.zone]} pvid untagged"]
        elif one.bridge == "vmbr0":
            lines += [f"vlan add dev {one.port} vid 2-4094"]
    made.ip("host", "link set vmbr0 type bridge vlan_filtering 1")
    command = ["bridge", "-n", made.names["host"], "-batch", "-"]
    subprocess.run(command, input="\n".join(lines), text=True, check=True)


def _host(made: World, *, bridge_nf: bool) -> None:
    for bridge, (v4, v6) in _NETS.items():
        made.ip(
            "host",
            f"link add {bridge} address {BRIDGE_MACS[bridge]} type bridge forward_delay 0 mcast_snooping 0",
            f"addr add {v4}1/24 dev {bridge}",
            f"addr add {v6}1/64 dev {bridge} nodad",
            f"link set {bridge} up",
        )
    made.addresses |= {("host", 4): "192.0.2.1", ("host", 6): "2001:db8::1"}
    made.sysctl("host", ipv4__ip_forward="1", ipv6__conf__all__forwarding="1")
    if Path("/proc/sys/net/bridge").is_dir():
        value = str(int(bridge_nf))
        with inside(made.names["host"]):
            for name in ("call-iptables", "call-ip6tables", "filter-vlan-tagged"):
                Path(f"/proc/sys/net/bridge/bridge-nf-{name}").write_text(value)


def station(made: World, one: Station) -> None:
    """Plug *one*'s cable; its namespace is there."""
    v4, v6 = _NETS[one.bridge]
    made.ip(
        "host",
        f"link add {one.port} type veth peer name eth0 address {one.mac} netns {made.names[one.zone]}",
        f"link set {one.port} master {one.bridge} up",
    )
    made.ip(
        one.zone,
        "link set eth0 up",
        f"addr add {v4}{one.number}/24 dev eth0",
        f"addr add {v6}{one.number:x}/64 dev eth0 nodad",
        f"route add default via {v4}1",
        f"route add default via {v6}1",
    )
    made.addresses |= {(one.zone, 4): f"{v4}{one.number}", (one.zone, 6): f"{v6}{one.number:x}"}


PROTOCOLS = {"tcp": 6, "tcp6": 6, "udp": 17, "udp6": 17, "icmp": 1, "icmp6": 58}
SYN = 0x02
"""Of TCP's flags, the one that begins a connection."""


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transport(
    proto: str,
    source: str,
    dest: str,
    sport: int,
    dport: int,
    payload: bytes = b"pvenetd!",
    *,
    flags: int = SYN,
    seq: int = 1000,
) -> bytes:
    """Return a TCP segment, a UDP datagram or an ICMP message (*dport* its type, *sport* its identifier)."""
    number = PROTOCOLS[proto]
    if proto.startswith("icmp"):
        body = struct.pack("!BBHHH", dport, 0, 0, sport, 1) + payload
    elif proto.startswith("tcp"):
        body = struct.pack("!HHIIBBHHH", sport, dport, seq, 0, 0x50, flags, 1024, 0, 0) + payload
    else:
        body = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    head = ip_address(source).packed + ip_address(dest).packed + struct.pack("!II", len(body), number)
    at = {"i": 2, "t": 16, "u": 6}[proto[0]]
    total = checksum(body if proto == "icmp" else head + body)
    return body[:at] + struct.pack("!H", total) + body[at + 2 :]


def ip_packet(proto: str, source: str, dest: str, sport: int, dport: int) -> bytes:
    """Return a whole IPv4 or IPv6 packet."""
    return in_ip(PROTOCOLS[proto], source, dest, transport(proto, source, dest, sport, dport))


def in_ip(number: int, source: str, dest: str, body: bytes) -> bytes:
    """Return what carries *body*, of protocol *number*: an IPv4 or IPv6 packet, as the addresses are."""
    ends = ip_address(source).packed + ip_address(dest).packed
    if ip_address(dest).version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), number, 255) + ends + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, number, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def frame(source: str, dest: str, kind: int, payload: bytes, *tags: tuple[int, int]) -> bytes:
    """Return an Ethernet frame, with (tag protocol, VLAN id) in front of its type."""
    vlan = b"".join(struct.pack("!HH", tpid, vid) for tpid, vid in tags)
    return mac_bytes(dest) + mac_bytes(source) + vlan + struct.pack("!H", kind) + payload


def packet_socket(name: str, device: str = "eth0") -> socket.socket:
    """Return a socket that sends and sees whole frames on a device of the namespace *name*."""
    with inside(name):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        made.bind((device, ETH_P_ALL))
    made.setblocking(False)
    return made
