"""`Ruleset` → nftables: two tables, ``inet pvenetd`` (host, NAT) and ``bridge pvenetd`` (guests).

No bridge of its own for the firewall: a guest's port sits in its bridge, and one look-up by the
port's name leads a frame to the guest's chains, however many guests there are.

Each piece is loaded by one transaction, which also writes its digest and the number of its rules
into the set ``pieces``, so that a restarted daemon, or one whose rules somebody flushed, can tell.

Sources: nft(8); linux/netfilter_bridge.h for the hooks' priorities.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from pvenetd.firewall import nft_nat, wire
from pvenetd.firewall.builtin import shared
from pvenetd.firewall.nft_base import ESTABLISHED, INVALID, Design, base_text
from pvenetd.firewall.ruleset import ICMP, Addresses, Chain, IcmpType, Piece, Rule, Ruleset, SetRef, Span
from pvenetd.firewall.wire import Unsaid
from pvenetd.resource import Resource
from pvenetd.state import Chains, Sysctl

FIREWALL = "firewall"
"""The owner of what belongs to no guest."""

GUARD = "guard"
"""The piece that stops ports nobody announced, and its owner."""

_ETHERTYPES = {0x0800: "ip", 0x0806: "arp", 0x8100: "8021q", 0x86DD: "ip6", 0x88A8: "8021ad"}
_SAFE = re.compile(r"[\w.:@ /-]*")
"""What may stand between quotes in nft's language: nothing that ends a string, nothing that is a wildcard."""


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
    text = base_text(design) + "".join(_block(chain, design) for chain in shared(*refusals))
    return sealed("base", text, owner=FIREWALL)


def chains(piece: Piece, design: Design, owner: str = "") -> Chains:
    """Return one piece as nft text; a guest's belongs to the guest."""
    into = {port.into for port in piece.ports}
    text = "".join(_block(chain, design, to_guest=chain.name in into) for chain in piece.chains)
    for port in piece.ports:
        text += element("in", port.name, _lead(port.into, piece)) + element("out", port.name, _lead(port.out, piece))
    found = sealed(piece.name, text, owner=owner or (piece.name if piece.ports else FIREWALL))
    if not piece.ports:
        return found
    with suppress(Unsaid):
        return found.model_copy(update={"wire": wire.add(piece, f"{found.digest} {count(text)}")})
    return found


def _block(chain: Chain, design: Design, *, to_guest: bool = False) -> str:
    lines = [f"table {chain.table} pvenetd {{", f"\tchain {chain.name} {{"]
    if hook := chain.hook:
        lines.append(f"\t\ttype {hook.type} hook {hook.hook} priority {hook.priority}; policy accept;")
    lines += [f"\t\t{_rule(rule, chain, design, to_guest=to_guest)}" for rule in chain.rules]
    return "".join(f"{line}\n" for line in [*lines, "\t}", "}"])


def sealed(name: str, text: str, *, owner: str) -> Chains:
    """Return the text of a piece with the line that leaves its digest in the kernel."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Chains(name=name, digest=digest, text=text + seal(name, digest, count(text)), owner=owner)


def seal(name: str, digest: str, rules: int) -> str:
    """Return the command that notes a piece's digest and its number of rules."""
    return f'add element bridge pvenetd pieces {{ "{_quotable(name)}" comment "{digest} {rules}" }}\n'


_LEADS = ("jump", "goto")
"""How an element leads to a guest's chain.  Ours jumps: a frame that is on its way while the rules are exchanged may
find the element already and the chain still empty, and has to come back to the guard, not to the end of the hook.
"""


def element(way: str, port: str, lead: str) -> str:
    """Return the command that says what becomes of the frames of one port, one way."""
    return f'add element bridge pvenetd {way} {{ "{_quotable(port)}"{lead} }}\n'


def is_filtered(port: str, text: str) -> bool:
    """Return whether, by the *text* of a piece, the frames of *port* go through its chains."""
    return any(f'"{_quotable(port)}" : {word} ' in text for word in _LEADS)


def _lead(chain: str, piece: Piece) -> str:
    """Return a chain to jump to; where there is none, whose port it is that nothing is asked at."""
    return f" : jump {chain}" if chain else f' comment "{_quotable(piece.name)}" : accept'


def count(text: str) -> int:
    """Return how many rules and map elements *text* has; our text and nft's listing break lines alike."""
    rules = [line for line in text.splitlines() if line.startswith("\t\t") and not line.startswith("\t\ttype ")]
    return len(rules) + sum(text.count(f" : {word} ") for word in _LEADS) + text.count(" : accept")


def render(resources: Iterable[Resource]) -> str:
    """Return one nft script that loads all of it, whatever of ours was loaded before; the base first."""
    fresh = [f"table {table} pvenetd\ndelete table {table} pvenetd\n" for table in ("inet", "bridge")]
    parts = sorted((one for one in resources if isinstance(one, Chains)), key=lambda one: one.name != "base")
    return "".join(fresh) + "".join(one.text for one in parts)


def _rule(rule: Rule, chain: Chain, design: Design, *, to_guest: bool) -> str:
    words = [
        *_frame(rule, chain),
        *_packet(rule),
        *nft_nat.matches(rule),
        *_state(rule, chain, design),
        "counter",
        _verdict(rule, chain, to_guest=to_guest),
    ]
    return " ".join(words) + (f' comment "{_quotable(rule.note)}"' if rule.origin else "")


def _frame(rule: Rule, chain: Chain) -> Iterator[str]:
    if rule.iif:
        yield f'iifname "{_quotable(rule.iif)}"'
    if rule.oif:
        yield f'oifname "{_quotable(rule.oif)}"'
    # Said by us, for nft's own guess (ether type) reads the VLAN tag's type off a tagged frame.
    if types := rule.all_ethertypes:
        names = [_ETHERTYPES.get(kind, f"{kind:#06x}") for kind in types]
        yield f"meta protocol {_set(names)}" if chain.table == "bridge" else f"meta nfproto {_set(_nfproto(names))}"
    if rule.not_mac:
        yield f"ether saddr != {_quotable(rule.not_mac)}"
    if rule.not_arp_mac:
        yield f"arp saddr ether != {_quotable(rule.not_arp_mac)}"


def _nfproto(names: list[str]) -> list[str]:
    return [{"ip": "ipv4", "ip6": "ipv6"}[name] for name in names]


def _packet(rule: Rule) -> Iterator[str]:
    if rule.protocol is not None:
        yield f"meta l4proto {rule.protocol}"
    for side, word in ((rule.source, "saddr"), (rule.dest, "daddr")):
        if side and (found := _networks(side)):
            yield f"{'ip' if side.version == 4 else 'ip6'} {word} {_set(found)}"
    for side, word in ((rule.not_source, "saddr"), (rule.not_dest, "daddr")):
        if side:
            yield f"{'ip' if side.version == 4 else 'ip6'} {word} != {_set(_networks(side))}"
    for ports, word in ((rule.sport, "sport"), (rule.dport, "dport")):
        if ports and ports != (Span(0, 65535),):
            yield f"th {word} {_set(_range(span) for span in ports)}"
    if rule.icmp:
        yield _icmp("icmp" if rule.protocol == ICMP else "icmpv6", rule.icmp)


def _icmp(name: str, types: tuple[IcmpType, ...]) -> str:
    if all(one.code is None for one in types):
        return f"{name} type {_set(str(number) for number in sorted(one.type for one in types))}"
    if len(types) == 1:
        return f"{name} type {types[0].type} {name} code {types[0].code}"
    whole = {one.type for one in types if one.code is None}
    pairs = [f"{kind} . 0-255" for kind in sorted(whole)]
    pairs += [f"{one.type} . {one.code}" for one in types if one.type not in whole]
    return f"{name} type . {name} code {{ {', '.join(pairs)} }}"


def _networks(side: Addresses | SetRef) -> list[str]:
    """Return a set's name, or CIDRs and ranges; nothing for all there are, which the ethertype says already."""
    if isinstance(side, SetRef):
        return [f"@{side.name}-v{side.version}"]
    if side.is_all:
        return []
    return [_network(span, side.version) for span in side.spans]


def _network(span: Span, version: int) -> str:
    first: IPv4Address | IPv6Address
    last: IPv4Address | IPv6Address
    make = IPv4Address if version == 4 else IPv6Address
    first, last = make(span.first), make(span.last)
    if first == last:
        return str(first)
    nets = list(summarize_address_range(first, last))
    return str(nets[0]) if len(nets) == 1 else f"{first}-{last}"


def _range(span: Span) -> str:
    return str(span.first) if span.first == span.last else f"{span.first}-{span.last}"


def _set(items: Iterable[str]) -> str:
    found = list(items)
    return found[0] if len(found) == 1 else f"{{ {', '.join(found)} }}"


def _state(rule: Rule, chain: Chain, design: Design) -> Iterator[str]:
    if rule.state and (chain.table == "inet" or design == "ct"):
        yield f"ct state {','.join(rule.state)}"
    elif rule.state:
        bit = INVALID if "invalid" in rule.state else ESTABLISHED
        yield f"meta mark & {bit:#010x} != 0"


def _verdict(rule: Rule, chain: Chain, *, to_guest: bool) -> str:
    if rule.verdict == "jump":
        return f"jump {rule.target}"
    if rule.verdict != "reject":
        return nft_nat.verdict(rule)
    if to_guest:
        return "drop"  # The kernel sends no answer from the hook where a frame leaves for a port.
    return "goto refuse" if chain.table == "inet" else "goto refuse-out"


def is_quotable(text: str) -> bool:
    """Return whether *text* can stand between quotes."""
    return _SAFE.fullmatch(text) is not None


def _quotable(text: str) -> str:
    if not is_quotable(text):
        raise ValueError(f"{text!r} cannot be written in nft's language")
    return text
