"""Docker and Podman on the same host: what they load is told, never touched; their containers keep their network."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest

from tests.patience import PATIENCE
from tests.sandbox.space import CHECKOUT, Space
from tests.sandbox.world import GUEST, PROVIDER, World

RULES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-INTERNAL - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-INTERNAL
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 198.51.100.0/24 ! -o docker0 -j MASQUERADE
COMMIT
"""
"""What dockerd 28 loads for its default bridge, as its documentation of iptables' chains has it."""
PODMAN = """\
table inet netavark {
	chain INPUT {
		type filter hook input priority filter; policy accept;
		ip saddr 203.0.113.0/24 udp dport 53 accept
	}
	chain FORWARD {
		type filter hook forward priority filter; policy accept;
		ct state invalid drop
		jump NETAVARK-ISOLATION-1
		ip daddr 203.0.113.0/24 ct state established,related accept
		ip saddr 203.0.113.0/24 accept
	}
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 203.0.113.0/24 ip daddr != 224.0.0.0/4 masquerade
	}
	chain NETAVARK-ISOLATION-1 {
	}
}
"""
"""What netavark loads for a network of Podman's, but for published ports."""
SUBNET = "198.51.100"
CONTAINERS = {"veth1a2b3c4": 2, "veth5d6e7f8": 3}


def load(world: World) -> dict[str, Space]:
    """Have docker0, its rules, two containers behind ports with Docker's names, and a network of Podman's."""
    world.write("podman.nft", PODMAN)
    world.host.run("nft", "-f", world.root / "podman.nft")
    world.host.run("ip", "link", "add", "podman0", "type", "bridge")
    world.host.run("ip", "link", "set", "podman0", "up")
    world.write("docker.rules", RULES)
    world.host.run("iptables-nft-restore", world.root / "docker.rules")
    world.host.run("ip", "link", "add", "docker0", "type", "bridge")
    world.host.run("ip", "address", "add", f"{SUBNET}.1/24", "dev", "docker0")
    world.host.run("ip", "link", "set", "docker0", "up")
    return {port: container(world, port, number) for port, number in CONTAINERS.items()}


def container(world: World, port: str, number: int) -> Space:
    space = world.space(f"docker{number}")
    world.host.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space.name)
    world.host.run("ip", "link", "set", port, "master", "docker0", "up")
    space.run("ip", "link", "set", "eth0", "up")
    space.run("ip", "address", "add", f"{SUBNET}.{number}/24", "dev", "eth0")
    space.run("ip", "route", "add", "default", "via", f"{SUBNET}.1")
    return space


def theirs(world: World) -> dict[str, Any]:
    """Return all that Docker has made, as the kernel shows it."""
    links = world.host.show("ip", "-d", "-j", "link", "show")
    bridges = {"docker0", "podman0", *CONTAINERS}
    listed = json.loads(world.host.run("nft", "-j", "-s", "list", "ruleset"))["nftables"]
    kept = [entry for entry in listed if all(one.get("table", one.get("name")) != "pvenetd" for one in entry.values())]
    return {
        "rules": [entry for entry in kept if "metainfo" not in entry],
        "links": {link["ifname"]: settled(link) for link in links if link["ifname"] in bridges},
        "addresses": world.host.show("ip", "-j", "-4", "address", "show", "dev", "docker0"),
        "br_netfilter": world.host.run("sysctl", "-e", "net.bridge.bridge-nf-call-iptables"),
    }


def settled(link: dict[str, Any]) -> dict[str, Any]:
    """Return a link without the timers that run in it."""
    text = re.sub(r'"[a-z_]*(timer|_interval)[a-z_]*": [0-9.]+', '"timer": 0', json.dumps(link))
    found: dict[str, Any] = json.loads(text)
    return found


def warning(world: World) -> list[str]:
    told = json.loads(world.ctl("--json", "status"))["neighbours"]
    return [one["hint"] for one in told if one["severity"] == "warning"]


def fetches(guest: Space, seconds: float = PATIENCE) -> bool:
    command = [sys.executable, "-m", "tests.sandbox.web", "get", f"http://{PROVIDER}/", seconds]
    return bool(guest.run(*command, env={"PYTHONPATH": str(CHECKOUT)}, check=False))


@pytest.mark.netns
def test_docker_is_told_of_and_left_alone(world: World) -> None:
    one, other = load(world).values()
    before = theirs(world)
    told = world.ctl("status")
    assert re.search(
        r"^neighbour +Docker: bridge docker0 \(2 ports\), table ip filter, table ip nat: left alone$",
        told,
        re.MULTILINE,
    )
    assert re.search(
        r"^neighbour +Podman: bridge podman0 \(0 ports\), table inet netavark: left alone$", told, re.MULTILINE
    )
    guest, pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    assert one.pings(f"{SUBNET}.3")
    assert one.pings(PROVIDER)

    assert not fetches(guest, 2), "Docker's policy drops what a guest sends: that is told, with the way out"
    (hint,) = warning(world)
    assert hint == "iptables -I DOCKER-USER -i vmbr1 -j ACCEPT and iptables -I DOCKER-USER -o vmbr1 -j ACCEPT"
    world.ctl("firewall", "apply")
    world.ctl("apply")
    world.ctl("vm", "unplug", "100")
    world.ctl("vm", "plug", "100")
    world.restart_daemon()
    assert theirs(world) == before

    for command in hint.split(" and "):
        world.host.run(*command.replace("iptables", "iptables-nft").split())
    assert fetches(guest)
    assert warning(world) == []
    pump.stop()
    assert other.pings(f"{SUBNET}.2")
