"""The iptables backend with the daemon: a guest stands behind its own bridge, and is filtered from its first frame."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import applied
from tests.e2e.frames import tcp_syn
from tests.patience import until
from tests.sandbox.client import hook
from tests.sandbox.pings import Pings
from tests.sandbox.process import Process
from tests.sandbox.world import GUEST, GUEST_MAC, NAT_HOST, PROVIDER, TAP, World

pytestmark = pytest.mark.netns

SETTINGS = '[firewall]\nbackend = "iptables"\n'
FORBIDDEN = 9999
"""A port of the provider that the guest's rules close (examples/nat-host)."""
BETWEEN = {"fwbr100i0", "fwln100i0", "fwpr100p0"}


@pytest.fixture
def host() -> Iterator[World]:
    """Yield the example host, filtered by iptables."""
    with applied(NAT_HOST, SETTINGS) as world:
        yield world


def masters(world: World) -> dict[str, str]:
    """Return what each link is a port of."""
    return {link["ifname"]: link.get("master", "") for link in world.host.show("ip", "-j", "link")}


def rules(world: World) -> str:
    """Return what iptables has, both families, without what changes by itself."""
    saved = world.host.run("iptables-save") + world.host.run("ip6tables-save") + world.host.run("ipset", "save")
    return "\n".join(line for line in saved.splitlines() if line.startswith(("-", "add")))


def filtered_flow(world: World) -> tuple[Pings, Process]:
    """Return the pings of a guest that is a namespace, and what plugs it."""
    guest, pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    flow = world.ping(guest, PROVIDER, 0.02)
    flow.go_on(20)
    return flow, pump


def test_a_guest_stands_behind_a_bridge_of_its_own_and_leaves_nothing_of_it(host: World) -> None:
    _flow, pump = filtered_flow(host)
    found = masters(host)
    assert {name: found[name] for name in (TAP, "fwln100i0", "fwpr100p0")} == {
        TAP: "fwbr100i0",
        "fwln100i0": "fwbr100i0",
        "fwpr100p0": "vmbr1",
    }
    host.page(f"http://{PROVIDER}:80/")
    told = json.loads(host.ctl("--json", "firewall", "status"))
    assert (told["backend"], told["drift"]) == ("iptables", [])
    counted = {one["origin"]: one for one in json.loads(host.ctl("--json", "firewall", "rules", "--vmid", "100"))}
    assert counted["100.fw:8"]["vmid"] == 100
    assert counted["100.fw:8"]["text"].startswith("OUT DROP -p tcp -dport 9999")
    assert host.ctl("plan") == ""
    pump.stop()
    until(lambda: not BETWEEN & masters(host).keys(), "nothing of the way between is left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_restart_loses_no_packet_and_changes_nothing(host: World, number: int) -> None:
    flow, pump = filtered_flow(host)
    before = masters(host), rules(host)
    host.restart_daemon(number)
    flow.go_on(20)
    assert flow.lost() == []
    assert (masters(host), rules(host)) == before
    pump.stop()


def test_what_somebody_takes_away_is_loaded_again(host: World) -> None:
    _flow, pump = filtered_flow(host)
    before = rules(host)
    assert host.daemon
    host.daemon.skip()
    host.host.run("iptables", "-F", "tap100i0-OUT")
    host.daemon.expect("somebody has changed our chains: ")
    until(lambda: sorted(rules(host)) == sorted(before), "the rules are as they were")
    pump.stop()


def test_rules_of_others_stay_where_they_are(host: World) -> None:
    host.host.run("iptables", "-N", "DOCKER-USER")
    for chain in ("INPUT", "FORWARD", "DOCKER-USER"):
        host.host.run("iptables", "-A", chain, "-s", "203.0.113.9", "-j", "DROP")
    others = [line for line in rules(host).splitlines() if "203.0.113.9" in line]
    _flow, pump = filtered_flow(host)
    host.write("etc/pvenetd/firewall/100.fw", "[OPTIONS]\nenable: 1\n")
    host.ctl("firewall", "apply")
    host.restart_daemon()
    pump.stop()
    host.write("etc/pvenetd/firewall/cluster.fw", "[OPTIONS]\nenable: 0\n")
    host.ctl("firewall", "apply")
    until(lambda: TAP not in rules(host), "its rules are gone")
    host.write("etc/network/interfaces", "")  # the base stays while there is NAT, which stands on it, too
    host.ctl("apply")
    until(lambda: "PVEFW" not in rules(host), "ours are gone")
    assert [line for line in rules(host).splitlines() if line.startswith("-")] == others


def test_no_frame_that_is_forbidden_passes_from_the_first_one_on(host: World) -> None:
    outside = host.capture(host.host, "eth0", "tcp")
    assert host.daemon
    host.daemon.signal(signal.SIGSTOP)  # it would see the tap, and plug it before the guest has begun
    guest = host.start_tap()
    guest.send(f"flood {syn(host, FORBIDDEN)}")
    guest.expect("^flooding$")
    host.daemon.signal(signal.SIGCONT)
    hook(host.root, "up", TAP)
    guest.expect("^1000 taken$")
    switched(host, "nftables")
    switched(host, "iptables")
    guest.send("stop")
    guest.expect(r"^taken (\d+), refused (\d+)$")
    guest.send(f"send {syn(host, 80)}")
    outside.expect(rf"> {PROVIDER}\.80: Flags \[S\]")
    assert not outside.seen(rf"\.{FORBIDDEN}\b"), "nothing of it left the host, whichever backend was being loaded"


def syn(world: World, port: int) -> str:
    mac: str = world.host.show("ip", "-j", "link", "show", "vmbr1")[0]["address"]
    return tcp_syn(GUEST_MAC, mac, GUEST, PROVIDER, port).hex()


def switched(world: World, backend: str) -> None:
    """Have another backend load the rules."""
    world.write("etc/pvenetd/pvenetd.toml", f'[firewall]\nbackend = "{backend}"\n')
    world.restart_daemon()
    told = json.loads(world.ctl("--json", "firewall", "status"))
    assert (told["backend"], told["drift"]) == (backend, [])
    assert ("PVEFW" in rules(world)) == (backend == "iptables")
    assert masters(world)[TAP] == ("fwbr100i0" if backend == "iptables" else "vmbr1")
