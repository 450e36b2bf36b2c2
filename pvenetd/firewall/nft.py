"""`Ruleset` → nftables: the tables ``pvenetd`` of ``inet`` (host, NAT), ``bridge`` (guests) and ``netdev`` (answers).

No bridge of its own for the firewall: a guest's port sits in its bridge, and one look-up by the
port's name leads a frame to the guest's chains, however many guests there are.

Each piece is loaded by one transaction, which also writes its digest and the number of its rules
into the set ``pieces``, so that a restarted daemon, or one whose rules somebody flushed, can tell.

Sources: nft(8); linux/netfilter_bridge.h for the hooks' priorities.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import cache

from pvenetd.firewall import wire
from pvenetd.firewall.answer import ANSWER, answers, reached, refusing, twins
from pvenetd.firewall.builtin import shared
from pvenetd.firewall.nft_base import BRIDGED, Design, base_text, bridges_text
from pvenetd.firewall.nft_cut import INTO, OUT, asked
from pvenetd.firewall.nft_words import helper, meter, network, quotable, rules, said, set_name, spelled
from pvenetd.firewall.ruleset import IP, TCP, UDP, Chain, NamedSet, Piece, Rule, Ruleset, Table
from pvenetd.resource import Resource
from pvenetd.state import Chains, Sysctl

FIREWALL = "firewall"
"""The owner of what belongs to no guest."""

GUARD = "guard"
"""The piece that stops ports nobody announced, and its owner."""

HOST, SETS, GROUPS = "host", "sets", "groups"
"""The pieces that others refer to."""

SENT = "sent"
"""The piece that has who sends by way of the host told of refusals (`firewall.sent`)."""

BRIDGES = "bridges"
"""The piece that leads to bridges' own chains, there when one has any."""

TABLES: tuple[Table, ...] = ("inet", "bridge", "netdev")

_ANSWERING: dict[Design, tuple[Table, ...]] = {"ct": ("bridge", "netdev"), "mark": ("netdev",), "iptables": ()}
"""Where chains answer for guests: behind br_netfilter IP's own hooks answer what comes in by a bridge."""
_KEY = 15
"""Characters that a key of the set ``pieces`` has room for."""
_ANSWERS = re.compile(r"^add element (?:bridge|netdev) pvenetd answers ", re.MULTILINE)
_ELEMENTS = re.compile(r"^\t\telements = \{(.*?)\}", re.MULTILINE | re.DOTALL)
_METER = ("size 65535", "flags dynamic,timeout", "timeout 1m")
"""How a set that sources are counted in is declared."""
_HELPED = {TCP: "tcp", UDP: "udp"}


def pieces(ruleset: Ruleset, design: Design, *others: Chains) -> list[Resource]:
    """Return what is to be loaded: sysctls the design needs, the base, every piece, *others* (NAT).

    Nothing at all when there is neither a piece nor another.
    """
    if not ruleset.pieces and not others:
        return []
    guests = any(piece.ports and piece.chains for piece in ruleset.pieces)
    return [
        *(sysctls(design) if guests else ()),
        base(design),
        *([sealed(BRIDGES, bridges_text(design), owner=FIREWALL)] if any(one.bridge for one in ruleset.pieces) else ()),
        *(chains(one, design) for one in ruleset.pieces),
        *others,
    ]


def sysctls(design: Design) -> list[Sysctl]:
    """Return what makes the inet hooks see bridged frames, tagged ones too; they exist once br_netfilter is loaded."""
    if design == "ct":
        return []
    names = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-filter-vlan-tagged")
    return [Sysctl(name=f"net/bridge/{name}", value="1", owner=FIREWALL) for name in names]


@cache
def base(design: Design) -> Chains:
    """Return the hooks, the maps and the shared chains everything else stands on."""
    refusals = (Rule("jump", state=("invalid",), target="refusal", origin="refusal"),) if design == "ct" else ()
    found = shared(*refusals, *INTO, out=OUT)
    text = base_text(design) + text_of(found, design)
    text += "".join(_block(chain, design) for chain in twins(found, _ANSWERING[design]))
    return sealed("base", text, owner=FIREWALL)


def chains(piece: Piece, design: Design, owner: str = "", *, answering: bool = True) -> Chains:
    """Return one piece as nft text; a guest's belongs to the guest.  Without *answering*, somebody else answers."""
    tables = _ANSWERING[design] if answering else ()
    into = {chain.name for port in piece.ports for chain in reached(piece, port.into)}
    found = list(_placed(piece, design, tables))
    twin, leads = answers(piece, _refusing(), tables)
    text = "".join(_named(one) for one in piece.sets) + _helpers(found, design)
    text += "".join(_block(chain, design, to_guest=chain.name in into or _is_into_guests(chain)) for chain in found)
    text += "".join(_block(chain, design) for chain in twin)
    for port in piece.ports:
        text += element("bridge", "in", port.name, _lead(port.into, piece))
        text += element("bridge", "out", port.name, _lead(port.out, piece))
    for table in tables:
        text += "".join(element(table, "answers", mac, f" : jump {chain}") for mac, chain in leads)
    if piece.bridge:
        text += element(found[0].table, "bridges", piece.bridge, _lead(found[0].name, piece))
    owner = owner or (piece.name if piece.ports else FIREWALL)
    digest, number = _digest(text), count(text)
    sent = wire.Messages(piece, f"{digest} {number}", design, twin, leads) if piece.ports else None
    return Chains(name=piece.name, digest=digest, text=text + seal(piece.name, digest, number), owner=owner, wire=sent)


def _placed(piece: Piece, design: Design, answering: Collection[Table]) -> Iterator[Chain]:
    """Yield the chains of *piece* in the tables where they are asked.

    What a bridge forwards is seen by ``bridge`` where bridges track connections, else by ``inet``; groups for what
    is forwarded are jumped to from there, and from the host's own chains.
    """
    there = {(chain.table, chain.name) for chain in piece.chains}
    for chain in piece.chains:
        if piece.bridge:
            yield replace(chain, table="bridge" if design == "ct" else "inet")
            continue
        yield replace(chain, rules=tuple(asked(chain.rules))) if piece.name == HOST and chain.table == "inet" else chain
        if piece.name == GROUPS and chain.name.endswith("-forward") and ("bridge", chain.name) not in there:
            yield from [replace(chain, table="bridge")] if design == "ct" else []
    if piece.name == GROUPS:
        yield from twins(piece.chains, answering)


def _is_into_guests(chain: Chain) -> bool:
    """Return whether, of the chains that guests share, this is one for what is sent to them."""
    return chain.table == "bridge" and chain.name.endswith("-in") and not chain.name.startswith(ANSWER)


@cache
def _refusing() -> frozenset[str]:
    return refusing(shared())


def text_of(found: Iterable[Chain], design: Design) -> str:
    """Return the text of chains that guests share."""
    return "".join(_block(one, design, to_guest=_is_into_guests(one)) for one in found)


def _named(one: NamedSet) -> str:
    """Return the declaration of a set, in either table; what is in it already stays, so it is flushed before."""
    listed = ", ".join(network(span, one.version) for span in one.spans)
    body = [f"type ipv{one.version}_addr", "flags interval", *([f"elements = {{ {listed} }}"] if listed else ())]
    return "".join(_declared(table, f"set {set_name(quotable(one.name), one.version)}", body) for table in TABLES)


def _declared(table: str, what: str, body: Iterable[str]) -> str:
    lines = [f"table {table} pvenetd {{", f"\t{what} {{", *(f"\t\t{line}" for line in body), "\t}", "}"]
    return "".join(f"{line}\n" for line in lines)


def _helpers(found: Iterable[Chain], design: Design) -> str:
    """Return the declarations of the conntrack helpers that chains give to connections, each once a table."""
    wanted = {
        (chain.table, helper(rule)): rule
        for chain in found
        for whole in chain.rules
        if whole.verdict == "helper"
        for rule in said(whole, chain, design)
    }
    return "".join(
        _declared(
            table, f"ct helper {name}", [f'type "{quotable(rule.helper)}" protocol {_HELPED[rule.protocol or 0]}']
        )
        for (table, name), rule in wanted.items()
    )


def _block(chain: Chain, design: Design, *, to_guest: bool = False) -> str:
    body = []
    if hook := chain.hook:
        body.append(f"type {hook.type} hook {hook.hook} priority {hook.priority}; policy accept;")
        if design == "mark" and chain.table == "inet" and hook.hook == "forward":
            body.append(
                f"meta mark & {BRIDGED:#010x} != 0 accept"
            )  # what a bridge forwards is no business of the host's
        if hook.type == "nat" and hook.hook != "output":
            # Where a filtered port has a bridge of its own, it is crossed before anything is routed, or after.
            body.append(f'{"i" if hook.hook == "prerouting" else "o"}ifname "fwbr*" accept')
    body += spelled(chain, design, to_guest=to_guest)
    return _meters(chain, design) + _declared(chain.table, f"chain {chain.name}", body)


def _meters(chain: Chain, design: Design) -> str:
    """Return the declarations of the sets that a chain's rules count sources in; a quiet one is forgotten."""
    return "".join(
        _declared(
            chain.table,
            f"set {meter(rule, chain, place)}",
            [f"type {'ipv4' if IP in rule.all_ethertypes else 'ipv6'}_addr", *_METER],
        )
        for place, whole in enumerate(chain.rules)
        if whole.limit and whole.limit.per_source
        for rule in said(whole, chain, design)
    )


def sealed(name: str, text: str, *, owner: str) -> Chains:
    """Return the text of a piece with the line that leaves its digest in the kernel."""
    digest = _digest(text)
    return Chains(name=name, digest=digest, text=text + seal(name, digest, count(text)), owner=owner)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def seal(name: str, digest: str, rules: int) -> str:
    """Return the command that notes a piece's digest and its number of rules."""
    key, called = piece_key(name), f" {quotable(name)}" if len(name) > _KEY else ""
    return f'add element bridge pvenetd pieces {{ "{key}" comment "{digest} {rules}{called}" }}\n'


def piece_key(name: str) -> str:
    """Return the key of a piece in the set ``pieces``: its name, or for a long one its hash."""
    return quotable(name) if len(name) <= _KEY else f"#{hashlib.sha256(name.encode()).hexdigest()[: _KEY - 1]}"


_LEADS = ("jump", "goto")
"""How an element leads to a guest's chain.  Ours jumps: a frame that is on its way while the rules are exchanged may
find the element already and the chain still empty, and has to come back to the guard, not to the end of the hook.
"""


def element(table: str, way: str, port: str, lead: str) -> str:
    """Return the command that says what becomes of the frames of one port, one way, or of one bridge."""
    return f"add element {table} pvenetd {way} {{ {element_key(way, port)}{lead} }}\n"


def element_key(way: str, name: str) -> str:
    """Return the key of a map's element as nft spells it."""
    return quotable(name) if way == "answers" else f'"{quotable(name)}"'


def is_filtered(port: str, text: str) -> bool:
    """Return whether, by the *text* of a piece, the frames of *port* go through its chains."""
    return any(f'"{quotable(port)}" : {word} ' in text for word in _LEADS)


def _lead(chain: str, piece: Piece) -> str:
    """Return a chain to jump to; where there is none, whose port it is that nothing is asked at."""
    return f" : jump {chain}" if chain else f' comment "{quotable(piece.name)}" : accept'


def count(text: str) -> int:
    """Return how many rules, map elements and addresses *text* has; ours and nft's listing break lines alike."""
    leads = sum(text.count(f" : {word} ") for word in _LEADS) + text.count(" : accept")
    addresses = sum(str(listed).count(",") + 1 for listed in _ELEMENTS.findall(text)) if "elements = {" in text else 0
    return len(rules(text)) + leads + addresses - len(_ANSWERS.findall(text))


def render(resources: Iterable[Resource]) -> str:
    """Return one nft script that loads all of it, whatever of ours was loaded before; first what others refer to."""
    fresh = [f"table {table} pvenetd\ndelete table {table} pvenetd\n" for table in TABLES]
    parts = sorted((one for one in resources if isinstance(one, Chains)), key=lambda one: len(one.needs))
    return "".join(fresh) + "".join(one.text for one in parts)
