"""NAT as it is told: each wish with its line, and what its rules have counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from typing_extensions import TypedDict

from pvenetd.daemon.applies import Applies
from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import Unavailable
from pvenetd.firewall.ruleset import Piece, Rule, Span
from pvenetd.firewall.tally import Tally
from pvenetd.nat.gather import FORWARDING
from pvenetd.nat.model import PROTOCOLS, Forward, Nat, Network, OneToOne
from pvenetd.nat.rules import PIECE, piece
from pvenetd.option import ZeroOne
from pvenetd.state import Sysctl

Counts = Mapping[tuple[str, Rule], Tally]
"""By chain, and rule without its line."""


_Ways = TypedDict("_Ways", {"in": str, "out": str})


class NatRecord(_Ways):
    """Addresses that are translated; ``in`` and ``out`` are links, and what does not apply is empty."""

    kind: str
    iface: str
    """Whose stanza says it."""
    version: int
    """Of IP."""
    origin: str
    protocol: str
    public: str
    ports: str
    target: str
    target_ports: str
    network: str
    as_written: ZeroOne
    loaded: ZeroOne
    routed: ZeroOne | None
    """Whether the host routes packets of this version; nothing where nobody may ask."""
    connections: int | None
    bytes: int | None


class Translations:
    """What the active configuration has translated."""

    def __init__(self, store: Store, engine: Engine, interfaces: Applies) -> None:
        self._store = store
        self._engine = engine
        self._interfaces = interfaces

    async def records(self) -> list[NatRecord]:
        """Return each wish; who must not ask the kernel gets no counters.  Raises `ConfigError`."""
        compiled = await self._interfaces.compiled(self._store.active())
        compiled.checked()
        if not compiled.nat:
            return []
        try:
            found = await self._engine.tallies((PIECE,))
            routed = await self._routed()
        except Unavailable:
            found, routed = (), {}
        counts = _paired(piece(compiled.nat), found)
        return [record(one, counts, routed) for one in compiled.nat]

    async def _routed(self) -> dict[int, bool]:
        """Return, by family, whether the host routes packets."""
        keys = {("sysctl", name): version for version, name in FORWARDING.items()}
        live = await self._engine.look(keys)
        return {keys[key]: one.value == "1" for key, one in live.items() if key in keys and isinstance(one, Sysctl)}


def record(nat: Nat, counts: Counts, routed: Mapping[int, bool]) -> NatRecord:
    """Return *nat* as ``nat list --json`` shows it."""
    own = [tally for key in _rules(nat) if (tally := counts.get(key))]
    found = {
        "kind": nat.kind,
        "iface": nat.iface,
        "version": nat.version,
        "origin": nat.origin,
        **_facts(nat),
        "loaded": int(bool(own)),
        "routed": int(routed[nat.version]) if nat.version in routed else None,
        "connections": sum(tally.packets for tally in own) if own else None,
        "bytes": sum(tally.bytes for tally in own) if own else None,
    }
    return cast("NatRecord", found)


def _facts(nat: Nat) -> dict[str, object]:
    none: dict[str, object] = dict.fromkeys(
        ("protocol", "public", "ports", "target", "target_ports", "network", "in"), ""
    )
    if isinstance(nat, Forward):
        return none | {
            "protocol": next((name for name, number in PROTOCOLS.items() if number == nat.protocol), ""),
            "public": _text(nat.public),
            "ports": _range(nat.ports),
            "target": str(nat.to),
            "target_ports": _range(nat.to_ports or nat.ports),
            "network": _text(nat.source),
            "in": nat.way,
            "out": "",
            "as_written": int(nat.as_written),
        }
    if isinstance(nat, OneToOne):
        return none | {"public": str(nat.public), "target": str(nat.private), "out": nat.out, "as_written": 0}
    to = nat.to or ()
    return none | {
        "target": "-".join(dict.fromkeys(map(str, to))),
        "network": _text(nat.network),
        "out": nat.out,
        "as_written": 0,
    }


def _rules(nat: Nat) -> Iterable[tuple[str, Rule]]:
    """Return the rules that *nat* is, but for the one that only has answers come back by the host."""
    for chain in getattr(piece((nat,)), "chains", ()):
        for rule in chain.rules:
            if not rule.translated:
                yield chain.name, replace(rule, origin="")


def _paired(wanted: Piece | None, tallies: Iterable[Tally]) -> Counts:
    """Return what the rules of *wanted* have counted; of a chain that the kernel has otherwise, nothing."""
    found: dict[tuple[str, Rule], Tally] = {}
    of: dict[str, list[Tally]] = {}
    for tally in tallies:
        of.setdefault(tally.chain, []).append(tally)
    for chain in wanted.chains if wanted else ():
        there = of.get(chain.name, [])
        if [rule.note for rule in chain.rules] == [tally.origin for tally in there]:
            pairs = zip(chain.rules, there, strict=True)
            found |= {(chain.name, replace(rule, origin="")): tally for rule, tally in pairs}
    return found


def _text(network: Network | None) -> str:
    if network is None:
        return ""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _range(ports: Span | None) -> str:
    if ports is None:
        return ""
    return str(ports.first) if ports.first == ports.last else f"{ports.first}-{ports.last}"
