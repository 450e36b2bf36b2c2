"""`pvenetctl firewall apply` where no daemon runs: files alone, in a namespace whose links somebody else has made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pvenetd.firewall.nft_base import Design
from tests.kernel.firewall import DESIGNS, have_bridge_netfilter
from tests.kernel.lines import parse
from tests.kernel.packets import Player
from tests.kernel.world import World, guest_mac, inside, world
from tests.netns import lasting
from tests.sandbox.space import CHECKOUT

ON = "[OPTIONS]\nenable: 1\n"
HALF_OPEN = f"{ON}[RULES]\nIN ACCEPT -p tcp -dport 22\n"
NAT = """\
auto vmbr1
iface vmbr1 inet static
	address 198.51.100.1/24
	bridge-ports none
	post-up iptables -t nat -A POSTROUTING -s '198.51.100.0/24' -o vmbr0 -j MASQUERADE
"""


@dataclass
class Host:
    """The world's host, with a root directory of its own and no daemon."""

    world: World
    root: Path

    def write(self, name: str, text: str) -> None:
        path = self.root / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def fw(self, name: str, text: str) -> None:
        self.write(f"pvenetd/firewall/{name}.fw", text)

    def apply(self, *words: str) -> tuple[int, str]:
        """Return the exit status, and what is said on standard error."""
        command = [sys.executable, "-m", "pvenetd.ctl.main", "--root", str(self.root), "firewall", "apply", *words]
        with inside(self.world.names["host"]):
            done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
        return done.returncode, done.stderr

    def listed(self, *options: str) -> str:
        """Return our tables as nft(8) lists them, no counters."""
        command = ["ip", "netns", "exec", self.world.names["host"], "nft", "-s", *options, "list", "ruleset"]
        return lasting(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def links(self) -> list[tuple[object, ...]]:
        """Return what anybody may have changed of the links; they come up in their own time."""
        command = ["ip", "-j", "-n", self.world.names["host"], "link"]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        told = ("ifname", "master", "address", "mtu", "ifalias", "group")
        return [(*(link.get(name) for name in told), "UP" in link["flags"]) for link in found]

    def meets(self, packets: str) -> None:
        """Fail where a packet does not meet its verdict."""
        lines = parse(packets)
        with Player(self.world) as player:
            assert player.verdicts(lines) == [line.verdict for line in lines]


@pytest.fixture(params=DESIGNS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    design: Design = request.param
    if design == "mark":
        have_bridge_netfilter()
    with world(bridge_nf=design == "mark") as made:
        found = Host(made, tmp_path)
        for vmid, bridge in ((100, "vmbr0"), (101, "vmbr0"), (102, "vmbr1")):
            found.write(
                f"pvenetd/qemu-server/{vmid}.conf", f"net0: virtio={guest_mac(vmid)},bridge={bridge},firewall=1\n"
            )
        found.fw("cluster", f"{ON}policy_in: ACCEPT\n")
        yield found


def test_it_loads_the_rules_and_touches_nothing_else(host: Host) -> None:
    host.write("pvenetd/qemu-server/200.conf", "net0: virtio=02:00:00:00:00:c8,bridge=vmbr9,firewall=1\n")
    host.fw("100", HALF_OPEN)
    host.fw("200", HALF_OPEN)
    links = host.links()
    assert host.apply() == (0, "")
    assert host.links() == links
    assert '"tap200i0" : jump vm-200-in' in host.listed(), "its tap is not there yet"
    host.meets("outside vm/100 tcp 22 ACCEPT\noutside vm/100 tcp 23 DROP\noutside vm/101 tcp 23 ACCEPT\n")
    loaded = host.listed("-a")
    assert host.apply() == (0, "")
    assert host.listed("-a") == loaded, "nothing was replaced"


def test_who_sends_by_way_of_the_host_is_told_of_refusals_and_of_none_when_there_are_none(host: Host) -> None:
    host.write("network/interfaces", "iface vmbr0 inet manual\n\tbridge-ports eth0\n")
    host.fw("100", f"{ON}[RULES]\nIN REJECT -p tcp -dport 22\n")
    assert host.apply() == (0, "")
    host.meets("host vm/100 tcp 22 REJECT\nvm/102 vm/100 tcp6 22 REJECT\nhost vm/100 tcp 23 DROP\n")
    host.fw("100", HALF_OPEN)
    assert host.apply() == (0, "")
    assert "hook egress" not in host.listed()
    host.meets("host vm/100 tcp 22 ACCEPT\nhost vm/100 tcp 23 DROP\n")


def test_a_broken_file_is_told_and_the_rest_is_loaded(host: Host) -> None:
    host.fw("100", HALF_OPEN)
    host.fw("101", f"{HALF_OPEN}IN ACCEPT -p tcp -dport 99999\n")
    host.fw("102", "[OPTIONS]\nenable: yes\n")
    status, told = host.apply()
    assert status == 1
    assert [line.split(": ")[0] for line in told.splitlines()] == [
        "/etc/pvenetd/firewall/101.fw:5",
        "/etc/pvenetd/firewall/102.fw:2",
    ]
    closed = "outside vm/101 tcp 22 DROP\nvm/101 outside tcp 22 DROP\noutside vm/102 tcp 22 DROP\n"
    host.meets(f"outside vm/100 tcp 22 ACCEPT\noutside vm/100 tcp 23 DROP\n{closed}")
    host.fw("100", "[OPTIONS]\nenable: yes\n")
    assert host.apply()[0] == 1
    host.meets("outside vm/100 tcp 22 ACCEPT\noutside vm/100 tcp 23 DROP\n")


def test_a_broken_cluster_file_keeps_what_it_said_and_everybody_is_served_from_it(host: Host) -> None:
    host.fw("100", HALF_OPEN)
    assert host.apply() == (0, "")
    host.fw("cluster", "[OPTIONS]\nenable: yes\n")
    host.fw("101", HALF_OPEN)
    status, told = host.apply()
    assert (status, told.split(" ")[0]) == (1, "/etc/pvenetd/firewall/cluster.fw:2:")
    host.meets("outside vm/100 tcp 23 DROP\noutside vm/101 tcp 22 ACCEPT\noutside vm/101 tcp 23 DROP\n")
    host.fw("cluster", "[OPTIONS]\nenable: 0\n")
    assert host.apply() == (0, "")
    host.meets("outside vm/100 tcp 23 ACCEPT\n")


def test_a_guest_that_is_gone_leaves_no_chains(host: Host) -> None:
    host.fw("100", HALF_OPEN)
    host.apply()
    (host.root / "etc/pvenetd/qemu-server/100.conf").unlink()
    assert host.apply() == (0, "")
    assert "vm-100-in" not in host.listed()


def test_addresses_are_translated_as_the_interfaces_say(host: Host) -> None:
    host.write("network/interfaces", NAT)
    host.fw("102", f"{ON}policy_out: ACCEPT\n")
    assert host.apply() == (0, "")
    host.meets("vm/102 outside tcp 80 ACCEPT seen=192.0.2.1\n")
    host.write("network/interfaces", "auto lo\niface lo inet loopback\n")
    assert host.apply() == (0, "")
    assert "masquerade" not in host.listed()


def test_names_that_kept_rules_use_outlive_their_file(host: Host) -> None:
    names = "[IPSET far]\n192.0.2.254\n[group ssh]\nIN ACCEPT -p tcp -dport 22\n"
    host.fw("cluster", f"{ON}policy_in: ACCEPT\n{names}")
    host.fw("100", f"{ON}[RULES]\nGROUP ssh\nIN ACCEPT -source +far -p udp -dport 53\n")
    assert host.apply() == (0, "")
    verdicts = "outside vm/100 tcp 22 ACCEPT\noutside vm/100 udp 53 ACCEPT\nvm/101 vm/100 udp 53 DROP\n"
    host.meets(verdicts)
    host.fw("cluster", f"{ON}policy_in: ACCEPT\n")
    assert host.apply()[0] == 1
    host.meets(verdicts)
    host.fw("100", HALF_OPEN)
    assert host.apply() == (0, "")
    host.meets("outside vm/100 tcp 22 ACCEPT\noutside vm/100 tcp 53 DROP\n")


def test_what_a_bridge_forwards(host: Host) -> None:
    host.fw("vmbr0", f"{ON}[RULES]\nFORWARD DROP -p tcp -dport 25\n")
    assert host.apply() == (0, "")
    host.meets("vm/101 vm/100 tcp 25 DROP\nvm/101 vm/100 tcp 26 ACCEPT\n")
