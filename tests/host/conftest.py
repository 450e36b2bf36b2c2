"""One host, one life: a network of ifupdown2's, then the package on top of it, then without it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.guest.domain import Domain, Libvirt
from tests.host.flow import Flow
from tests.host.machine import Network, apt, ctl, files, network, package
from tests.host.talk import Provider, Talk
from tests.host.virtual import CLUSTER, CLUSTER_FILE, GUEST_FILE, RULES, RULES_FILE
from tests.netns import run, show
from tests.patience import until

INTERFACES = Path("/etc/network/interfaces")

TEXT = """\
auto lo
iface lo inet loopback

iface eno1 inet manual

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.2/24
	gateway 192.0.2.1
	bridge-ports eno1
	bridge-stp off
	bridge-fd 0
	bridge-vlan-aware yes
	bridge-vids 2-4094
"""


@pytest.fixture(scope="session")
def before() -> Iterator[Network]:
    """The host's network as ifupdown2 has made it, before the package came."""
    for settings in ("all", "default"):  # IPv6 addresses are there at once, not after having been tried for a second
        run("sysctl", "-q", f"net.ipv6.conf.{settings}.accept_dad=0")
    run("ip", "netns", "add", "provider")
    run("ip", "link", "add", "eno1", "type", "veth", "peer", "name", "customer0", "netns", "provider")
    run("ip", "-n", "provider", "link", "set", "customer0", "up")
    INTERFACES.write_text(TEXT)
    run("systemctl", "start", "networking.service")  # which may still be at it, at boot
    run("ifreload", "-a")
    last = ("ip", "-6", "-j", "address", "show", "dev", "vmbr0", "scope", "link")
    until(lambda: show(*last), "vmbr0 has its link-local address: the last to come, with the carrier")
    yield network()
    run("ip", "netns", "delete", "provider")


class Installed(NamedTuple):
    """What the package's installation has changed."""

    before: Network
    after: Network
    lost: set[int]
    """Of a flow from outside that went on meanwhile."""


@pytest.fixture(scope="session")
def paths(before: Network) -> set[str]:
    """All files of the host before the package came."""
    del before
    return files()


@pytest.fixture(scope="session")
def installed(before: Network, paths: set[str]) -> Installed:
    """The host's network before the package was installed, and right after."""
    del paths
    with Flow() as flow:
        apt("install", package().resolve())
        lost = flow.lost()
    return Installed(before, network(), lost)


@pytest.fixture(scope="session")
def libvirt(installed: Installed) -> Libvirt:
    """Return the host's libvirtd, which knows the package's hook; guest 100 has rules."""
    del installed
    ctl("apply")
    CLUSTER_FILE.write_text(CLUSTER)
    RULES_FILE.write_text(RULES)
    ctl("firewall", "apply")
    run("systemctl", "restart", "libvirtd.service")  # it looks for hooks when it starts
    libvirt = Libvirt()
    libvirt.install_kernel()
    libvirt.define_network()
    return libvirt


@pytest.fixture(scope="session")
def provider(libvirt: Libvirt) -> Provider:
    """Return who is outside, in the guests' VLANs."""
    del libvirt
    return Provider()


@pytest.fixture
def domain(libvirt: Libvirt) -> Iterator[Callable[..., Domain]]:
    """Define guest 100; however the test ends, nothing is left of it."""
    made: list[Domain] = []

    def define(*interfaces: str, **rest: Any) -> Domain:
        made.append(Domain(libvirt, interfaces, **rest))
        return made[-1].define()

    yield define
    for one in made:
        one.remove()


@pytest.fixture
def talk(provider: Provider) -> Iterator[Callable[[Domain], Talk]]:
    """Have a guest talk that has just been started."""
    made: list[Talk] = []

    def begin(guest: Domain) -> Talk:
        made.append(Talk(guest, provider))
        made[-1].shell.ready()
        made[-1].begin()
        return made[-1]

    yield begin
    for one in made:
        one.stop()


@pytest.fixture
def guest_file() -> Iterator[Callable[[str], None]]:
    """Write guest 100's file; without text it goes."""

    def write(text: str) -> None:
        if text:
            GUEST_FILE.write_text(text)
        else:
            GUEST_FILE.unlink(missing_ok=True)
        ctl("reconcile")

    yield write
    write("")
