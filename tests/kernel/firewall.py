"""Firewall files loaded into a `World` by the driver, as the daemon would."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pvenetd.compile import compile_interfaces
from pvenetd.drivers.nft import Nftables
from pvenetd.errors import ConfigError
from pvenetd.firewall import nft
from pvenetd.firewall.compile import Guest, Nic, compile_guest, compile_ruleset
from pvenetd.firewall.guard import guard
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.ruleset import Piece, Ruleset
from pvenetd.firewall.sent import refuses, sent
from pvenetd.firewall.syntax import Config, parse_bridge, parse_cluster, parse_guest, parse_host
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.nat.model import Nat
from pvenetd.nat.rules import compile_nat, piece
from pvenetd.plan import plan
from pvenetd.state import Chains, State, state
from tests.kernel.world import GUESTS, STATIONS, World, inside

DESIGNS = [pytest.param("mark", marks=pytest.mark.netns), pytest.param("ct", marks=pytest.mark.lab)]
"""Both ways to know a connection's state; this machine's kernel has no bridge conntrack."""

UNFILTERED = 109


def sections(text: str) -> dict[str, str]:
    """Return the parts of a case, by the name in ``-- name --``; the first, nameless, is its idea."""
    parts = re.split(r"^-- (\S+) --\n", text, flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


@dataclass(frozen=True)
class Guarded:
    """What the guard knows."""

    bridges: tuple[str, ...] = ("vmbr0", "vmbr1")
    known: tuple[str, ...] = ()
    announced: tuple[int, ...] = tuple(GUESTS)
    tells_bridge: bool = False
    behind: bool = False
    """Whether filtered ports have a bridge of their own."""


@dataclass(frozen=True)
class Rules:
    """What the files of a case come to."""

    ruleset: Ruleset
    """What is loaded as the firewall's."""
    nat: Piece | None
    others: tuple[Chains, ...]
    """What is loaded beside it: NAT, the guard."""
    stopped: tuple[str, ...] = ()
    """Guests' ports that nobody has announced: the guard stops them."""

    @property
    def whole(self) -> Ruleset:
        """Return all rules, NAT's among them."""
        return Ruleset((*self.ruleset.pieces, *([self.nat] if self.nat else [])))


def compiled(files: dict[str, str], guarded: Guarded | None = None) -> Rules:
    """Return what *files* say (``cluster.fw``, ``100.fw``, ``vmbr0.fw``, …, ``nat``: lines of vmbr1's stanza).

    Of a guest whose file is broken it is what ``good/VMID.fw`` says, its last good one, or else nothing.
    With *guarded*, ports that it does not name as announced are stopped; else the guests are those with a file.
    """
    announced = guarded.announced if guarded else [vmid for vmid in GUESTS if f"{vmid}.fw" in files]
    cluster = parse_cluster(files.get("cluster.fw", ""))
    guests = [guest for vmid in announced if (guest := _guest(vmid, files, cluster, strict=guarded is None))]
    bridges = [name.removesuffix(".fw") for name in files if name.startswith("vmbr")]
    ruleset = compile_ruleset(
        cluster,
        parse_host(files.get("host.fw", "")),
        guests,
        bridges={name: parse_bridge(files[f"{name}.fw"], f"{name}.fw") for name in bridges},
        local_network="192.0.2.0/24",
    )
    nats = nat(files.get("nat", ""))
    others = list(compile_nat(nats))
    stopped: tuple[str, ...] = ()
    if guarded and cluster.flag("enable", default=False):
        ways = {"tells_bridge": guarded.tells_bridge, "behind": guarded.behind}
        chains = guard(guarded.bridges, guarded.known, **ways)
        others += [chains] if chains else []
        named = {port.name for one in ruleset.pieces for port in one.ports}
        stopped = tuple(one.port for one in STATIONS.values() if one.port.startswith("tap") and one.port not in named)
    return Rules(ruleset, piece(nats), tuple(others), stopped)


def _guest(vmid: int, files: dict[str, str], cluster: Config, *, strict: bool) -> Guest | None:
    """Return a guest, with its last good file where its own is broken; or raise then, where that is not wanted."""
    for name in (f"{vmid}.fw", f"good/{vmid}.fw"):
        guest = Guest(vmid, parse_guest(files.get(name, ""), f"{vmid}.fw"), _nics(vmid))
        try:
            compile_guest(guest, cluster)
        except ConfigError:
            if strict or f"good/{vmid}.fw" not in files:
                break
        else:
            return guest
    return guest if strict else None


def _nics(vmid: int) -> dict[int, Nic]:
    ports = (one for one in STATIONS.values() if one.zone.split("/")[:2] == ["vm", str(vmid)])
    return {int(one.port[-1]): Nic(one.port, firewall=vmid != UNFILTERED, mac=one.mac) for one in ports}


def desired(files: dict[str, str], design: Design, guarded: Guarded | None = None) -> State:
    """Return the chains for *files*."""
    return chains_of(compiled(files, guarded), design)


def chains_of(rules: Rules, design: Design) -> State:
    """Return *rules* as nftables' chains."""
    found = [one for one in nft.pieces(rules.ruleset, design, *rules.others) if isinstance(one, Chains)]
    answering = sent(Guarded().bridges, design) if any(refuses(one.text) for one in found) else None
    return state([*found, *([answering] if answering else [])])


STANZAS = """\
auto vmbr0 vmbr1
iface vmbr0
	bridge-ports none
	address 192.0.2.1/24
	address 2001:db8::1/64
iface vmbr1
	bridge-ports none
	address 198.51.100.1/24
	address 2001:db8:1::1/64
"""
"""The two bridges of a `World`, as the interfaces file has them."""


def nat(lines: str) -> list[Nat]:
    """Return what *lines* of vmbr1's stanza ask of NAT: options, or commands that are run when it is up."""
    text = "".join(
        f"\t{'post-up ' if 'iptables' in line or 'ip6t' in line else ''}{line}\n" for line in lines.splitlines()
    )
    compiled = compile_interfaces(single(parse(STANZAS + text, "interfaces")), ["eth0"])
    assert not compiled.errors, compiled.errors
    return [replace(one, origin="interfaces:1") for one in compiled.nat]


def load(world: World, wanted: State) -> Nftables:
    """Bring the host's tables to *wanted*, and check that nothing is left to do."""
    with inside(world.names["host"]):
        driver = Nftables()
        for op in plan(wanted, driver.observe()):
            driver.apply(op)
        assert plan(wanted, driver.observe()) == ()
    return driver


def have_bridge_netfilter() -> None:
    """Load the module on the lab's kernel; elsewhere it is built in."""
    if not Path("/proc/sys/net/bridge").is_dir():
        subprocess.run(["modprobe", "br_netfilter"], check=True)
