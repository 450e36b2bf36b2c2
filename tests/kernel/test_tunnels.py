"""Packets through tunnels whose far ends ip(8) has made: each end in a network namespace of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from pvenetd.compile import compile_interfaces
from pvenetd.drivers.files import Files
from pvenetd.drivers.host import Host
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.plan import plan
from pvenetd.state import INTERFACES
from tests.netns import Namespaces, run

_FAR_SIDES = 2
_UNDERLAY = "".join(
    f"""
auto eno{side}
iface eno{side}
	address 192.0.2.{4 * side + 1}/30
	address 2001:db8:{side}::1/64
	dad-attempts 0
"""
    for side in range(1, _FAR_SIDES + 1)
)
"""Two cables, to 192.0.2.6 and 192.0.2.10, or to 2001:db8:1::2 and 2001:db8:2::2."""

_ADDRESS = "\n\taddress 198.51.100.1/24\n"
_BRIDGE = """
auto vmbr1
iface vmbr1
	address 198.51.100.1/24
	bridge-ports tun1
	bridge-fd 0
"""
ENDS = [
    pytest.param("vxlan-id 5\n\tvxlan-remoteip 192.0.2.6", _ADDRESS, "vxlan id 5 dstport 4789 remote {v4}", id="vxlan"),
    pytest.param(
        "vxlan-id 5\n\tvxlan-remoteip 2001:db8:1::2",
        _ADDRESS,
        "vxlan id 5 dstport 4789 remote {v6}",
        id="vxlan over IPv6",
    ),
    pytest.param(
        "vxlan-id 5\n\tvxlan-svcnodeip 239.1.1.1\n\tvxlan-physdev eno1",
        _ADDRESS,
        "vxlan id 5 dstport 4789 group 239.1.1.1 dev eth0",
        id="vxlan with a group",
    ),
    pytest.param(
        "tunnel-mode gretap\n\ttunnel-endpoint 192.0.2.6\n\ttunnel-key 7",
        _BRIDGE,
        "gretap remote {v4} key 7",
        id="gretap",
    ),
    pytest.param(
        "tunnel-mode gre\n\ttunnel-endpoint 192.0.2.6\n\ttunnel-csum yes", _ADDRESS, "gre remote {v4} csum", id="gre"
    ),
    pytest.param(
        "tunnel-mode ip6gretap\n\ttunnel-endpoint 2001:db8:1::2\n\ttunnel-local 2001:db8:1::1",
        _BRIDGE,
        "ip6gretap remote {v6} local {own6}",
        id="ip6gretap",
    ),
    pytest.param("tunnel-mode ipip\n\ttunnel-endpoint 192.0.2.6", _ADDRESS, "ipip remote {v4}", id="ipip"),
    pytest.param(
        "tunnel-mode ipip6\n\ttunnel-endpoint 2001:db8:1::2\n\ttunnel-local 2001:db8:1::1",
        _ADDRESS,
        "ip6tnl mode ipip6 remote {v6} local {own6}",
        id="ipip6",
    ),
    pytest.param("geneve-id 5\n\tgeneve-remote 192.0.2.6", _ADDRESS, "geneve id 5 remote {v4}", id="geneve"),
    pytest.param(
        "geneve-id 5\n\tgeneve-remote 2001:db8:1::2", _BRIDGE, "geneve id 5 remote {v6}", id="geneve over IPv6"
    ),
]


class FarSide:
    """A network namespace at the other end of one of the host's cables."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout
        assert self._holder.stdout.readline() == b"ready\n"
        run("ip", "link", "add", f"eno{side}", "type", "veth", "peer", "name", "eth0", "netns", str(self._holder.pid))
        self("ip", "address", "add", f"192.0.2.{4 * side + 2}/30", "dev", "eth0")
        self("ip", "address", "add", f"2001:db8:{side}::2/64", "dev", "eth0", "nodad")
        self("ip", "link", "set", "eth0", "up")

    def __call__(self, *command: str) -> str:
        return run("nsenter", f"--net=/proc/{self._holder.pid}/ns/net", *command)

    def tunnel(self, words: str) -> None:
        """Make the far end, with 198.51.100.2 (or .3) inside."""
        side = self.side
        v4, v6 = f"192.0.2.{4 * side + 1}", f"2001:db8:{side}::1"
        self("ip", "link", "add", "far", "type", *words.format(v4=v4, v6=v6, own6=f"2001:db8:{side}::2").split())
        self("ip", "address", "add", f"198.51.100.{side + 1}/24", "dev", "far")
        self("ip", "link", "set", "far", "up")

    def close(self) -> None:
        """Let the namespace go."""
        self._holder.communicate()


@contextmanager
def _applied(text: str, root: Path) -> Iterator[None]:
    """Apply *text* with our driver."""
    config = single(parse(text, "/etc/network/interfaces"))
    nics = [f"eno{side}" for side in range(1, _FAR_SIDES + 1)]
    desired = compile_interfaces(config, nics, "mark").checked()
    with closing(Host(Files(root))) as host:
        for op in plan(desired, host.observe(desired.keys()), {INTERFACES}):
            host.apply(op)
        yield


def _reaches(address: str) -> bool:
    """Return whether *address* answers within a minute."""
    command = ["ping", "-q", "-c", "1", "-W", "60", "-w", "60", address]
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0


@pytest.fixture
def far(namespaces: Namespaces) -> Iterator[list[FarSide]]:
    del namespaces
    with ExitStack() as stack:
        yield [stack.enter_context(closing(FarSide(side))) for side in range(1, _FAR_SIDES + 1)]


@pytest.mark.lab
@pytest.mark.parametrize(("ours", "inside", "theirs"), ENDS)
def test_two_ends_reach_each_other(ours: str, inside: str, theirs: str, far: list[FarSide], tmp_path: Path) -> None:
    far[0].tunnel(theirs)
    with _applied(f"{_UNDERLAY}\nauto tun1\niface tun1\n\t{ours}{inside}", tmp_path):
        assert _reaches("198.51.100.2")


@pytest.mark.lab
def test_a_vxlan_reaches_each_of_its_remotes(far: list[FarSide], tmp_path: Path) -> None:
    for side in far:
        side.tunnel("vxlan id 5 dstport 4789 remote {v4}")
    stanza = f"auto vx1\niface vx1\n\tvxlan-id 5\n\tvxlan-remoteip 192.0.2.6\n\tvxlan-remoteip 192.0.2.10{_ADDRESS}"
    with _applied(f"{_UNDERLAY}\n{stanza}", tmp_path):
        assert _reaches("198.51.100.2")
        assert _reaches("198.51.100.3")


@pytest.mark.lab
def test_hosts_of_two_vrfs_may_have_one_address(far: list[FarSide], tmp_path: Path) -> None:
    for side in far:
        side("ip", "address", "add", "198.51.100.2/24", "dev", "eth0")
    text = "".join(
        f"auto eno{side}\niface eno{side}\n\taddress 198.51.100.1/24\n\tvrf red{side}\n"
        f"iface red{side}\n\tvrf-table auto\n"
        for side in (1, 2)
    )
    with _applied(text, tmp_path):
        for side in (1, 2):
            command = ["ping", "-q", "-c", "1", "-w", "60", "-I", f"red{side}", "198.51.100.2"]
            assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
