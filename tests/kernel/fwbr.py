"""The iptables backend in a `World`: guests' ports behind bridges of their own, as Proxmox VE has them."""

from __future__ import annotations

import json
import subprocess
from functools import partial

from pvenetd.firewall.iptables import parts
from pvenetd.firewall.iptables_commit import Commit, Seen, commit, read
from pvenetd.firewall.layer2 import layer2
from pvenetd.firewall.ruleset import Ruleset
from pvenetd.state import Chains, state
from tests.kernel.firewall import Rules, load
from tests.kernel.world import STATIONS, World, inside, is_settled
from tests.patience import until


def iptables(host: World, rules: Rules) -> None:
    """Load *rules*; ports that are filtered get a bridge of their own before."""
    filtered = {port.name for piece in rules.ruleset.pieces for port in piece.ports if port.into}
    there = {link["ifname"] for link in json.loads(_run(host, "ip", "-j", "link", "show"))}
    for one in STATIONS.values():
        if one.port in filtered and f"fwbr{one.port[3:]}" not in there:
            behind(host, one.port)
    settle(host)
    bring(host, rules.ruleset)
    load(host, state(one for one in layer2(rules.ruleset, *rules.others) if isinstance(one, Chains)))


def behind(host: World, port: str) -> None:
    """Put *port* behind a bridge of its own; the cable takes over its VLANs."""
    bridge, inner, outer = f"fwbr{port[3:]}", f"fwln{port[3:]}", f"fwpr{port[3:].replace('i', 'p')}"
    (link,) = json.loads(_run(host, "ip", "-j", "link", "show", "dev", port))
    vlans = json.loads(_run(host, "bridge", "-j", "vlan", "show", "dev", port) or "[]")
    host.ip(
        "host",
        f"link add {bridge} type bridge forward_delay 0 mcast_snooping 0",
        f"link add {inner} type veth peer name {outer}",
        f"link set {outer} master {link['master']}",
    )
    for name in (bridge, inner, outer):
        host.sysctl("host", **{f"ipv6__conf__{name}__disable_ipv6": "1"})
    host.sysctl("host", **{f"ipv4__conf__{bridge}__arp_ignore": "8", f"ipv4__conf__{bridge}__rp_filter": "2"})
    for found in (one for listed in vlans for one in listed["vlans"]):
        last = f"-{found['vlanEnd']}" if "vlanEnd" in found else ""
        flags = " ".join({"PVID": "pvid", "Egress Untagged": "untagged"}[flag] for flag in found.get("flags", ()))
        _run(host, "bridge", *f"vlan add dev {outer} vid {found['vlan']}{last} {flags}".split())
    host.ip(
        "host",
        f"link set {port} nomaster",
        f"link set {port} master {bridge}",
        f"link set {inner} master {bridge}",
        *(f"link set {name} up" for name in (bridge, inner, outer)),
    )


def settle(host: World) -> None:
    """Wait until every link sends and every port forwards."""
    for program in ("ip", "bridge"):
        command = [program, "-n", host.names["host"], "-j", "link", "show"]
        until(partial(is_settled, command), " ".join(command))


def seen(host: World, variant: str = "nft") -> Seen:
    """Return what the host has, of either variant of iptables."""
    saved = [_run(host, f"{program}-{variant}-save", "-c") for program in ("iptables", "ip6tables")]
    return read(*saved, _run(host, "ipset", "save"))


def bring(host: World, ruleset: Ruleset, variant: str = "nft") -> Commit:
    """Bring the host to *ruleset*, check that nothing is left to do, and return what was run."""
    wanted, before = parts(ruleset), seen(host, variant)
    made = commit(before, wanted, before.parts.keys() - {one.name for one in wanted})
    run(host, made, variant)
    after = seen(host, variant)
    assert {name: one.digest for name, one in after.parts.items()} == {one.name: one.digest for one in wanted}
    assert commit(after, wanted) == Commit("", "", "", "")
    return made


def run(host: World, made: Commit, variant: str = "nft") -> None:
    """Run a commit."""
    commands = (
        (made.sets, "ipset", "restore"),
        (made.v4, f"iptables-{variant}-restore", "--noflush", "-w"),
        (made.v6, f"ip6tables-{variant}-restore", "--noflush", "-w"),
    )
    for text, *command in commands:
        if text:
            _run(host, *command, text=text)
    for line in made.left.splitlines():
        # The kernel lets go of what rules asked a moment after they are gone.
        until(partial(_is_taken, host, line), line)


def _is_taken(host: World, command: str) -> bool:
    with inside(host.names["host"]):
        return subprocess.run(["ipset", *command.split()], capture_output=True).returncode == 0


def _run(host: World, *command: str, text: str = "") -> str:
    with inside(host.names["host"]):
        done = subprocess.run(command, input=text, text=True, capture_output=True)
    assert not done.returncode, f"{command}: {done.stderr}\n{text}"
    return done.stdout
