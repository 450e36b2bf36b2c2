"""What a packet to a guest costs, the first of a connection and a later one, beside 999 other guests' rules.

Each host is a network namespace with one bridge; the peer has the same rules for the same guests as Proxmox VE's
iptables layout has them: established connections first, then a jump for each guest's port, one after the other.  Costs
are what sending takes longer than through the same bridge without rules, and without br_netfilter, which that layout
always needs and we only where bridges do not track connections.  What the rules cost beyond that is told apart.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any

from pvenetd.drivers.nft import Nftables, probe, tells_bridge
from pvenetd.firewall.guard import guard
from pvenetd.firewall.nft_base import Design
from pvenetd.plan import plan, steps
from pvenetd.state import Chains, state
from tests.bench import lab
from tests.bench.firewall import GUESTS, compiled, write
from tests.bench.record import record
from tests.kernel.world import frame, inside, ip_packet, packet_socket
from tests.sandbox.space import Space, run, scratch

EQUAL = 1.2
"""How much more the last guest's packet may cost than the first guest's."""
_FIRST, _LAST = GUESTS[0], GUESTS[-1]
_SOURCE, _SOURCE_MAC = "198.51.100.200", "02:00:00:00:0f:fe"
_PORT = 53
"""Which every guest lets in, by its fourth rule."""
_PACKETS, _ROUNDS = 100, 160
"""Few at a time, a millisecond or less, so that many rounds are nobody else's."""
_IPV4 = 0x0800
_PHYSDEV = "-m physdev --physdev-is-bridged"


def rows() -> Iterator[dict[str, Any]]:
    """Yield a record for each bench."""
    root = scratch()
    with ExitStack() as ends:
        ends.callback(run, "rm", "-r", root)
        write(root)
        hosts = {name: Host(ends, name) for name in ("bare", "shown", "ours", "peer")}
        with inside(hosts["bare"].space.name):
            design = probe()
        _load_ours(hosts["ours"], root, design)
        _load_peers(hosts["peer"], root)
        times: dict[tuple[str, str, int], list[float]] = {}
        for number in range(_ROUNDS):
            for name, host in hosts.items():
                for vmid in (_FIRST, _LAST):
                    times.setdefault((name, "new", vmid), []).append(host.new(vmid, number))
                    times.setdefault((name, "established", vmid), []).append(host.established(vmid, number))
        for host in hosts.values():
            host.check()
    for kind in ("new", "established"):

        def cost(name: str, vmid: int, without: str = "bare", kind: str = kind) -> list[float]:
            return [_over(times[name, kind, vmid], times[without, kind, vmid])] * _ROUNDS

        ours, rules = cost("ours", _LAST), cost("ours", _LAST, "shown" if design == "mark" else "bare")
        name, peer_is = f"packet-{kind}-iptables", "iptables, linear"
        yield record(f"packet-{kind}-last", ours, cost("ours", _FIRST), "us", peer_is="the first guest's")
        yield record(name, ours, cost("peer", _LAST), "us", peer_is=peer_is)
        yield record(
            f"{name}-rules", rules, cost("peer", _LAST, "shown"), "us", peer_is=f"{peer_is}, less br_netfilter"
        )


def with_bridge_conntrack() -> Iterator[dict[str, Any]]:
    """Yield the same where bridges track connections, on the lab's kernel."""
    for found in lab.benches("packets-ct-here"):
        yield {**found, "bench": f"{found['bench']}-ct"}


def _over(times: list[float], bare: list[float]) -> float:
    """Return the microseconds that a packet takes longer, by each side's quickest twentieth: nobody was in its way."""
    return (quantiles(times, n=20)[0] - quantiles(bare, n=20)[0]) / _PACKETS * 1e6


class Host:
    """A bridge with the outside, the first and the last guest, each a veth pair to a namespace of its own."""

    def __init__(self, ends: ExitStack, name: str) -> None:
        self.space = Space(f"packets-{name}")
        ends.callback(self.space.remove)
        self.space.run("ip", "link", "add", "vmbr1", "type", "bridge", "mcast_snooping", 0, "forward_delay", 0)
        self.space.run("ip", "link", "set", "vmbr1", "up")
        self.set("bridge-nf-call-iptables", on=name != "bare")
        self.set("bridge-nf-call-ip6tables", on=name != "bare")
        self._outside = self._station(ends, name, "eth0", _SOURCE_MAC)
        self.sent = {_FIRST: 0, _LAST: 0}
        self._guests = {vmid: self._station(ends, name, f"tap{vmid}i0", _mac(vmid)) for vmid in (_FIRST, _LAST)}

    def set(self, name: str, *, on: bool) -> None:
        """Have a kernel setting of bridges be on, or off, where the kernel has it."""
        path = Path(f"/proc/sys/net/bridge/{name}")
        with inside(self.space.name):
            if path.exists():
                path.write_text(str(int(on)))

    def _station(self, ends: ExitStack, role: str, port: str, mac: str) -> socket.socket:
        """Return a socket for frames of a station behind *port*."""
        space = Space(f"packets-{role}-{port}")
        ends.callback(space.remove)
        peer = ["type", "veth", "peer", "name", "eth0", "address", mac, "netns", space.name]
        self.space.run("ip", "link", "add", port, *peer)
        self.space.run("ip", "link", "set", port, "master", "vmbr1", "up")
        space.run("ip", "link", "set", "eth0", "up", "arp", "off")
        sender = packet_socket(space.name)
        ends.callback(sender.close)
        return sender

    def new(self, vmid: int, number: int) -> float:
        """Return the seconds that so many first packets to a guest take; *number* is which round it is."""
        first = 1024 + number * _PACKETS
        return self._send(vmid, [_packet(vmid, first + at) for at in range(_PACKETS)])

    def established(self, vmid: int, number: int) -> float:
        """Return the seconds that so many packets of one connection to a guest take."""
        port = 20_000 + number
        self._outside.send(_packet(vmid, port))
        self._answer(vmid, port)
        return self._send(vmid, [_packet(vmid, port)] * _PACKETS)

    def _answer(self, vmid: int, port: int) -> None:
        body = ip_packet("udp", _address(vmid), _SOURCE, _PORT, port)
        self._guests[vmid].send(frame(_mac(vmid), _SOURCE_MAC, _IPV4, body))

    def _send(self, vmid: int, frames: list[bytes]) -> float:
        self.sent[vmid] += len(frames)
        send = self._outside.send
        started = time.perf_counter()
        for one in frames:
            send(one)
        return time.perf_counter() - started

    def check(self) -> None:
        """Fail where packets were not let through: what is dropped early costs less."""
        for vmid, sent in self.sent.items():
            (link,) = self.space.show("ip", "-j", "-s", "link", "show", f"tap{vmid}i0")
            arrived = int(link["stats64"]["tx"]["packets"])
            assert arrived >= sent, f"{arrived} of {sent} packets went through to {vmid}"


def _packet(vmid: int, port: int) -> bytes:
    return frame(_SOURCE_MAC, _mac(vmid), _IPV4, ip_packet("udp", _SOURCE, _address(vmid), port, _PORT))


def _mac(vmid: int) -> str:
    return f"02:00:00:00:{vmid >> 8:02x}:{vmid & 255:02x}"


def _address(vmid: int) -> str:
    return f"203.0.113.{1 if vmid == _FIRST else 2}"


def _load_ours(host: Host, root: Path, design: Design) -> None:
    with inside(host.space.name):
        driver = Nftables()
        guarding = guard(["vmbr1"], [], tells_bridge=tells_bridge())
        wanted = state(one for one in (*compiled(root, design), guarding) if isinstance(one, Chains))
        for step in steps(plan(wanted, driver.observe())):
            driver.apply(*step)
    if design == "ct":
        host.set("bridge-nf-call-iptables", on=False)
        host.set("bridge-nf-call-ip6tables", on=False)


def _load_peers(host: Host, root: Path) -> None:
    """Load the same rules as Proxmox VE's layout has them, for packets to guests."""
    chains, jumps, rules = [], [], []
    for number, vmid in enumerate(GUESTS):
        tap, port, last = f"tap{vmid}i0", 10_000 + number, number % 250 + 1
        chains.append(f":{tap}-IN - [0:0]")
        jumps.append(f"-A PVEFW-FWBR-IN {_PHYSDEV} --physdev-out {tap} -j {tap}-IN")
        rules += [
            f"-A {tap}-IN -p udp --sport 67 --dport 68 -j ACCEPT",
            f"-A {tap}-IN -s 192.0.2.0/24 -p tcp --dport 22 -j ACCEPT",
            f"-A {tap}-IN -p tcp -m multiport --dports 80,443 -j ACCEPT",
            f"-A {tap}-IN -s 198.51.100.{last} -p tcp --dport 8000:8100 -j ACCEPT",
            f"-A {tap}-IN -p udp --dport 53 -j ACCEPT",
            f"-A {tap}-IN -p icmp --icmp-type echo-request -j ACCEPT",
            f"-A {tap}-IN -p tcp --dport 25 -j DROP",
            f"-A {tap}-IN -m iprange --src-range 203.0.113.1-203.0.113.9 -p tcp --dport {port} -j ACCEPT",
            f"-A {tap}-IN -j DROP",
        ]
    text = [
        "*filter",
        ":PVEFW-FORWARD - [0:0]",
        ":PVEFW-FWBR-IN - [0:0]",
        *chains,
        "-A FORWARD -j PVEFW-FORWARD",
        "-A PVEFW-FORWARD -m conntrack --ctstate INVALID -j DROP",
        "-A PVEFW-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"-A PVEFW-FORWARD {_PHYSDEV} -j PVEFW-FWBR-IN",
        *jumps,
        *rules,
        "COMMIT",
        "",
    ]
    path = root / "iptables"
    path.write_text("\n".join(text))
    host.space.run("iptables-legacy-restore", path)
