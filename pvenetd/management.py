"""The way on which an admin's session reaches the host, and what of a plan would take it away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

from pvenetd.kinds.bond import Bond
from pvenetd.kinds.link import Link, wants_down
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.vlan import Vlan
from pvenetd.option import vlan_ids
from pvenetd.plan import Op
from pvenetd.resource import Key
from pvenetd.state import Address, Route, State


@dataclass(frozen=True, slots=True)
class Session:
    """The two ends of a connection."""

    peer: str
    local: str


@dataclass(frozen=True, slots=True)
class Way:
    """How the kernel sends to an address."""

    dev: str
    via: str = ""
    """The router; empty for a neighbour."""


@dataclass(frozen=True, slots=True)
class Path:
    """What a session stands on."""

    session: Session
    address: Key
    """Of the host, which the session uses."""
    route: Key | None
    """By which the peer is reached; None where it is a neighbour."""
    links: tuple[str, ...]
    """The link that the host sends on, and all below it: a bridge's ports that are no guests', a bond's slaves."""
    vlans: frozenset[int]
    """VLANs of the links that are VLANs."""


def path(session: Session, way: Way, current: State) -> Path | None:
    """Return what *session* stands on, None where its local end is no address of this host (a stale session)."""
    local = ip_address(session.local)
    mine = [one for one in current.values() if isinstance(one, Address) and ip_interface(one.address).ip == local]
    if not mine:
        return None
    address = min(mine, key=lambda one: one.dev != way.dev)
    links = tuple(_below(way.dev, current, set()))
    vlans = (link.vlan_id for name in links if isinstance(link := current.get(("link", name)), Vlan))
    return Path(session, address.key, _route(session.peer, way, current), links, frozenset(vlans))


def losses(ops: Iterable[Op], current: State, path: Path) -> list[str]:
    """Return what of *path* is taken away or changed by *ops*, a sentence each."""
    ops = tuple(ops)
    added = {op.resource.key: op for op in ops if op.verb == "+"}
    found = [*_address_losses(ops, added, path), *_route_losses(ops, added, current, path)]
    harmed = dict(_link_losses(ops, added, current, path))
    for name in path.links:
        spared = name in harmed and _has_others(name, harmed, current)
        found += [] if spared else harmed.get(name, [])
    return found


def _below(name: str, current: State, seen: set[str]) -> Iterator[str]:
    link = current.get(("link", name))
    if not isinstance(link, Link) or name in seen:
        return
    seen.add(name)
    yield name
    for parent in link.lower:
        yield from _below(parent, current, seen)
    for port in current.values():
        if isinstance(port, Link) and port.master == name and not isinstance(port, Tap):
            yield from _below(port.name, current, seen)


def _route(peer: str, way: Way, current: State) -> Key | None:
    there = ip_address(peer)
    fitting = [
        (_prefix(route), -route.metric, route.key)
        for route in current.values()
        if isinstance(route, Route) and route.dev == way.dev and (route.via or "") == way.via and _covers(route, there)
    ]
    return max(fitting)[2] if fitting and way.via else None


def _prefix(route: Route) -> int:
    return 0 if route.dst == "default" else ip_network(route.dst, strict=False).prefixlen


def _covers(route: Route, there: object) -> bool:
    version = getattr(there, "version", 4)
    if (route.family == "inet6") != (version == 6):
        return False
    return route.dst == "default" or there in ip_network(route.dst, strict=False)


def _address_losses(ops: tuple[Op, ...], added: Mapping[Key, Op], path: Path) -> Iterator[str]:
    _, dev, text = path.address
    for op in ops:
        if op.verb != "-" or op.resource.key != path.address:
            continue
        same = [key for key in added if key[0] == "address" and ip_interface(key[2]).ip == ip_interface(text).ip]
        if path.address in same:
            yield f"the address {text} of {dev}, which your session uses, is made anew"
        elif same:
            yield f"the address {text}, which your session uses, moves from {dev} to {same[0][1]} as {same[0][2]}"
        else:
            yield f"the address {text} of {dev}, which your session uses, goes"


def _route_losses(ops: tuple[Op, ...], added: Mapping[Key, Op], current: State, path: Path) -> Iterator[str]:
    there = ip_address(path.session.peer)
    used = current.get(path.route) if path.route else None
    for op in ops:
        route = op.resource
        if not isinstance(route, Route):
            continue
        if route.key == path.route and op.verb == "-" and route.key not in added:
            yield f"the {route.describe()}, by which you are reached, goes"
        elif route.key == path.route and op.verb == "~":
            yield f"the {route.describe()}, by which you are reached, changes: {' '.join(route.details())}"
        elif op.verb == "+" and isinstance(used, Route) and _covers(route, there) and _prefix(route) > _prefix(used):
            yield f"the new {route.describe()} leads your session's packets elsewhere: {' '.join(route.details())}"


def _link_losses(
    ops: tuple[Op, ...], added: Mapping[Key, Op], current: State, path: Path
) -> Iterator[tuple[str, list[str]]]:
    names = set(path.links)
    for op in ops:
        link = op.resource
        if isinstance(link, Link) and link.name in names and (lost := [*_harm(op, link, added, current, path)]):
            yield link.name, lost


def _harm(op: Op, link: Link, added: Mapping[Key, Op], current: State, path: Path) -> Iterator[str]:
    """Yield what *op* does to *link*, which the session's packets take."""
    way = f"{link.name}, which your session goes by,"
    if op.verb == "-" and link.deletable:
        yield f"{way} {'is made anew' if link.key in added else 'goes'}"
    elif op.verb == "-" and link.master:
        yield f"{way} leaves {link.master}"
    elif op.verb == "~":
        changes = {name: new for name, (_, new) in op.changes.items()}
        yield from (f"{way} {what}" for what in _moved(link, changes, current[link.key]))
        yield from (f"{way} {what}" for what in _refiltered(link, changes, path))


def _moved(link: Link, changes: Mapping[str, object], was: object) -> Iterator[str]:
    if "master" in changes:
        yield f"becomes a port of {changes['master']}" if changes["master"] else f"leaves {getattr(was, 'master', '')}"
    if changes.get("up") is False:
        yield "is set down"
    elif wants_down(link, changes):
        yield "is set down for a moment"


def _refiltered(link: Link, changes: Mapping[str, object], path: Path) -> Iterator[str]:
    if "vlan_aware" in changes:
        yield f"{'begins' if changes['vlan_aware'] else 'ceases'} to filter VLANs"
    if changes.get("stp") is True:
        yield f"begins with STP: its ports are silent for {2 * getattr(link, 'forward_delay', 15)} s"
    if "pvid" in changes:
        yield f"takes untagged frames for VLAN {changes['pvid'] or 'none'}"
    if "vids" in changes and (lost := path.vlans - vlan_ids(str(changes["vids"] or ""))):
        yield f"no longer carries VLAN {', '.join(map(str, sorted(lost)))}"
    if changes.get("disable_ipv6") and ":" in path.session.peer:
        yield "loses its IPv6"


def _has_others(name: str, harmed: Mapping[str, list[str]], current: State) -> bool:
    """Return whether *name* is one of several slaves of a bond, and another stays as it is."""
    link = current.get(("link", name))
    master = current.get(("link", getattr(link, "master", "") or ""))
    if not isinstance(master, Bond) or master.name in harmed:
        return False
    slaves = [one.name for one in current.values() if isinstance(one, Link) and one.master == master.name]
    return any(slave not in harmed for slave in slaves)
