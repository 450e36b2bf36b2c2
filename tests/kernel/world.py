"""A small world of network namespaces: a host with two bridges, guests on them, and the outside.

::

    outside 192.0.2.254 ── eth0 ─ vmbr0 192.0.2.1 ─┬─ tap100i0 ── vm/100 192.0.2.100
                                                   ├─ tap101i0 ── vm/101
                                                   └─ tap109i0 ── vm/109 (firewall=0)
                                  vmbr1 198.51.100.1 ─ tap102i0 ── vm/102 198.51.100.102, behind NAT

IPv6 likewise in 2001:db8::/64 and 2001:db8:1::/64.  A guest's tap is a veth end of the same name.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

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


GUESTS = {100: "vmbr0", 101: "vmbr0", 109: "vmbr0", 102: "vmbr1"}
_NETS = {"vmbr0": ("192.0.2.", "2001:db8::"), "vmbr1": ("198.51.100.", "2001:db8:1::")}


@contextmanager
def world(*, bridge_nf: bool) -> Iterator[World]:
    """Make the world, and take it down whatever happens."""
    made = World()
    prefix = f"pvt{os.getpid()}x{next(_COUNT)}"
    zones = ["host", "outside", *(f"vm/{vmid}" for vmid in GUESTS)]
    try:
        for zone in zones:
            name = f"{prefix}-{zone.replace('/', '')}"
            subprocess.run(["ip", "netns", "add", name], check=True)
            made.names[zone] = name
            made.sysctl(zone, ipv4__icmp_ratelimit="0", ipv6__icmp__ratelimit="0")
            made.ip(zone, "link set lo up")
        _host(made, bridge_nf=bridge_nf)
        station(made, "outside", "eth0", "vmbr0", 254, "02:00:00:00:0f:fe")
        for vmid, bridge in GUESTS.items():
            station(made, f"vm/{vmid}", f"tap{vmid}i0", bridge, vmid, guest_mac(vmid))
        yield made
    finally:
        for name in made.names.values():
            subprocess.run(["ip", "netns", "del", name], check=True)


def _host(made: World, *, bridge_nf: bool) -> None:
    for bridge, (v4, v6) in _NETS.items():
        made.ip(
            "host",
            f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0",
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


def station(made: World, zone: str, port: str, bridge: str, number: int, mac: str) -> None:
    v4, v6 = _NETS[bridge]
    peer = made.names[zone]
    made.ip(
        "host",
        f"link add {'eth0' if zone == 'outside' else port} type veth peer name eth0 address {mac} netns {peer}",
        f"link set {'eth0' if zone == 'outside' else port} master {bridge} up",
    )
    made.ip(
        zone,
        "link set eth0 up",
        f"addr add {v4}{number}/24 dev eth0",
        f"addr add {v6}{number:x}/64 dev eth0 nodad",
        f"route add default via {v4}1",
        f"route add default via {v6}1",
    )
    made.addresses |= {(zone, 4): f"{v4}{number}", (zone, 6): f"{v6}{number:x}"}


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transport(proto: str, source: str, dest: str, sport: int, dport: int) -> bytes:
    """Return a TCP SYN, a UDP datagram or an ICMP message (*dport* its type, *sport* its identifier)."""
    number = PROTOCOLS[proto]
    if proto.startswith("icmp"):
        body = struct.pack("!BBHHH", dport, 0, 0, sport, 1) + b"pvenetd!"
    elif proto.startswith("tcp"):
        body = struct.pack("!HHIIBBHHH", sport, dport, 1000 + sport, 0, 0x50, 0x02, 1024, 0, 0)
    else:
        body = struct.pack("!HHHH", sport, dport, 16, 0) + b"pvenetd!"
    head = ip_address(source).packed + ip_address(dest).packed + struct.pack("!II", len(body), number)
    at = {"i": 2, "t": 16, "u": 6}[proto[0]]
    total = checksum(body if proto == "icmp" else head + body)
    return body[:at] + struct.pack("!H", total) + body[at + 2 :]


PROTOCOLS = {"tcp": 6, "tcp6": 6, "udp": 17, "udp6": 17, "icmp": 1, "icmp6": 58}


def ip_packet(proto: str, source: str, dest: str, sport: int, dport: int) -> bytes:
    """Return a whole IPv4 or IPv6 packet."""
    body = transport(proto, source, dest, sport, dport)
    ends = ip_address(source).packed + ip_address(dest).packed
    if proto.endswith("6"):
        return struct.pack("!IHBB", 6 << 28, len(body), PROTOCOLS[proto], 255) + ends + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, PROTOCOLS[proto], 0) + ends
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
