"""`Ruleset` → iptables and ipset: Proxmox VE's chains, for hosts whose other tools read those.

What IP's chains never see, or iptables has no word for, stays with nftables (`firewall.layer2`): ARP and all else that
is no IP, what neighbour discovery says, the guard.  NAT stays there too.
"""

from __future__ import annotations

from collections.abc import Iterator

from pvenetd.firewall.iptables_base import BRIDGED, ENTERED, INTO, OUT, ROUTED, base_part, jump
from pvenetd.firewall.iptables_names import chain_name, port_chain, set_name
from pvenetd.firewall.iptables_parts import FAMILIES, Family, IpChain, IpJump, IpSet, Part, Table, sealed
from pvenetd.firewall.iptables_words import Lists, Place, device, lines, networks
from pvenetd.firewall.leases import untaught
from pvenetd.firewall.ruleset import Addresses, Chain, Piece, Port, Ruleset

_LISTED = "PVEFW-SETS"
"""A chain that nothing leads to: its rules name the cluster's sets, so that they are known for ours and stay."""
_HOST_HOOKS = {"input": "PVEFW-INPUT", "output": "PVEFW-OUTPUT", "forward": ROUTED}


def parts(ruleset: Ruleset) -> tuple[Part, ...]:
    """Return what is to be loaded, in that order; nothing for no pieces."""
    return (base_part(), *map(part, ruleset.pieces)) if ruleset.pieces else ()


def part(piece: Piece) -> Part:
    """Return one piece as iptables and ipset have it.

    Raises `ValueError` for a name that cannot stand in their languages.
    """
    piece, lists = untaught(piece), Lists(piece.name)
    chains: list[IpChain] = []
    jumps: list[IpJump] = []
    for family in FAMILIES:
        for table, name, rules in _chains(piece, family, lists):
            chains.append(sealed(piece.name, family, table, name, rules))
        jumps += _jumps(piece, family)
    sets = [
        IpSet(
            6 if one.version == 6 else 4, set_name(one.name, one.version), networks(Addresses(one.version, one.spans))
        )
        for one in piece.sets
    ]
    return Part(piece.name, tuple(chains), tuple(jumps), (*sets, *lists.found.values()))


_Told = tuple[Table, str, tuple[str, ...]]
"""Table, name and rules of a chain."""


def _chains(piece: Piece, family: Family, lists: Lists) -> Iterator[_Told]:
    if piece.sets:
        names = [set_name(one.name, one.version) for one in piece.sets if one.version == family]
        yield "filter", _LISTED, tuple(f"-m set --match-set {name} src" for name in names)
    led = {name for port in piece.ports for name in (port.into, port.out)}
    told: dict[str, _Told] = {}
    for chain in sorted(piece.chains, key=lambda one: one.table):  # a group is the same for guests and for the host
        if chain.name in led:
            for port in piece.ports:
                for name in _named(chain, port):
                    place = Place(family, lists, bridged=True, port=port.name)
                    told[name] = "filter", name, tuple(lines(chain.rules, place))
        elif found := _shared(chain, Place(family, lists, bridged=chain.table == "bridge", meter=chain.name)):
            told.setdefault(found[1], found)
    yield from told.values()


def _named(chain: Chain, port: Port) -> Iterator[str]:
    """Yield what *chain* is called where it is that of *port*, one way or another."""
    for name, way in ((port.into, "in"), (port.out, "out")):
        if chain.name == name:
            yield port_chain(port.name, way)


def _shared(chain: Chain, place: Place) -> _Told | None:
    """Return a chain that is no port's; nothing where bridges' own hooks have one beside IP's, which see it all.

    Conntrack helpers are nftables' (`firewall.layer2`): here, who gives one decides about the zone too.
    """
    if _helps(chain):
        return None
    name = chain_name(chain)
    rules = tuple(lines(chain.rules, place))
    hook = chain.hook
    if not hook:
        return "filter", name, rules
    if chain.table == "bridge":
        return None
    table = table_of(chain)
    if table != "filter" and hook.hook == "prerouting":
        rules = tuple(f"{ENTERED} {rule}" for rule in rules)
    return table, name, rules


def _helps(chain: Chain) -> bool:
    return any(rule.verdict == "helper" for rule in chain.rules)


def table_of(chain: Chain) -> Table:
    """Return the table of a chain with a hook: that with its priority."""
    tables: dict[str, Table] = {"-300": "raw", "-150": "mangle"}
    return tables.get(chain.hook.priority, "filter") if chain.hook else "filter"


def _jumps(piece: Piece, family: Family) -> Iterator[IpJump]:
    """Yield what leads to the chains of a piece."""
    for port in piece.ports:
        note = f"{piece.name} {device(port.name)}"
        for chain, way, name in ((INTO, "out", port.into), (OUT, "in", port.out)):
            target = port_chain(port.name, "in" if way == "out" else "out") if name else "ACCEPT"
            match = f"-m physdev --physdev-{way} {port.name} --physdev-is-bridged"
            yield jump(family, "filter", chain, target, note, match)
    for one in piece.chains:
        if piece.bridge:
            yield jump(family, "filter", BRIDGED, chain_name(one), piece.name, f"-i {device(piece.bridge)}")
        elif one.hook and one.table == "inet" and not _helps(one):
            table = table_of(one)
            hook = _HOST_HOOKS[one.hook.hook] if table == "filter" else one.hook.hook.upper()
            yield jump(family, table, hook, chain_name(one), piece.name, first=table != "filter")
