"""What becomes of one packet: the `Ruleset` walked as the kernel walks it, with every rule that matched.

A packet between two stations of one bridge meets the sender's chain, the bridge's own rules and the receiver's chain.
Everything else goes through the host: between the two, what the host takes, sends or forwards is asked, and addresses
are translated.  A connection's later packets are translated without asking, and answers back.

Fragments are put together before anything is asked, so there is nothing to say about one alone: it is the packet
whose part it is.  What a chain accepts is still asked by those that come after it.

Sources: nft(8), "CHAINS"; net/bridge/br_netfilter_hooks.c; netfilter.org, "Netfilter packet flow".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pvenetd.firewall.builtin import shared
from pvenetd.firewall.match import Facts, Learnt, Packet, matches
from pvenetd.firewall.ruleset import ICMP, ICMP6, Chain, Piece, Port, Rule, Ruleset, Span, Table, Verdict

PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
"""Names of priorities (nft(8), "Standard priority names")."""

_DECIDES: Collection[Verdict] = ("accept", "drop", "reject", "queue")
_TRANSLATES: Collection[Verdict] = ("masquerade", "snat", "dnat")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a packet comes from or goes to."""

    zone: str
    """``outside``, ``host``, ``vm/100/net0``, ``bridge/vmbr0``."""
    port: str = ""
    """A guest's port; empty where no guest's chains are asked."""
    segment: tuple[str, int] = ("", 0)
    """The bridge, and its VLAN where it keeps them apart; who has the same hears each other."""
    link: str = ""
    """The host's own interface there: ``vmbr0``, ``vmbr0.20``, ``eno1``; empty where it has no address."""
    at_uplink: bool = False
    """Whether the bridge has a physical port, by which one gets outside."""


@dataclass(frozen=True, slots=True)
class Map:
    """What has to be known of the host beside its rules."""

    own: Collection[tuple[int, int]] = ()
    """The host's addresses, by IP version."""
    stations: Mapping[tuple[int, int], Place] = field(default_factory=dict)
    """Who has which address, by IP version, where that is known."""
    networks: Mapping[str, Collection[tuple[int, int, int]]] = field(default_factory=dict)
    """Of each of the host's links, the networks there: IP version, first and last address."""
    alone: Mapping[str, Place] = field(default_factory=dict)
    """Of each of the host's links, the only guest's NIC there, where there is one alone."""
    translates_first: bool = False
    """Whether what comes in by a bridge is translated before the guest's chain is asked, as br_netfilter does."""
    learnt: Learnt | None = field(default_factory=dict)
    """None where nobody knows."""
    stopped: Collection[str] = ()
    """Ports that the guard stops: nobody has announced them."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that matched."""

    chain: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class Step:
    """One chain that was walked, or something that befell the packet without one."""

    point: str
    """``vm/100/net0 sends``."""
    chain: str = ""
    hits: tuple[Hit, ...] = ()
    verdict: str = ""
    """``accept``, ``drop``, ``reject``; a translation; empty where nothing was decided."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of it."""

    verdict: str
    """``ACCEPT``, ``DROP`` or ``REJECT``: the sender is told."""
    reaches: str
    """The zone where it ends, which NAT may make another than it was sent to; empty where it gets nowhere."""
    packet: Packet
    """As it is at its end."""
    steps: tuple[Step, ...]
    depends: tuple[Hit, ...]
    """Rules that some values of what is unknown would have matched."""


class _End(Exception):
    """The packet goes no further."""

    def __init__(self, verdict: str) -> None:
        super().__init__(verdict)
        self.verdict = verdict


class Board:
    """A ruleset as packets walk it: who asks many questions of one makes it once."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.pieces = ruleset.pieces
        self.ports: dict[str, Port] = {port.name: port for piece in ruleset.pieces for port in piece.ports}
        own = [chain for piece in ruleset.pieces for chain in piece.chains]
        self.chains: dict[tuple[Table, str], Chain] = {(chain.table, chain.name): chain for chain in [*shared(), *own]}
        self.sets = {(one.name, one.version): one for piece in ruleset.pieces for one in piece.sets}


def simulate(ruleset: Ruleset | Board, host: Map, packet: Packet, start: Place, end: Place) -> Outcome:
    """Return what becomes of *packet* from *start* to *end*."""
    walk = _Walk(ruleset if isinstance(ruleset, Board) else Board(ruleset), host, packet)
    try:
        reached = walk.go(start, end)
    except _End as ended:
        return Outcome(ended.verdict, "", walk.packet, tuple(walk.steps), tuple(walk.depends))
    return Outcome("ACCEPT", reached, walk.packet, tuple(walk.steps), tuple(walk.depends))


class _Walk:
    """One packet on its way; `packet` changes with every translation, `steps` grow."""

    def __init__(self, board: Board, host: Map, packet: Packet) -> None:
        self.pieces, self.ports, self.chains, self.sets = board.pieces, board.ports, board.chains, board.sets
        self.host = host
        self.packet = packet
        self.translated = False
        self.steps: list[Step] = []
        self.depends: list[Hit] = []

    def go(self, start: Place, end: Place) -> str:
        """Walk all there is from *start* to *end*; return the zone it reaches.  Raises `_End`."""
        if early := self.host.translates_first and bool(start.segment[0]) and self.packet.version != 0:
            before = self.packet
            self._hook("prerouting", start.link or start.segment[0], "", "the host gets", end)
            end = self._found(before, end)
        self._from(start)
        if start.segment == end.segment and start.segment[0]:
            self._bridge(start.segment[0], start, end)
            reached = self._to(end)
            if early:
                self._hook("postrouting", "", end.link or end.segment[0], "the host sends on", end)
            return reached
        if start.zone != "host" and end.zone != "host" and not (start.link and end.link):
            return self._around(start, end)
        return self._through_host(start, end, is_translated=early)

    def _around(self, start: Place, end: Place) -> str:
        """Let a router outside do what the host cannot: it has no address on one side."""
        if not (start.at_uplink and end.at_uplink):
            bare = start if not start.link else end
            self._stop(f"to {end.zone}", f"the host has no address in {_spelled(bare)}, and does not route there")
        self._bridge(start.segment[0], start, Place("outside"))
        self.steps.append(Step("outside", note="another router has to bring it back: the host does not route here"))
        self._bridge(end.segment[0], Place("outside"), end)
        return self._to(end)

    def _through_host(self, start: Place, end: Place, *, is_translated: bool) -> str:
        packet, iif = self.packet, start.link
        if start.zone == "host":
            if not end.link and end.zone != "host":
                self._stop(f"to {end.zone}", f"the host has no address in {_spelled(end)}")
            self._hook("output", "", end.link or "lo", "the host sends", end)
        else:
            if not iif and packet.version:
                self._stop(f"to {end.zone}", f"the host has no address in {_spelled(start)}")
            self._bridge(start.segment[0], start, Place("host"))
            if not packet.version:
                return self._deaf(end)
            if not is_translated:
                self._hook("prerouting", iif, "", "the host gets", end)
        end = self._found(packet, end)
        if end.zone == "host":
            self._hook("input", iif or "lo", "", "the host takes", end)
            return end.zone
        if start.zone != "host":
            if self.packet.to_all:
                self._stop("the host routes", "what is for a group, or all, goes no further")
            self._hook("forward", iif, end.link, "the host forwards", end)
        self._hook("postrouting", iif if start.zone != "host" else "", end.link, "the host sends on", end)
        self._bridge(end.segment[0], Place("host"), end)
        return self._to(end)

    def _deaf(self, end: Place) -> str:
        """Tell what no IP chain ever sees: the host hears it, and routes nothing of it."""
        if end.zone != "host":
            self._stop("the host", "only IP is routed")
        return end.zone

    def _found(self, before: Packet, end: Place) -> Place:
        """Return who gets the packet, after what NAT has made of its address."""
        dest = self.packet.dest
        if dest is None or dest.first != dest.last:
            return end
        key = (self.packet.version, dest.first)
        if key in self.host.own:
            return Place("host") if end.zone != "host" else end
        if end.zone != "host" and (dest == before.dest or key not in self.host.stations):
            return end
        if key in self.host.stations:
            return self.host.stations[key]
        for link, networks in self.host.networks.items():
            if any(version == key[0] and first <= key[1] <= last for version, first, last in networks):
                if link in self.host.alone:
                    return self.host.alone[link]
                note = f"leaves by {link}; nobody knows whose port its address is behind, so no guest's chain is asked"
                self.steps.append(Step("the host routes", note=note))
                return Place(f"bridge/{link}", segment=(link, 0), link=link)
        return end

    def _from(self, start: Place) -> None:
        self._port(start, f"{start.zone} sends", into=False)

    def _to(self, end: Place) -> str:
        self._port(end, f"{end.zone} gets", into=True)
        return end.zone

    def _port(self, place: Place, point: str, *, into: bool) -> None:
        if not place.port:
            return
        if place.port in self.host.stopped:
            self._stop(point, f"the guard: nobody has announced {place.port}")
        port = self.ports.get(place.port)
        name = (port.into if into else port.out) if port else ""
        if not name:
            self.steps.append(Step(point, note=f"{place.port} is not filtered: nothing is asked"))
            return
        facts = self._facts(oif=place.port) if into else self._facts(iif=place.port)
        self._walk(self.chains["bridge", name], point, facts)

    def _bridge(self, name: str, start: Place, end: Place) -> None:
        """Ask the bridge's own rules about what goes from *start* to *end* in it."""
        facts = self._facts(iif=start.port, oif=end.port)
        for piece in self.pieces:
            if name and piece.bridge == name:
                for chain in _entered(piece):
                    self._walk(chain, f"{name} forwards", facts)

    def _hook(self, hook: str, iif: str, oif: str, point: str, end: Place) -> None:
        """Ask every chain of IP's that stands at *hook*, in the order of their priorities."""
        dest = self.packet.dest
        known = dest is not None and dest.first == dest.last
        to_host = (self.packet.version, dest.first) in self.host.own if dest and known else end.zone == "host"
        facts = replace(
            self._facts(iif, oif), to_host=to_host, routed=iif != end.link or to_host, translated=self.translated
        )
        found = [
            chain
            for (table, _), chain in self.chains.items()
            if table == "inet" and chain.hook and chain.hook.hook == hook
        ]
        for chain in sorted(found, key=lambda chain: priority(chain.hook.priority if chain.hook else "")):
            if chain.hook and chain.hook.type == "nat" and self.packet.state != "new":
                continue  # the connection remembers
            if self._walk(chain, point, facts) in _TRANSLATES:
                break  # an address is translated once

    def _facts(self, iif: str = "", oif: str = "") -> Facts:
        return Facts(iif, oif, self.sets, learnt=self.host.learnt)

    def _walk(self, chain: Chain, point: str, facts: Facts) -> str:
        hits: list[Hit] = []
        rule = self._ask(chain, facts, hits)
        verdict = rule.verdict if rule else ""
        if verdict in _TRANSLATES and rule:
            self.packet = translated(self.packet, rule)
            self.translated |= verdict == "dnat"
        shown = verdict or ("accept" if chain.hook and chain.hook.type == "filter" else "")
        note = "whoever listens at the queue decides; nobody does, it passes" if verdict == "queue" else ""
        if verdict == "reject" and (silent := self._silent()):
            note, verdict = silent, "drop"
        if hits or shown:  # who translates nothing has no say
            self.steps.append(Step(point, chain.name, tuple(hits), shown, note))
        if verdict in ("drop", "reject"):
            raise _End(verdict.upper())
        return verdict

    def _silent(self) -> str:
        """Return why nobody is told of a refusal, nothing where the sender is."""
        if self.packet.version == 0:
            return "REJECT has no answer to what is no IP"
        if self.packet.protocol in (ICMP, ICMP6):
            return "REJECT never answers ICMP"
        return "REJECT never answers what is for a group, or all" if self.packet.to_all else ""

    def _ask(self, chain: Chain, facts: Facts, hits: list[Hit]) -> Rule | None:
        """Return the rule that decides, with every one that matched in *hits*."""
        for rule in chain.rules:
            answer = matches(rule, self.packet, facts)
            if answer is None:
                self.depends.append(Hit(chain.name, rule))
            if not answer:
                continue
            at = len(hits)
            hits.append(Hit(chain.name, rule))
            if rule.verdict == "return":
                return None
            if rule.verdict == "jump":
                if found := self._ask(self.chains[chain.table, rule.target], facts, hits):
                    return found
                hits[at:] = [hit for hit in hits[at:] if hit.rule.verdict == "log"]  # nothing was decided in there
            elif rule.verdict in _DECIDES or rule.verdict in _TRANSLATES:
                return rule
        return None

    def _stop(self, point: str, note: str) -> None:
        self.steps.append(Step(point, verdict="drop", note=note))
        raise _End("DROP")


def translated(packet: Packet, rule: Rule) -> Packet:
    """Return what NAT makes of the first packet of a connection; a masquerade's address is the link's, unknown here."""
    to = rule.to
    if not to:
        return replace(packet, source=None)
    if rule.verdict == "snat":
        return replace(packet, source=to.address, sport=to.ports or packet.sport)
    return replace(packet, dest=to.address, dport=_port(packet.dport, rule))


def _port(dport: Span | None, rule: Rule) -> Span | None:
    """Return the port a forward leads to: of a range the one that stands where the first stood in its own."""
    ports = rule.to.ports if rule.to else None
    if not ports or not dport:
        return ports or dport
    began = next((span.first for span in rule.dport if span.first <= dport.first <= span.last), dport.first)
    to = min(ports.first + dport.first - began, ports.last)
    return Span(to, to)


def priority(text: str) -> int:
    """Return a priority as the kernel has it: ``filter``, ``dstnat + 5``, ``-10``."""
    name, sign, number = text.replace(" ", "").partition("-" if "-" in text[1:] else "+")
    base = PRIORITIES[name] if name in PRIORITIES else int(name)
    return base + (int(f"{sign}{number}") if number else 0)


def _entered(piece: Piece) -> Iterator[Chain]:
    """Yield the chains that are entered by themselves, and not from others of the piece."""
    inner = {rule.target for chain in piece.chains for rule in chain.rules if rule.verdict == "jump"}
    yield from (chain for chain in piece.chains if chain.table == "bridge" and chain.name not in inner)


def _spelled(place: Place) -> str:
    name, vlan = place.segment
    return (f"VLAN {vlan} of {name}" if vlan else name) or place.zone
