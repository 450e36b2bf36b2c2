"""What would become of a packet, by the files: which rules it meets on its way, and what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, cast

from typing_extensions import TypedDict

from pvenetd.daemon.firewall import Firewall
from pvenetd.daemon.interfaces import Interfaces
from pvenetd.daemon.places import Picture
from pvenetd.daemon.question import Asked, Question, asked
from pvenetd.daemon.store import FIREWALL, Store
from pvenetd.engine import Engine
from pvenetd.errors import Conflict, Unavailable
from pvenetd.firewall.match import Learnt, Packet
from pvenetd.firewall.ruleset import Ruleset, Span
from pvenetd.firewall.simulate import Hit, Map, Outcome, Place, Step, simulate
from pvenetd.nat.rules import piece
from pvenetd.state import State

_CHAIN = re.compile(r"(?:(host)-|vm-(\d+)-|bridge-(.+)-forward)")
"""Whose chain it is: the host's, a guest's or a bridge's."""


class HitRecord(TypedDict):
    """A rule that matches."""

    origin: str
    """Its ``FILE:LINE``, or a word for what no file says."""
    chain: str
    verdict: str
    text: str
    """The line; empty where it is no file's."""


class StepRecord(TypedDict):
    """A chain that was walked, or something that befell the packet without one."""

    point: str
    chain: str
    verdict: str
    note: str
    rules: list[HitRecord]


_Icmp = TypedDict("_Icmp", {"icmp-type": int}, total=False)


class _Known(_Icmp, total=False):
    sport: str
    dport: str
    mac: str


class PacketRecord(_Known):
    """What is known of a packet; two addresses or ports with a dash are a range that it may be of."""

    family: int
    proto: int | None
    source: str
    dest: str
    state: str


_Ends = TypedDict("_Ends", {"from": str, "to": str})


class Verdict(_Ends):
    """What would become of a packet, from one zone to another."""

    verdict: Literal["ACCEPT", "DROP", "REJECT"]
    reaches: str
    """The zone where it ends; empty where it gets nowhere."""
    packet: PacketRecord
    translated: PacketRecord | None
    """As it is at its end, where that is otherwise."""
    assumed: list[str]
    """What was taken for granted as nobody said it."""
    problems: list[str]
    """What is wrong with the files that were asked."""
    path: list[StepRecord]
    rules: list[HitRecord]
    """Those that led there."""
    depends: list[HitRecord]
    """Those that some values of what is unknown would have matched."""


class Simulation:
    """Puts together what is configured, and asks it."""

    def __init__(self, store: Store, engine: Engine, interfaces: Interfaces, firewall: Firewall) -> None:
        self._store = store
        self._engine = engine
        self._interfaces = interfaces
        self._firewall = firewall
        self.learnt: Callable[[], Learnt | None] = lambda: None
        """What guests' NICs were leased, None where nobody knows."""

    async def run(self, question: Question) -> Verdict:
        """Return the verdict, and the way there.  Raises `NotFound`, `Conflict`, `ConfigError`."""
        if question.start == question.end:
            raise Conflict(f"from {question.start} to itself nothing is asked")
        live = await self._live()
        compiled = await self._interfaces.compiled(self._store.active(), nics=None if live else ())
        picture = Picture({**live, **compiled.state}, {guest.vmid: guest for guest in self._store.guests()})
        start, end = picture.places(question.start, question.end, question.family)
        if start.zone == end.zone:
            raise Conflict(f"from {start.zone} to itself nothing is asked")
        ruleset, broken = self._firewall.ruleset(picture.state)
        nat = piece(compiled.nat)
        whole = Ruleset((*ruleset.pieces, *([nat] if nat else [])))
        host = Map(
            own=[(one.version, int(one.ip)) for one in picture.addresses()],
            networks=picture.networks(),
            alone=picture.alone(),
            translates_first=self._firewall.design == "mark",
            learnt=self.learnt(),
            stopped=self._stopped(whole, start, end),
        )
        packet = asked(question, picture, start, end)
        if "outside" in (start.zone, end.zone) and not picture.uplink():
            packet.assumed.append(
                f"outside: there is no uplink, so it is taken to be in {start.segment[0] or end.segment[0]}"
            )
        found = simulate(whole, host, packet.packet, start, end)
        self._doubt(found, packet, whole, host, (start, end))
        if host.learnt is None and any(hit.rule.unless_learnt for hit in found.depends):
            packet.assumed.append(f"{start.zone} was leased its address: the daemon knows, and does not answer")
        told = {
            "verdict": found.verdict,
            "from": start.zone,
            "to": end.zone,
            "reaches": found.reaches,
            "packet": _shown(packet.packet),
            "translated": _shown(found.packet) if found.packet != packet.packet else None,
            "assumed": packet.assumed,
            "problems": [str(problem) for problem in broken],
            "path": [self._step(step) for step in found.steps],
            "rules": [self._hit(hit) for step in found.steps for hit in step.hits],
            "depends": [self._hit(hit) for hit in found.depends],
        }
        return cast("Verdict", told)

    async def _live(self) -> State:
        """Return what there is; who may not look at the kernel sees the files alone."""
        try:
            return await self._engine.observe()
        except Unavailable:
            return {}

    def _stopped(self, ruleset: Ruleset, *places: Place) -> list[str]:
        """Return the ports that the guard stops: those that no chains know of, where the firewall is on."""
        if not self._firewall.is_on():
            return []
        known = {port.name for one in ruleset.pieces for port in one.ports}
        return [place.port for place in places if place.port and place.port not in known]

    def _doubt(self, found: Outcome, packet: Asked, ruleset: Ruleset, host: Map, ends: tuple[Place, Place]) -> None:
        """Say where the other side's being near the uplink makes a difference."""
        if not packet.elsewhere:
            return
        start, _ = ends
        is_source, known = start.zone == "outside", packet.packet
        anywhere = replace(known, source=None) if is_source else replace(known, dest=None)
        other = simulate(ruleset, host, anywhere, *ends)
        if other.verdict != found.verdict:
            packet.assumed.append(f"with an address outside that no rule names it is {other.verdict}")

    def _step(self, step: Step) -> StepRecord:
        return {
            "point": step.point,
            "chain": step.chain,
            "verdict": step.verdict,
            "note": step.note,
            "rules": [self._hit(hit) for hit in step.hits],
        }

    def _hit(self, hit: Hit) -> HitRecord:
        rule = hit.rule
        verdict = f"jump {rule.target}" if rule.verdict == "jump" else rule.verdict
        origin = self._option(hit) or rule.origin
        return {"origin": origin, "chain": hit.chain, "verdict": verdict, "text": self._text(origin)}

    def _option(self, hit: Hit) -> str:
        """Return the line of the option that a rule of ours is named after, nothing where no file sets it."""
        found = _CHAIN.match(hit.chain)
        names = ["cluster", "host"] if found and found[1] == "host" else [found[2] or found[3]] if found else []
        for name in names:
            config = self._firewall.files.now(name).config
            if config and (option := (config.options or {}).get(hit.rule.origin)):
                return f"{name}.fw:{option.line}"
        return ""

    def _text(self, origin: str) -> str:
        """Return the line that a rule comes from, nothing where it is one of ours."""
        name, _, line = origin.rpartition(":")
        if not name.endswith(".fw") or "/" in name or not line.isdigit():
            return ""
        lines = (self._store.files.read(f"{FIREWALL}/{name}") or b"").decode("utf-8", "replace").splitlines()
        return lines[int(line) - 1].strip() if 0 < int(line) <= len(lines) else ""


def _shown(packet: Packet) -> PacketRecord:
    make = IPv6Address if packet.version == 6 else IPv4Address
    addresses = (("source", packet.source), ("dest", packet.dest))
    ports = (("sport", packet.sport), ("dport", packet.dport))
    icmp = packet.icmp
    shown = {
        "family": packet.version,
        "proto": packet.protocol,
        **{name: "-".join(str(make(one)) for one in _ends(span)) for name, span in addresses},
        **{name: "-".join(str(one) for one in _ends(span)) for name, span in ports if span},
        **({"icmp-type": icmp.type} if icmp else {}),
        **({"mac": packet.mac} if packet.mac else {}),
        "state": packet.state,
    }
    return cast("PacketRecord", shown)


def _ends(span: Span | None) -> Iterator[int]:
    if span:
        yield from dict.fromkeys((span.first, span.last))
