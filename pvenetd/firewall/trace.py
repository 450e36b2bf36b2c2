"""The way of real packets through the kernel's rules, as nftrace tells it.

Sources: nft(8), "monitor"; linux/netfilter/nf_tables.h, enum nft_trace_attributes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from typing_extensions import TypedDict

from pvenetd.firewall.nft_words import spelled
from pvenetd.firewall.packet import Word, words
from pvenetd.firewall.ruleset import IP, IP6, Chain, Rule, Table
from pvenetd.firewall.wire_format import attributes

TABLE = "pvenetd-trace"
"""Of the rules that choose the packets; the kernel deletes it with the socket that made it."""

_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_VERDICTS = {0: "drop", 1: "accept", 2: "stolen", 3: "queue", -1: "continue", -3: "jump", -4: "goto", -5: "return"}
_TABLE, _CHAIN, _HANDLE, _TYPE, _VERDICT, _ID, _LINK, _NETWORK, _TRANSPORT = 1, 2, 3, 4, 5, 6, 7, 8, 9
_IIF, _OIF, _PROTOCOL, _POLICY = 10, 12, 15, 16
_OF_POLICY = 1
"""NFT_TRACETYPE_POLICY."""
_TABLES = re.compile(r"^table (\w+) ([\w-]+) \{[^\n]*\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_CHAINS = re.compile(r"^\tchain ([\w-]+) \{[^\n]*\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r'^\t\t(.*?)(?: comment "([^"]*)")? # handle ([0-9]+)$', re.MULTILINE)


class Place(NamedTuple):
    """A rule, as the kernel numbers it."""

    family: str
    table: str
    chain: str
    handle: int


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that a packet met, or the policy at the end of a chain."""

    packet: int
    """A number that all steps of a packet have."""
    place: Place
    """Of a policy, handle 0."""
    verdict: str
    """``accept``, ``drop``, ``continue``, ``jump``, …"""
    to: str = ""
    """The chain of a jump."""
    iif: int = 0
    """Index of the link it came in by, 0 without one."""
    oif: int = 0
    headers: tuple[Word, ...] = ()
    """What the packet is: told with its first step."""


def script(asked: Rule, packets: int) -> str:
    """Return what has the kernel tell of the first *packets* that *asked* matches, and of what answers them."""
    return "".join(_choosing(table, asked, packets) for table in ("bridge", "inet"))


def _choosing(table: Table, asked: Rule, packets: int) -> str:
    back = replace(asked, iif="", source=asked.dest, dest=asked.source, sport=asked.dport, dport=asked.sport)
    lines = []
    for hook in ("prerouting",) if table == "bridge" else ("prerouting", "output"):
        lines += [f"\tchain {hook} {{", f"\t\ttype filter hook {hook} priority -450; policy accept;"]
        for rule in dict.fromkeys((asked, back)):
            limit = f"limit rate 1/hour burst {packets} packets"
            # A limit counts what it lets through, so few are chosen however fast they come.
            (line,) = spelled(Chain(table, hook, (replace(rule, iif="" if hook == "output" else rule.iif),)), "ct")
            lines.append(f"\t\t{line.removesuffix('counter accept')}{limit} meta nftrace set 1")
        lines.append("\t}")
    return "\n".join([f"table {table} {TABLE} {{", "\tflags owner;", *lines, "}", ""])


def step(message: bytes) -> Step:
    """Return what a trace message (NFT_MSG_TRACE, behind its nfgenmsg) tells."""
    found = dict(attributes(message))
    family = _FAMILIES.get(_number(found.get(_PROTOCOL, b"")), "?")
    code, to = _verdict(found.get(_VERDICT, b""))
    if _number(found.get(_TYPE, b"")) == _OF_POLICY:
        code = _number(found.get(_POLICY, b""))
    place = Place(family, _text(found.get(_TABLE)), _text(found.get(_CHAIN)), _number(found.get(_HANDLE, b"")))
    return Step(
        _number(found.get(_ID, b"")),
        place,
        _VERDICTS.get(code, str(code)),
        to,
        _number(found.get(_IIF, b"")),
        _number(found.get(_OIF, b"")),
        _headers(found),
    )


def _headers(found: dict[int, bytes]) -> tuple[Word, ...]:
    packet = found.get(_NETWORK, b"") + found.get(_TRANSPORT, b"")
    link = found.get(_LINK, b"")
    mac: list[Word] = [("MAC", link.hex(":"))] if link else []
    if not packet:
        return tuple(mac)
    by_version = {4: IP, 6: IP6}.get(packet[0] >> 4, 0)
    kind = int.from_bytes(link[12:14], "big") if len(link) >= 14 else by_version
    return (*mac, *words(kind if kind in (0x0806, IP, IP6) else by_version, packet))


def _verdict(nested: bytes) -> tuple[int, str]:
    found = dict(attributes(nested))
    code = struct.unpack("!i", found[1])[0] if len(found.get(1, b"")) == 4 else 1
    return code, _text(found.get(2))


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _text(data: bytes | None) -> str:
    return (data or b"").rstrip(b"\0").decode("utf-8", "replace")


class Known(NamedTuple):
    """A rule, as people know it."""

    text: str
    origin: str
    """Its comment: ``FILE:LINE``, or a word of ours."""


def rules(listing: str) -> dict[Place, Known]:
    """Return the rules of a listing with handles (``nft -a list ruleset``)."""
    return {
        Place(family, table, chain, int(handle)): Known(text, origin)
        for family, table, body in _TABLES.findall(listing)
        for chain, block in _CHAINS.findall(body)
        for text, origin, handle in _RULE.findall(block)
    }


class Met(TypedDict):
    """A rule that a packet met."""

    family: str
    table: str
    chain: str
    rule: str
    """In nft's words; ``policy`` at the end of a chain."""
    origin: str
    """Its ``FILE:LINE``; empty for rules that are not ours."""
    verdict: str


@dataclass(slots=True)
class Way:
    """One packet's way."""

    headers: tuple[Word, ...] = ()
    steps: list[Met] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return what the packet is, in a line."""
        return " ".join(f"{name}={value}" if value else name for name, value in self.headers)

    @property
    def verdict(self) -> str:
        """Return what became of the packet, as far as its steps tell: ``drop`` by whoever says so, else the last."""
        said = [step["verdict"] for step in self.steps]
        return "drop" if "drop" in said else said[-1] if said else "accept"

    def take(self, one: Step, known: Mapping[Place, Known]) -> Met | None:
        """Keep a step; return it as it is told, None for rules that chose the packet and for ends of chains."""
        self.headers = self.headers or one.headers
        if one.place.table == TABLE or (one.verdict == "continue" and not one.place.handle):
            return None
        rule = found(one.place, known) or Known("", "")
        met: Met = {
            "family": one.place.family,
            "table": one.place.table,
            "chain": one.place.chain,
            "rule": rule.text if one.place.handle else "policy",
            "origin": rule.origin,
            "verdict": f"{one.verdict} {one.to}".rstrip(),
        }
        self.steps.append(met)
        return met


def found(place: Place, known: Mapping[Place, Known]) -> Known | None:
    """Return the rule at a place, None where it is not known, or is a policy."""
    return known.get(place) or known.get(place._replace(family="inet"))
