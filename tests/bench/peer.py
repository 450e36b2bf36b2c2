"""The kernel work of one plug as Proxmox VE's tools do it: a program for each step, one after the other.

  python -m tests.bench.peer BRIDGE     reads "plain TAP" or "firewalled TAP MAC"; prints milliseconds

Steps and their order: pve-bridge, PVE::Network and PVE::Firewall of Proxmox VE 9, traced with strace on an
ordinary bridge: 20 helper programs, each with its output read, and a shell around each `tc`.  Left out, which
makes the peer faster than the original: the Perl that starts the steps (0.12 s to load PVE::Network) and
two calls of ovs-vsctl; in their place stand the two of nft that load the guest's rules.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

MTU = "1500"

GUEST_RULES = """\
table inet peer {{
	chain {tap}-in {{
		ct state established,related accept
		meta l4proto icmpv6 icmpv6 type {{ 133, 134, 135, 136 }} accept
		udp sport 67 udp dport 68 accept
		tcp dport 8080 accept
		drop
	}}
	chain {tap}-out {{
		udp sport 68 udp dport 67 accept
		tcp dport 9999 drop
		accept
	}}
}}
table bridge peer {{
	chain {tap}-mac {{
		ether saddr != {mac} drop
	}}
}}
add element bridge peer macs {{ "{tap}" : jump {tap}-mac }}
add element inet peer in {{ "{tap}" : jump {tap}-in }}
add element inet peer out {{ "{tap}" : jump {tap}-out }}
"""

BASE_RULES = """\
table inet peer {
	map in { type ifname : verdict; }
	map out { type ifname : verdict; }
	chain forward {
		type filter hook forward priority 0;
		oifname vmap @in
		iifname vmap @out
	}
}
table bridge peer {
	map macs { type ifname : verdict; }
	chain prerouting {
		type filter hook prerouting priority 0;
		iifname vmap @macs
	}
}
"""


def plain(tap: str, bridge: str) -> list[str]:
    """Return the steps for a NIC without firewall: 9 helpers."""
    return [*_create(tap), *_read(), *_port(tap, bridge), *_no_rate(tap)]


def firewalled(tap: str, bridge: str, rules: Path) -> list[str]:
    """Return the steps for a NIC with firewall, its own bridge between the guest and the real one: 20 helpers."""
    fwbr, fwln, fwpr = _devices(tap)
    return [
        *_create(tap),
        *_read(),
        f"ip link add name {fwbr} type bridge",
        f"ip link set {fwbr} up",
        f"ip link add name {fwln} mtu {MTU} type veth peer name {fwpr} mtu {MTU}",
        f"ip link set {fwln} up",
        f"ip link set {fwpr} up",
        *_port(fwln, fwbr),
        *_port(fwpr, bridge),
        *_port(tap, fwbr),
        *_no_rate(tap),
        "nft list tables",
        f"nft -f {rules}",
    ]


def unplugged(tap: str) -> list[list[str]]:
    """Return what brings the host back, so that the next one starts from the same; nobody times it."""
    fwbr, fwln, _ = _devices(tap)
    maps = (("bridge", "macs"), ("inet", "in"), ("inet", "out"))
    chains = (("inet", "in"), ("inet", "out"), ("bridge", "mac"))
    rules = [f'delete element {family} peer {name} {{ "{tap}" }}' for family, name in maps]
    rules += [f"delete chain {family} peer {tap}-{way}" for family, way in chains]
    return [["nft", "; ".join(rules)], ["ip", "link", "delete", fwln], ["ip", "link", "delete", fwbr]]


def main(bridge: str) -> None:
    """Do what standard input says, one line after the other."""
    with tempfile.TemporaryDirectory() as scratch:
        rules = Path(scratch) / "rules"
        rules.write_text(BASE_RULES)
        _run(["nft", "-f", str(rules)])
        print("ready", flush=True)
        for line in sys.stdin:
            kind, tap, *mac = line.split()
            rules.write_text(GUEST_RULES.format(tap=tap, mac="".join(mac)))
            started = time.perf_counter()
            for step in plain(tap, bridge) if kind == "plain" else firewalled(tap, bridge, rules):
                _run(["sh", "-c", step] if step.startswith("tc ") else step.split())
            ports = [tap] if kind == "plain" else [tap, *_devices(tap)]
            _ipv6_off(ports)
            print(f"{(time.perf_counter() - started) * 1000:.3f}", flush=True)
            if kind != "plain":
                for command in unplugged(tap):
                    _run(command)


def _run(command: list[str]) -> None:
    """Run a program and read what it says; some of the steps fail, as they do there."""
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)


def _devices(tap: str) -> tuple[str, str, str]:
    vmid, _, index = tap.removeprefix("tap").partition("i")
    return f"fwbr{vmid}i{index}", f"fwln{vmid}i{index}", f"fwpr{vmid}p{index}"


def _ipv6_off(names: list[str]) -> None:
    """Switch IPv6 off on ports, as the tools do: by a file, without a program."""
    for name in names:
        path = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
        if path.exists():
            path.write_text("1")


def _create(tap: str) -> list[str]:
    return [f"ip link set {tap} up promisc on mtu {MTU}"]


def _read() -> list[str]:
    """Two readings of /etc/network/interfaces ask for all links each."""
    return ["ip -details -json link show"] * 2


def _port(name: str, bridge: str) -> list[str]:
    return [f"ip link set {name} mtu {MTU}", f"ip link set {name} master {bridge}"]


def _no_rate(tap: str) -> list[str]:
    return [
        f"tc class del dev {tap} parent 1: classid 1:1",
        f"tc filter del dev {tap} parent ffff: protocol all pref 50 u32",
        f"tc qdisc del dev {tap} ingress",
        f"tc qdisc del dev {tap} root",
    ]


if __name__ == "__main__":
    main(sys.argv[1])
