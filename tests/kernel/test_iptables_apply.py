"""`pvenetctl firewall apply` with the iptables backend and no daemon: filtered ports that are there are put apart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.firewall import have_bridge_netfilter
from tests.kernel.fwbr import settle
from tests.kernel.test_firewall_apply import HALF_OPEN, ON, Host
from tests.kernel.world import guest_mac, inside, world
from tests.netns import fresh
from tests.sandbox.space import CHECKOUT

pytestmark = pytest.mark.netns


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    have_bridge_netfilter()
    with world(bridge_nf=True) as made:
        found = Host(made, tmp_path)
        for vmid, bridge in ((100, "vmbr0"), (101, "vmbr0"), (102, "vmbr1")):
            found.write(
                f"pvenetd/qemu-server/{vmid}.conf", f"net0: virtio={guest_mac(vmid)},bridge={bridge},firewall=1\n"
            )
        found.fw("cluster", f"{ON}policy_in: ACCEPT\n")
        found.write("pvenetd/pvenetd.toml", '[firewall]\nbackend = "iptables"\n')
        yield found


def masters(host: Host) -> dict[str, str]:
    command = ["ip", "-j", "-n", host.world.names["host"], "link"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {one["ifname"]: one.get("master", "") for one in listed}


def test_filtered_ports_are_put_apart_and_meet_their_rules(host: Host) -> None:
    host.fw("100", HALF_OPEN)
    assert host.apply() == (0, "")
    settle(host.world)
    found = masters(host)
    assert (found["tap100i0"], found["fwln100i0"], found["fwpr100p0"]) == ("fwbr100i0", "fwbr100i0", "vmbr0")
    assert found["tap101i0"] == "vmbr0", "nobody filters it"
    host.meets("outside vm/100 tcp 22 ACCEPT\noutside vm/100 tcp 23 DROP\noutside vm/101 tcp 23 ACCEPT\n")
    host.meets("vm/100 outside tcp 80 ACCEPT\nvm/101 vm/100 tcp 23 DROP\nhost vm/100 tcp 23 DROP\n")
    before = masters(host)
    assert host.apply() == (0, "")
    assert masters(host) == before


def test_a_port_in_another_bridge_than_its_own_is_closed(host: Host) -> None:
    host.fw("100", HALF_OPEN)
    assert host.apply() == (0, "")
    host.world.ip("host", "link set tap100i0 master vmbr0")
    settle(host.world)
    host.meets("outside vm/100 tcp 22 DROP\nvm/100 outside tcp 80 DROP\n")
    host.meets("vm/100 host tcp 22 DROP\nhost vm/100 tcp 22 DROP\n")
    assert host.apply() == (0, "")
    settle(host.world)
    for zone in ("vm/100", "outside", "host"):
        host.world.ip(zone, "neigh flush all")  # packets still wait for who did not answer, and are lost with it
    host.meets("outside vm/100 tcp 22 ACCEPT\n")


def test_a_broken_file_closes_its_own_guest(host: Host) -> None:
    host.fw("100", HALF_OPEN)
    host.fw("102", "[OPTIONS]\nenable: yes\n")
    status, told = host.apply()
    assert (status, told.split(": ")[0]) == (1, "/etc/pvenetd/firewall/102.fw:2")
    settle(host.world)
    host.meets("outside vm/100 tcp 22 ACCEPT\noutside vm/102 tcp 22 DROP\nvm/102 outside tcp 22 DROP\n")


def test_a_broken_cluster_file_keeps_what_it_said(host: Host) -> None:
    host.fw("100", HALF_OPEN)
    host.fw("cluster", f"{ON}policy_in: ACCEPT\npolicy_out: DROP\n[RULES]\nOUT ACCEPT -p tcp -dport 80\n")
    assert host.apply() == (0, "")
    settle(host.world)
    kept = (
        "host outside tcp 80 ACCEPT\nhost outside tcp 81 DROP\noutside vm/100 tcp 23 DROP\noutside host tcp 80 ACCEPT\n"
    )
    host.meets(kept)
    host.fw("cluster", f"{ON}policy_in: ACCEPT\n[RULES]\nOUT ACCEPT -p tcp -dport 80\nOUT ACEPT\n")
    status, told = host.apply()
    assert (status, told.split(": ")[0]) == (1, "/etc/pvenetd/firewall/cluster.fw:6")
    host.meets(kept)


def ctl(host: Host, *words: str, without: str = "") -> subprocess.CompletedProcess[str]:
    """Return what pvenetctl says where no daemon runs, on a host *without* a program."""
    command = [sys.executable, "-m", "pvenetd.ctl.main", "--root", str(host.root), *words]
    if without:
        hidden = f'mount --bind /dev/null "$(command -v {without})" && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", hidden, "sh", *command]
    with inside(host.world.names["host"]):
        return subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)


@pytest.mark.parametrize("program", ["ipset", "iptables-restore"])  # of Debian, all of iptables is one file
def test_without_its_programs_it_says_so_and_loads_nothing(host: Host, program: str) -> None:
    host.fw("100", HALF_OPEN)
    before = host.listed()
    done = ctl(host, "firewall", "apply", without=program)
    assert done.returncode == 1
    assert re.search(rf"the iptables backend needs .*{program}.* \(apt install iptables ipset\)", done.stderr)
    assert host.listed() == before


def test_compiled_it_is_what_the_tools_take(host: Host) -> None:
    host.write("network/interfaces", "auto vmbr0\niface vmbr0 inet manual\n\tbridge-ports none\n")
    host.fw("cluster", f"{ON}[IPSET web]\n192.0.2.0/25\n!192.0.2.3\n2001:db8::/64\n")
    host.fw("100", f"{ON}[RULES]\nIN ACCEPT -source +web -p tcp -dport 22\n")
    found = json.loads(ctl(host, "--json", "firewall", "compile", "--backend", "iptables").stdout)
    assert list(found) == ["backend", "text", "ipset", "iptables", "ip6tables", "nft"]
    assert found["text"].startswith("# ipset restore -exist\n\ncreate PVEFW-")
    alone = json.loads(ctl(host, "--json", "firewall", "compile", "--vmid", "101").stdout)
    assert (alone["backend"], "tap100i0" in alone["iptables"]) == ("iptables", False)
    nftables = json.loads(ctl(host, "--json", "firewall", "compile", "--backend", "nftables").stdout)
    assert (nftables["backend"], "vm-100-in" in nftables["text"]) == ("nftables", True)
    with fresh():
        for part, *command in (
            ("ipset", "ipset", "restore", "-exist"),
            ("iptables", "iptables-restore", "--noflush"),
            ("ip6tables", "ip6tables-restore", "--noflush"),
            ("nft", "nft", "-f", "-"),
        ):
            subprocess.run(command, input=found[part], text=True, check=True)
        for program in ("iptables-save", "ip6tables-save"):
            saved = subprocess.run([program], capture_output=True, text=True, check=True).stdout
            assert "-A PVEFW-FWBR-IN -m physdev" in saved
            assert "100.fw:4" in saved
