"""What a running guest's NIC has changes while it talks; NICs and domains that come in an unusual order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.guest.domain import Domain, Libvirt, Wiring, interface, mac, metadata
from tests.guest.qemu import Shell
from tests.host.conftest import INTERFACES
from tests.host.left import comes_back, everything
from tests.host.machine import asked, ctl, port
from tests.host.virtual import NET, NETS
from tests.netns import run, show
from tests.patience import until
from tests.sandbox.process import Process

pytestmark = pytest.mark.host

BRIDGE, NIC, THERE = "plain0", "eno3", "customer3"
STANZAS = f"""
iface {NIC} inet manual

auto {BRIDGE}
iface {BRIDGE} inet manual
	bridge-ports {NIC}
	bridge-fd 0
"""
FRIENDS = {30: "198.51.100.30", 31: "198.51.100.31"}
"""Who is in which VLAN behind the plain bridge."""
ADDRESS = "198.51.100.7/24"
MIB = 1 << 20
SIZE = 4 * MIB
BURST = 1.0
"""Seconds' worth of bytes that pass at once (`pvenetd.shaping`)."""


def net(tag: int, more: str = "") -> str:
    words = f"bridge='{BRIDGE}' tag='{tag}' firewall='1'{more}"
    return metadata(words, f"mac='{mac(1)}' {words}")


@pytest.fixture
def plain(libvirt: Libvirt) -> Iterator[None]:
    """A bridge that is not VLAN-aware, and a web server in each of two VLANs behind it."""
    del libvirt
    before, inside = INTERFACES.read_text(), ("ip", "-n", "provider")
    run("ip", "link", "add", NIC, "type", "veth", "peer", "name", THERE, "netns", "provider")
    run(*inside, "link", "set", THERE, "up")
    apply(before + STANZAS)
    run("sh", "-c", f"mkdir -p /run/pages && head -c {SIZE} /dev/zero >/run/pages/page")
    servers = []
    for tag, address in FRIENDS.items():
        run(*inside, "link", "add", f"there.{tag}", "link", THERE, "type", "vlan", "id", str(tag))
        run(*inside, "address", "add", f"{address}/32", "dev", f"there.{tag}")
        run(*inside, "link", "set", f"there.{tag}", "up")
        words = ["busybox", "httpd", "-f", "-p", f"{address}:80", "-h", "/run/pages"]
        servers.append(Process("httpd", ["ip", "netns", "exec", "provider", *words]))
    yield
    for server in servers:
        server.stop()
    apply(before)
    run(*inside, "link", "delete", THERE)


def apply(text: str) -> None:
    INTERFACES.with_suffix(".new").write_text(text)
    ctl("apply", "--yes")


def reaches(shell: Shell, tag: int) -> bool:
    """Return whether the guest is in a VLAN; who is in it has its way back to the guest there."""
    way = ("ip", "-n", "provider", "route", "replace", ADDRESS.partition("/")[0], "dev", f"there.{tag}")
    run(*way, "src", FRIENDS[tag])
    return shell.run(f"ping -c 1 -W 5 {FRIENDS[tag]}")[0] == 0


def fetched(shell: Shell, tag: int) -> float:
    """Return the seconds in which the guest has got a page of `SIZE` bytes."""
    began = time.monotonic()
    status, said = shell.run(f"wget -q -O - http://{FRIENDS[tag]}/page | wc -c")
    assert (status, said.strip()) == (0, str(SIZE)), said
    return time.monotonic() - began


def links() -> set[str]:
    return {link["ifname"] for link in show("ip", "-j", "link")}


@pytest.mark.usefixtures("plain")
def test_its_limit_and_its_vlan_change_while_it_talks(domain: Callable[..., Domain]) -> None:
    before = everything()
    guest = domain(interface(Wiring.SCRIPT, bridge=BRIDGE), metadata=net(30, " rate='1'"), addresses=[ADDRESS])
    guest.start()
    shell = guest.shell()
    shell.ready()
    tap = guest.device()
    number = port(tap)["ifindex"]
    assert port(tap)["master"] == f"{BRIDGE}v30"
    assert port(f"{NIC}.30")["master"] == f"{BRIDGE}v30"
    assert reaches(shell, 30)
    assert fetched(shell, 30) > SIZE / MIB - BURST - 0.5, "a MiB a second, and what may come at once"

    guest.tell(net(30))
    until(lambda: "tbf" not in run("tc", "qdisc", "show", "dev", tap), "it is not limited any more")
    assert run("tc", "filter", "show", "dev", tap, "ingress") == ""
    fetched(shell, 30)

    guest.tell(net(31, " rate='2.5'"))
    until(lambda: port(tap).get("master") == f"{BRIDGE}v31", "it is in the other VLAN's bridge")
    until(lambda: "rate 20971Kbit" in run("tc", "qdisc", "show", "dev", tap), "it has another limit")
    assert reaches(shell, 31)
    assert f"{BRIDGE}v30" not in links(), "it went with its last guest"
    assert port(tap)["ifindex"] == number
    assert ctl("plan") == ""

    guest.attach(interface(Wiring.SCRIPT, 1, bridge=BRIDGE))
    until(
        lambda: "rate 20971Kbit" in run("tc", "qdisc", "show", "dev", guest.device(1)),
        "a NIC that is attached is limited, though libvirt gives it another qdisc after its script",
    )
    guest.power_off(shell)
    shell.process.stop()
    guest.remove()
    assert comes_back(before) == before


def test_a_tap_of_ours_is_plugged_first_and_then_attached(domain: Callable[..., Domain]) -> None:
    """At a hotplug libvirt runs no hook, and wants the tap of an interface with managed='no' to be there."""
    before = everything()
    guest = domain(interface(Wiring.OURS), metadata=metadata(*NETS[:2]))
    guest.start()
    running = everything()
    assert "managed='no'" in guest.libvirt.refused(
        "attach-device", guest.name, guest.file(interface(Wiring.OURS, 1)), "--live"
    )
    ctl("vm", "plug", "100", "net1")
    guest.attach(interface(Wiring.OURS, 1))
    nic = asked("vm", "show", "100")["nics"][1]
    assert (nic["tap"], nic["plugged"], nic["filtered"]) == ("tap100i1", 1, 1)
    assert {"UP", "LOWER_UP"} <= set(port("tap100i1")["flags"]), "QEMU has it open"
    assert ctl("plan") == ""
    guest.destroy()
    guest.start()
    ctl("vm", "unplug", "100", "net1")
    assert comes_back(running) == running
    guest.destroy()
    guest.remove()
    assert comes_back(before) == before


def test_of_two_domains_with_one_vmid_the_second_does_not_start(domain: Callable[..., Domain]) -> None:
    before = everything()
    first = domain(interface(Wiring.SCRIPT), metadata=metadata(NET))
    second = domain(interface(Wiring.PLAIN), metadata=metadata(NET), name="twin")
    first.start()
    running = everything()
    assert "100 is a guest already, by libvirt:vm100" in second.refused()
    assert comes_back(running) == running
    first.destroy()
    second.start()
    assert asked("vm", "show", "100")["name"] == "twin"
    assert "100 is a guest already, by libvirt:twin" in first.refused()
    second.crash()
    first.start()
    assert asked("vm", "show", "100")["name"] == "vm100"
    for one in (first, second):
        one.remove()
    assert comes_back(before) == before


def test_a_libvirtd_that_does_not_know_the_hook_is_told_of(libvirt: Libvirt) -> None:
    hook, hint = "/etc/libvirt/hooks/qemu.d/50-pvenetd", "does not call it: systemctl restart libvirtd"
    libvirt.virsh("uri")
    assert hint not in ctl("status")
    run("systemctl", "restart", "pvenetd.service")  # which has never heard the hook
    run("sh", "-c", f"cp -p {hook} /run/hook && mv /run/hook {hook}")
    assert hint in ctl("status")
    run("systemctl", "restart", "libvirtd.service")
    assert hint not in ctl("status")
