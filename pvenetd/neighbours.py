"""Who else keeps a network on this host (Docker, Podman, libvirt, …), and what of theirs stops our guests' packets.

What is theirs is never changed: it is told, with what the admin may do.  A packet passes only if every base chain
of its hook lets it, so a FORWARD chain whose policy is DROP stops guests that our own rules let pass: those that
this host routes, and, where br_netfilter shows bridged packets to the inet hooks, those on bridges, too.

Sources: docs.docker.com "Packet filtering and firewalls"; netavark(1); netfilter.org "Netfilter hooks".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_BRIDGES = (
    ("Docker", r"docker0|docker_gwbridge|br-[0-9a-f]{12}"),
    ("Podman", r"podman[0-9]+|cni-podman[0-9]+"),
    ("libvirt", r"virbr[0-9]+"),
    ("LXC", r"lxcbr[0-9]+"),
    ("LXD", r"lxdbr[0-9]+"),
    ("Incus", r"incusbr[0-9]+"),
    ("Kubernetes", r"cni[0-9]+|cbr0|kube-bridge"),
)
"""Who makes bridges, and how they are named."""
_CHAINS = (
    ("Docker", r"docker-bridges/.*|.*/DOCKER(-.*)?"),
    ("Podman", r"netavark/.*|.*/NETAVARK[-_].*|.*/CNI-.*"),
    ("libvirt", r"libvirt_network/.*|.*/LIBVIRT_.*"),
    ("LXC", r"lxc/.*"),
    ("LXD", r"lxd/.*"),
    ("Incus", r"incus/.*"),
    ("Kubernetes", r"kube-proxy/.*|.*/KUBE-.*"),
    ("firewalld", r"firewalld/.*"),
    ("ufw", r".*/ufw6?-.*"),
)
"""Who loads chains, and how TABLE/CHAIN are named."""
_ROUTED = frozenset({"ip", "ip6", "inet"})
"""Families whose forward hook sees what is routed, and what br_netfilter shows it."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of somebody else's."""

    family: str
    table: str
    name: str
    hook: str = ""
    """Of a base chain: ``forward``."""
    policy: str = ""
    legacy: bool = False
    """Of iptables-legacy, which nft does not show."""
    passes: frozenset[str] = frozenset()
    """The links that a rule of its own, or of a chain it calls, lets pass."""

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}{' (iptables-legacy)' if self.legacy else ''}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel has of others'."""

    chains: tuple[Chain, ...] = ()
    calls_iptables: bool = False
    """Whether the inet hooks see bridged packets (bridge-nf-call-iptables)."""
    forwards: bool = False
    """Whether this host routes (ip_forward)."""
    legacy: bool = False
    """Whether iptables-legacy has rules, or a policy, of somebody's."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """The bridges that guests of ours are on."""

    bridges: frozenset[str] = frozenset()
    routed: frozenset[str] = frozenset()
    """Those where this host has an address: it may be their router."""
    names: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Every bridge that is not ours, with its ports."""

    filtered: bool = False
    """Whether the firewall is on."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What is told about one neighbour."""

    who: str
    text: str
    hint: str = ""
    severity: str = "note"


def remarks(seen: Seen, here: Guarded, design: str) -> tuple[Remark, ...]:
    """Return who else is there, then what of theirs is in our guests' way; *design* is the firewall's."""
    return (
        *_present(seen.chains, here.names),
        *_stopped(seen, here),
        *_tracked_twice(seen, here, design),
        *_untracked(seen, here, design),
        *_mixed(seen),
    )


def _present(chains: Iterable[Chain], bridges: Mapping[str, Collection[str]]) -> Iterator[Remark]:
    found: dict[str, list[str]] = {}
    for name, ports in sorted(bridges.items()):
        for who, pattern in _BRIDGES:
            if re.fullmatch(pattern, name):
                count = len(ports)
                found.setdefault(who, []).append(f"bridge {name} ({count} port{'' if count == 1 else 's'})")
    for chain in chains:
        if who := owner(chain):
            table = f"table {chain.family} {chain.table}"
            if table not in found.setdefault(who, []):
                found[who].append(table)
    for who, things in found.items():
        yield Remark(who, f"{', '.join(things)}: left alone")


def owner(chain: Chain) -> str:
    """Return who has loaded *chain*, as far as its name tells, else nothing."""
    name = f"{chain.table}/{chain.name}"
    return next((who for who, pattern in _CHAINS if re.fullmatch(pattern, name)), "")


def _stopped(seen: Seen, here: Guarded) -> Iterator[Remark]:
    affected = here.bridges if seen.calls_iptables else here.routed if seen.forwards else frozenset()
    for chain in seen.chains:
        if chain.hook != "forward" or chain.policy != "drop" or chain.family not in _ROUTED:
            continue
        if not (stopped := sorted(affected - chain.passes)):
            continue
        who = next((owner(one) for one in seen.chains if _same_table(one, chain) and owner(one)), "another firewall")
        how = (
            "bridged packets pass it too (bridge-nf-call-iptables is 1)" if seen.calls_iptables else "this host routes"
        )
        packets = {"ip": "IPv4 packets", "ip6": "IPv6 packets"}.get(chain.family, "packets")
        text = f"the policy of {chain} is DROP, and {how}: it drops {packets} of guests on {', '.join(stopped)}"
        yield Remark(who, text, _way_out(chain, who, stopped[0]), "warning")


def _same_table(one: Chain, other: Chain) -> bool:
    return (one.family, one.table, one.legacy) == (other.family, other.table, other.legacy)


def _way_out(chain: Chain, who: str, bridge: str) -> str:
    """Return what the admin may do: rules of his own, where their owner leaves them alone."""
    name = "DOCKER-USER" if who == "Docker" and chain.table == "filter" else chain.name
    if chain.table == "filter" and chain.family != "inet":
        program = ("ip6tables" if chain.family == "ip6" else "iptables") + ("-legacy" if chain.legacy else "")
        return " and ".join(f"{program} -I {name} -{way} {bridge} -j ACCEPT" for way in "io")
    rules = (f"nft insert rule {chain.family} {chain.table} {name} {way}ifname {bridge} accept" for way in "io")
    return " and ".join(rules)


def _tracked_twice(seen: Seen, here: Guarded, design: str) -> Iterator[Remark]:
    if design == "ct" and seen.calls_iptables and here.bridges:
        text = (
            "bridge-nf-call-iptables was set to 1 after pvenetd had started: connections on bridges are tracked twice"
        )
        yield Remark("br_netfilter", text, "systemctl restart pvenetd", "warning")


def _untracked(seen: Seen, here: Guarded, design: str) -> Iterator[Remark]:
    if design != "ct" and here.filtered and here.bridges and not seen.calls_iptables:
        text = (
            "bridge-nf-call-iptables is 0, and this kernel has no bridge conntrack: answers to what guests have asked "
            f"for are not known as such on {', '.join(sorted(here.bridges))}, and dropped where no rule lets them in"
        )
        yield Remark("br_netfilter", text, "sysctl -w net.bridge.bridge-nf-call-iptables=1", "warning")


def _mixed(seen: Seen) -> Iterator[Remark]:
    by_nft = {chain.family for chain in seen.chains if chain.table == "filter" and chain.hook and not chain.legacy}
    if seen.legacy and by_nft & {"ip", "ip6"}:
        text = (
            "iptables-legacy and iptables-nft both have rules: each shows its own alone, and packets have to pass both"
        )
        yield Remark("iptables", text, "update-alternatives --config iptables", "warning")
