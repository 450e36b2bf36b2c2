"""Containers of LXC's own, from lxc-start to lxc-stop: plugged, filtered, changed while they run, refused, killed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.container import Container, restart_daemon
from tests.host.machine import asked, ctl, journal, port
from tests.netns import lasting, run, show
from tests.patience import PATIENCE, until
from tests.sandbox.process import Process

pytestmark = pytest.mark.host

CTID, VETH = 200, "veth200i0"
ADDRESS, GATEWAY = "192.0.2.200", "192.0.2.1"
MAC = "02:00:00:00:02:00"
OPEN, CLOSED, FORBIDDEN = 8080, 8081, 9999
CONFIG = Path("/etc/pvenetd")
NIC = f"name=eth0,bridge=vmbr0,firewall=1,hwaddr={MAC},ip={ADDRESS}/24,gw={GATEWAY}"
CLUSTER = "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n"
RULES = f"""\
[OPTIONS]
enable: 1
policy_in: DROP

[RULES]
IN ACCEPT -p tcp -dport {OPEN}
OUT DROP -p tcp -dport {FORBIDDEN}
"""
WITNESS = f"""\
table bridge witness {{
	chain entered {{
		type filter hook prerouting priority -400; policy accept;
		iifname "{VETH}" counter comment "entered"
	}}
	chain passed {{
		type filter hook prerouting priority 400; policy accept;
		iifname "{VETH}" tcp dport {FORBIDDEN} counter comment "passed"
	}}
}}
table inet witness {{
	chain beside {{
		type filter hook prerouting priority -400; policy accept;
		iifname "{VETH}" counter comment "beside"
	}}
}}
"""
"""Counts what comes from the container before any of pvenetd's chains, behind all of them, and past the bridge."""


@pytest.fixture(scope="module", autouse=True)
def host(installed: object) -> None:
    """vmbr0 as pvenetd makes it, the gateway behind it, and container 200 with rules."""
    del installed
    ctl("apply")
    run("ip", "-n", "provider", "address", "add", f"{GATEWAY}/24", "dev", "customer0")
    for name, text in (("cluster.fw", CLUSTER), (f"{CTID}.fw", RULES)):
        (CONFIG / "firewall" / name).write_text(text)
    ctl("firewall", "apply")


@pytest.fixture
def configure() -> Iterator[Callable[[str], None]]:
    """Write the container's file; it goes in the end."""
    path = CONFIG / f"lxc/{CTID}.conf"

    def write(net0: str) -> None:
        path.write_text(f"hostname: dns\nnet0: {net0}\n")

    write(NIC)
    yield write
    path.unlink()
    ctl("reconcile")
    assert f"vm-{CTID}" not in run("nft", "list", "table", "bridge", "pvenetd"), "the chains go with the configuration"


@pytest.fixture
def make(configure: Callable[[str], None]) -> Iterator[Callable[..., Container]]:
    """Make the container; however the test ends, nothing is left of it."""
    del configure
    made: list[Container] = []

    def one(**facts: Any) -> Container:
        made.append(Container(CTID, ports=(OPEN, CLOSED), **facts))
        return made[0]

    yield one
    for container in made:
        container.remove()
    assert left() == []


@pytest.fixture
def container(make: Callable[..., Container]) -> Container:
    """Return a container that runs, with a page on an open and on a closed port."""
    return started(make())


def started(container: Container) -> Container:
    assert container.start().returncode == 0, container.log.read_text()
    return container


def left() -> list[str]:
    """Return what is there of a container that has ended."""
    links = [link["ifname"] for link in show("ip", "-j", "link") if str(CTID) in link["ifname"]]
    return links + re.findall(f".*{VETH}.*", run("tc", "qdisc") + run("bridge", "fdb"))


def vlans() -> list[tuple[int, list[str]]]:
    there = next(one["vlans"] for one in show("bridge", "-j", "vlan") if one["ifname"] == VETH)
    return [(vlan["vlan"], sorted(vlan.get("flags", ()))) for vlan in there if "vlanEnd" not in vlan]


def reached(number: int) -> str:
    """Return the page that the provider gets of a port of the container's; nothing if it gets none."""
    seconds = f"{PATIENCE:g}" if number == OPEN else "2"
    command = ["ip", "netns", "exec", "provider", "busybox", "timeout", seconds, "busybox", "wget", "-q", "-O", "-"]
    return run("sh", "-c", f"{' '.join(command)} http://{ADDRESS}:{number}/ || true")


def test_a_container_is_plugged_filtered_and_reaches_its_gateway(container: Container) -> None:
    link = port(VETH)
    assert (link["master"], link["ifalias"]) == ("vmbr0", f"pvenetd:vm:{CTID} (configured)")
    assert {"UP", "LOWER_UP"} <= set(link["flags"])
    assert Path(f"/proc/sys/net/ipv6/conf/{VETH}/disable_ipv6").read_text() == "1\n"
    assert VETH in run("nft", "list", "map", "bridge", "pvenetd", "in")
    guest = asked("vm", "show", str(CTID))
    nic = guest["nics"][0]
    assert (guest["name"], nic["plugged"], nic["filtered"], nic["source"]) == ("dns", 1, 1, "lxc")
    assert MAC in container.run("cat", "/sys/class/net/eth0/address")
    container.run("ping", "-c", "1", "-W", "60", GATEWAY)


def test_an_open_port_is_open_and_a_closed_one_sees_no_packet(container: Container) -> None:
    watch = Process("tcpdump", ["tcpdump", "-nn", "-l", "--immediate-mode", "-i", VETH, "tcp"])
    watch.expect("listening on")
    assert reached(CLOSED) == ""
    assert reached(OPEN) == f"page of {container.name}\n"
    watch.expect(rf"{ADDRESS}\.{OPEN}: Flags \[F")
    watch.stop()
    assert not [line for line in watch.lines if f"{ADDRESS}.{CLOSED}" in line]


def test_a_change_while_it_runs_touches_what_differs_alone(
    container: Container, configure: Callable[[str], None]
) -> None:
    before = port(VETH)
    container.run("ping", "-c", "1", "-W", "60", GATEWAY)
    configure(f"{NIC},tag=20,rate=2")
    ctl("reconcile")
    assert vlans() == [(20, ["Egress Untagged", "PVID"])]
    assert re.search(r"tbf .* root .* rate 16777Kbit", run("tc", "qdisc", "show", "dev", VETH))
    assert re.search(r"police .* rate 16777Kbit", run("tc", "filter", "show", "dev", VETH, "ingress"))
    assert not container.run("ping", "-c", "1", "-W", "1", GATEWAY, check=False), (
        "it is in another VLAN than its gateway"
    )
    configure(NIC)
    ctl("reconcile")
    container.run("ping", "-c", "1", "-W", "60", GATEWAY)
    assert port(VETH) == before


def test_link_down_pulls_the_cable(container: Container, configure: Callable[[str], None]) -> None:
    configure(f"{NIC},link_down=1")
    ctl("reconcile")
    assert container.run("cat", "/sys/class/net/eth0/carrier").strip() == "0"
    configure(NIC)
    ctl("reconcile")
    assert container.run("cat", "/sys/class/net/eth0/carrier").strip() == "1"


def test_a_restart_of_the_daemon_leaves_it_alone(container: Container) -> None:
    before = port(VETH), lasting(run("nft", "--stateless", "list", "ruleset"))
    restart_daemon()
    assert ctl("plan") == ""
    assert (port(VETH), lasting(run("nft", "--stateless", "list", "ruleset"))) == before
    container.run("ping", "-c", "1", "-W", "60", GATEWAY)


def test_no_packet_passes_before_its_chains(make: Callable[..., Container]) -> None:
    many = f"for n in 1 2 3 4 5 6 7 8 9 10; do nc -w 1 {GATEWAY} {FORBIDDEN} & done"
    Path("/tmp/witness.nft").write_text(WITNESS)
    run("nft", "-f", "/tmp/witness.nft")
    try:
        assert started(make(first=many)).run("ping", "-c", "3", "-W", "60", GATEWAY)
        until(lambda: dropped() >= 10, "each of them has tried")
        assert counted("passed") == counted("beside") == 0
        assert counted("entered") > 10
    finally:
        run("nft", "delete table bridge witness; delete table inet witness")


def counted(comment: str) -> int:
    return packets(lambda rule: rule.get("comment") == comment)


def dropped() -> int:
    """Return how many packets the container's own rule has dropped."""
    return packets(lambda rule: rule["chain"] == f"vm-{CTID}-out" and str(FORBIDDEN) in json.dumps(rule))


def packets(of: Callable[[dict[str, Any]], bool]) -> int:
    listed = json.loads(run("nft", "-j", "list", "ruleset"))["nftables"]
    rules = (entry["rule"] for entry in listed if "rule" in entry and of(entry["rule"]))
    return sum(part["counter"]["packets"] for rule in rules for part in rule["expr"] if "counter" in part)


@pytest.mark.parametrize(
    ("net0", "reason"),
    [
        (NIC.replace("vmbr0", "vmbr9"), "there is no bridge 'vmbr9'"),
        (f"{NIC},tag=5000", "tag: '5000'"),
    ],
)
def test_it_does_not_start_with_a_nic_that_cannot_be(
    make: Callable[..., Container], configure: Callable[[str], None], net0: str, reason: str
) -> None:
    made = make()
    configure(net0)
    told = journal()
    assert made.start().returncode != 0
    assert reason in made.log.read_text()
    told.expect(re.escape(reason))
    told.stop()


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("lxc.hook.version = 1\n", id="told by the environment"),
        pytest.param("lxc.net.0.link = vmbr0\n", id="a port by LXC already"),
        pytest.param("lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n", id="in a user namespace"),
    ],
)
def test_other_ways_of_lxc_end_the_same(make: Callable[..., Container], more: str) -> None:
    made = started(make(more=more))
    assert port(VETH)["master"] == "vmbr0"
    assert VETH in run("nft", "list", "map", "bridge", "pvenetd", "in")
    assert (reached(CLOSED), reached(OPEN)) == ("", f"page of {made.name}\n")
    made.run("ping", "-c", "1", "-W", "60", GATEWAY)


@pytest.mark.reliability("`kill -9` of a container", guarantee="nothing is left of it")
def test_a_container_that_is_killed_leaves_nothing(container: Container) -> None:
    container.kill()
    until(lambda: left() == [], "its pair is gone")
    assert asked("vm", "show", str(CTID))["nics"][0]["plugged"] == 0
