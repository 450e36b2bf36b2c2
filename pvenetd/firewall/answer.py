"""Who is refused by a guest is told so, before it is known by which port the frame would leave.

Where bridges track connections, the kernel answers only where a frame comes in (nft_reject_bridge.c); what the host
sends or routes to a guest it answers in no hook of a bridge at all.  So for each chain into a guest that refuses
anything there is one that only answers: it is led to by the guest's MAC address, asks the same in the same order,
drops nothing, and what it does not refuse goes on to the chain that decides.  What it refuses it counts and logs, for
nobody else will see it (`firewall.tally` adds up both).  In the table ``bridge`` it is asked of what comes in by a
port, in ``netdev`` of what the host sends (`firewall.sent`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import zip_longest

from pvenetd.firewall.builtin import ESTABLISHED
from pvenetd.firewall.ruleset import ABOUT_LEASES, Chain, Piece, Rule, Table

ANSWER = "answer-"
"""What the names of such chains begin with."""

_EMPTY = (Rule("return"),)
"""What a chain of this table alone says that asks nothing: rules are counted, so that a loss is seen."""

Lead = tuple[str, str]
"""A MAC address, and the chain that answers for it."""


def twins(chains: Iterable[Chain], tables: Iterable[Table]) -> Iterator[Chain]:
    """Yield the chains of *tables* that answer for those into guests that several of them jump to."""
    into = [chain for chain in chains if chain.table == "bridge" and chain.name.endswith("-in") and not chain.hook]
    for table in tables:
        for chain in into:
            yield _in_table(_twin(chain, chain.name, "", frozenset()), table)


def answers(
    piece: Piece, refusing: frozenset[str], tables: Iterable[Table]
) -> tuple[tuple[Chain, ...], tuple[Lead, ...]]:
    """Return the chains of *tables* that answer for a guest, and its addresses.

    *refusing* are shared chains that refuse.
    """
    found: dict[str, Chain] = {}
    leads: dict[str, str] = {}
    for port in piece.ports:
        own = reached(piece, port.into)
        rules = [rule for chain in own for rule in chain.rules]
        if not port.mac or not any(_refuses(rule, refusing) for rule in rules):
            continue
        suffix = f"-{port.name}" if any(rule.oif for rule in rules) else ""
        names = frozenset(chain.name for chain in own)
        for chain in own:
            found.setdefault(f"{chain.name}{suffix}", _twin(chain, f"{chain.name}{suffix}", port.name, names))
        leads[port.mac.lower()] = f"{ANSWER}{port.into}{suffix}"
    return tuple(_in_table(one, table) for table in tables for one in found.values()), tuple(leads.items())


def reached(piece: Piece, name: str) -> list[Chain]:
    """Return the chains of *piece* that are reached from the one called *name*, itself first."""
    there = {chain.name: chain for chain in piece.chains if chain.table == "bridge" and not chain.hook}
    names = [name] if name in there else []
    for one in names:
        names += [rule.target for rule in there[one].rules if rule.target in there and rule.target not in names]
    return [there[one] for one in dict.fromkeys(names)]


def refusing(chains: Iterable[Chain]) -> frozenset[str]:
    """Return the names of those that refuse anything."""
    return frozenset(chain.name for chain in chains if any(rule.verdict == "reject" for rule in chain.rules))


def _refuses(rule: Rule, refusing: frozenset[str]) -> bool:
    return rule.verdict == "reject" or rule.target.startswith("group-") or rule.target in refusing


def _twin(chain: Chain, name: str, port: str, own: frozenset[str]) -> Chain:
    suffix = name.removeprefix(chain.name)
    rules = [
        _asked(rule, suffix, own)
        for rule, decides in zip_longest(chain.rules, chain.rules[1:])
        if _matters(decides if rule.verdict == "log" and decides and _is_told(decides) else rule, port)
    ]
    while rules and rules[-1].verdict not in ("reject", "jump"):
        rules.pop()
    return Chain("bridge", f"{ANSWER}{name}", tuple(rules))


def _in_table(twin: Chain, table: Table) -> Chain:
    """Return *twin* as *table* can ask: `netdev` knows no connections, and is asked only of what begins one."""
    if table == "bridge":
        return twin
    asked = [replace(rule, state=()) for rule in twin.rules if not rule.state or "new" in rule.state]
    there = (rule for rule in asked if not rule.unless_learnt and (rule.verdict != "jump" or _is_twin(rule.target)))
    return Chain(table, twin.name, tuple(there) or _EMPTY)


def _is_twin(name: str) -> bool:
    return name.startswith(ANSWER)


def _is_told(rule: Rule) -> bool:
    return rule.verdict == "reject" and not rule.limit


def _matters(rule: Rule, port: str) -> bool:
    """Return whether *rule* says anything of a frame to *port*, which begins a connection: others are through."""
    decides = rule.verdict not in {"log", "helper", "bound", *ABOUT_LEASES}
    return decides and rule.oif in ("", port) and rule.state != ESTABLISHED.state


def _asked(rule: Rule, suffix: str, own: frozenset[str]) -> Rule:
    """Return *rule* as it is asked before the port is known: it refuses, or leaves the frame to who decides."""
    if rule.verdict == "log" or _is_told(rule):
        return replace(rule, oif="")
    asked = replace(rule, oif="", origin="", limit=None, queue=None)
    if rule.limit:
        return replace(asked, verdict="accept", target="")
    if rule.verdict == "jump" and rule.target in own:
        return replace(asked, target=f"{ANSWER}{rule.target}{suffix}")
    if rule.verdict == "jump":  # what is no chain into guests refuses nothing
        return replace(asked, target=f"{ANSWER if rule.target.endswith('-in') else ''}{rule.target}")
    return asked if rule.verdict == "return" else replace(asked, verdict="accept")
