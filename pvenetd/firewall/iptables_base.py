"""What every iptables ruleset stands on: the kernel's chains lead to Proxmox VE's, and these to the pieces'.

A filtered port sits in a bridge of its own, ``fwbr100i0``, whose other port is a cable to the real bridge: so every
frame from and to it crosses that bridge, forwarded, and both its ports are known to ``physdev``, wherever it came from.
What crosses one is tracked in a zone of its own (`nft_base`: iptables would need a rule for each).

Where a refusal is answered with ICMP, that comes to the guest through its own chains, which know nothing of the
connection it is about, because that never was one.  The host does, as long as the answer is with it, and marks it.

Sources: net/bridge/br_netfilter_hooks.c; net/netfilter/xt_physdev.c; net/ipv4/icmp.c, icmp_glue_bits().
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from pvenetd.firewall.builtin import shared
from pvenetd.firewall.iptables_names import REJECT, chain_name
from pvenetd.firewall.iptables_parts import FAMILIES, OURS, Family, IpChain, IpJump, Part, Table, sealed
from pvenetd.firewall.iptables_words import Lists, Place, lines
from pvenetd.firewall.nft_base import ESTABLISHED
from pvenetd.firewall.ruleset import Rule

BASE = "base"
BRIDGES, PORTS = "fwbr", "fwln"
"""What the bridges of filtered ports are called, and their ports to the real one."""
_CABLES = "fw"
"""What both ends of the cables between the bridges begin with: who comes by one has been met before."""
ENTERED = f"-m physdev ! --physdev-in {_CABLES}+"
"""Matches a packet where it first comes to the host."""

INTO, OUT, BRIDGED, ROUTED = "PVEFW-FWBR-IN", "PVEFW-FWBR-OUT", "PVEFW-BRIDGES", "PVEFW-ROUTED"
SHARED = {"PVEFW-INPUT": "INPUT", "PVEFW-OUTPUT": "OUTPUT", INTO: "", OUT: "", BRIDGED: "", ROUTED: ""}
"""Chains that hold nothing but jumps, of several pieces: no piece's replacement empties them.  Of two, from where."""

_REFUSALS = {4: "-p icmp -m icmp --icmp-type 3", 6: "-p ipv6-icmp -m icmp6 --icmpv6-type 1"}
_MARK = f"{ESTABLISHED:#x}/{ESTABLISHED:#x}"
_REJECT = {
    4: ("-p icmp -j DROP", "icmp-port-unreachable", "icmp-admin-prohibited"),
    6: ("-p ipv6-icmp -j DROP", "icmp6-port-unreachable", "icmp6-adm-prohibited"),
}
_BRIDGED = "-m physdev --physdev-is-bridged"
_FORWARD = (
    f"{_BRIDGED} --physdev-in {PORTS}+ -j {INTO}",
    f'{_BRIDGED} --physdev-in {PORTS}+ -m comment --comment "nobody announced it" -j DROP',
    f"{_BRIDGED} --physdev-out {PORTS}+ -j {OUT}",
    f'{_BRIDGED} --physdev-out {PORTS}+ -m comment --comment "nobody announced it" -j DROP',
    f"{_BRIDGED} -j {BRIDGED}",
    f"-m physdev ! --physdev-is-bridged -j {ROUTED}",
)


@cache
def base_part() -> Part:
    """Return the chains that are there whatever the files say."""
    lists = Lists(BASE)
    chains = [one for family in FAMILIES for one in _chains(family, lists)]
    jumps = [one for family in FAMILIES for one in _jumps(family)]
    return Part(BASE, tuple(chains), tuple(jumps), tuple(lists.found.values()))


def _chains(family: Family, lists: Lists) -> Iterator[IpChain]:
    known = f"{_REFUSALS[family]} -m conntrack --ctstate RELATED -j MARK --set-xmark {_MARK}"
    yield sealed(BASE, family, "mangle", "PVEFW-POSTROUTING", [known])
    yield sealed(BASE, family, "filter", "PVEFW-FORWARD", _FORWARD)
    yield sealed(BASE, family, "filter", REJECT, _reject(family))
    refusal = f'{_REFUSALS[family]} -m mark --mark {_MARK} -m comment --comment "refusal" -j ACCEPT'
    yield sealed(BASE, family, "filter", chain_name("refusal"), [refusal])
    place = Place(family, lists, bridged=True)
    told: dict[str, tuple[str, ...]] = {}
    for chain in shared(Rule("jump", state=("invalid",), target="refusal", origin="refusal")):
        told.setdefault(chain_name(chain), tuple(lines(chain.rules, place)))
    yield from (sealed(BASE, family, "filter", name, rules) for name, rules in told.items())


def _reject(family: Family) -> Iterator[str]:
    """Yield what refuses: nobody is answered but the one who asked, and no ICMP, lest two hosts answer each other."""
    icmp, port, other = _REJECT[family]
    yield "-m pkttype --pkt-type broadcast -j DROP"
    yield "-m pkttype --pkt-type multicast -j DROP"
    yield icmp
    yield "-p tcp -j REJECT --reject-with tcp-reset"
    yield f"-p udp -j REJECT --reject-with {port}"
    yield f"-j REJECT --reject-with {other}"


def _jumps(family: Family) -> Iterator[IpJump]:
    """Yield what leads here.

    In the host's own chains others' rules come first, as with Proxmox VE; what is forwarded is asked here first, lest
    somebody's rule for containers decides about guests.  Nothing is for a filtered port's bridge itself.
    """
    yield jump(family, "mangle", "POSTROUTING", "PVEFW-POSTROUTING", BASE)
    yield jump(family, "filter", "INPUT", "DROP", BASE, f"-i {BRIDGES}+", first=True)
    for chain, hook in SHARED.items():
        if hook:
            yield jump(family, "filter", hook, chain, BASE)
    yield jump(family, "filter", "FORWARD", "PVEFW-FORWARD", BASE, first=True)


def jump(
    family: Family, table: Table, chain: str, target: str, note: str, match: str = "", *, first: bool = False
) -> IpJump:
    """Return a jump of the piece that *note* begins with."""
    told = f'-m comment --comment "{OURS} {note}" -j {target}'
    words = " ".join(word for word in ("-I" if first else "-A", chain, match, told) if word)
    return IpJump(family, table, chain, words)
