"""The kernel's links, addresses and routes, kept by notifications and read anew where they told of a change."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import struct
from collections.abc import Collection, Iterable, Mapping

from pvenetd.drivers.netlink import addresses, entries, fdb, ipv6, links, mark, shaping, table, vlans
from pvenetd.drivers.netlink.wire import RefusedError, Wire, lost_events
from pvenetd.forwarding import Heard
from pvenetd.kinds.link import Link
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vxlan import Vxlan, sorted_addresses
from pvenetd.pinned import Pinned
from pvenetd.resource import Key, Resource
from pvenetd.shaping import Rate
from pvenetd.state import GUESTS, MAIN_TABLE, Address, Route

_GROUPS = (1, 5, 7, 9, 11)
"""RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE."""
NO_MAC = "00:00:00:00:00:00"
_OF_ALL = {"links", "ports", "vlans"}
"""What `Mirror.some` is asked for that may be any link which is no guest's."""
_MANY = 64
"""Changed links from which one dump costs less than a request each."""


class Mirror:
    """What the kernel has, fresh at every `refresh`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.events = Wire(_GROUPS)
        self.links: dict[int, Link] = {}
        self._number: dict[str, int] = {}
        self._marked: dict[str, set[int]] = {}
        """Owner → the links that carry its mark."""
        self._others: set[int] = set()
        """The links that carry no guest's mark: few, however many guests there are."""
        self._addresses: dict[int, list[Address]] = {}
        self._routes: list[Route] = []
        self._stale: dict[int, bytes | None] | None = None
        """Links that changed, each with the newest message about it, None: to be asked for; None at all: everything."""
        self.replaced: dict[str, Link] = {}
        """How links were before they changed, since the caller last emptied it."""
        self.news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable while there is something that `changed` will tell: whoever reads the events, it is not lost."""
        self._changed: set[Key] = set()
        self._stale_addresses: set[int] = set()
        self._stale_routes = True
        self._routed: set[int] = set()
        """Links that have a route."""
        self._state: dict[Key, Resource] | None = None
        """All of it, as long as nothing changes."""
        self._lost_macs: dict[str, str] = {}

    def close(self) -> None:
        """Give the event socket back."""
        self.events.close()
        os.close(self.news)

    def refresh(self, anew: Iterable[Key] = (), *, but: Collection[str] = ()) -> None:
        """Bring the mirror up to date; of *anew*, links and links' addresses are read whatever the events say.

        The links *but* are left for the next time: they change again before anybody asks.
        """
        self._drain()
        for key in anew:
            self._doubt(key)
        if self._stale is None or self._stale or self._stale_addresses:
            self._state = None
        if self._stale is None or sum(body is None for body in self._stale.values()) > _MANY:
            self._dump()
            self._stale = {}
        else:
            self._read_stale(self._stale, {self._number.get(name) for name in but})
        self._stale_addresses = set()

    def _doubt(self, key: Key) -> None:
        try:
            number = socket.if_nametoindex(key[1])
        except OSError:
            return
        if key[0] == "address":
            self._stale_addresses.add(number)
        elif self._stale is not None:
            self._stale[number] = None

    def _read_stale(self, stale: Mapping[int, bytes | None], later: Collection[int | None]) -> None:
        self._stale = {number: body for number, body in stale.items() if number in later}
        for number, body in stale.items():
            if number not in later:
                self._read(number, body)
        if len(self._stale_addresses) > _MANY:
            self._dump_addresses()
        for number in self._stale_addresses:
            self._read_addresses(number)

    def changed(self) -> set[Key]:
        """Return the keys of links, addresses and routes that came, went or changed since this was last asked."""
        self._fresh_routes()
        found, self._changed = self._changed, set()
        if found:
            os.eventfd_read(self.news)
        return found

    def _tell(self, keys: Collection[Key]) -> None:
        if keys and not self._changed:
            os.eventfd_write(self.news, 1)
        self._changed.update(keys)

    def touch(self, name: str) -> None:
        """Have link *name* read again by the next `refresh`: something changed that no notification tells of."""
        if self._stale is not None and name in self._number:
            self._stale[self._number[name]] = None

    def numbers(self, names: Collection[str]) -> dict[int, str]:
        """Return the numbers of the links that are there, with their names.  Raises `RefusedError`."""
        self.refresh()
        return {number: name for name in names if (number := self._number.get(name))}

    def state(self) -> Mapping[Key, Resource]:
        """Return all of it as a State."""
        routes = self._fresh_routes()
        if self._state is None:
            found = (address for addresses in self._addresses.values() for address in addresses)
            self._state = {resource.key: resource for resource in (*self.links.values(), *found, *routes)}
        return self._state

    def some(self, keys: Collection[Key]) -> dict[Key, Resource]:
        """Return the links of *keys* alone: what a guest's plan needs, whatever else the host has.

        ``("links", "")`` stands for all that are no guest's, ``("ports", BRIDGE)`` for those of them that are ports
        of it, ``("vlans", ID)`` for those that are VLANs of that number.
        """
        found: dict[Key, Resource] = {}
        others = [self.links[number] for number in self._others] if {key[0] for key in keys} & _OF_ALL else []
        for kind, name, *_ in keys:
            if kind == "link" and (number := self._number.get(name)) is not None:
                found[kind, name] = self.links[number]
            elif kind == "links":
                found |= {link.key: link for link in others}
            elif kind == "ports":
                found |= {link.key: link for link in others if link.master == name}
            elif kind == "vlans":
                found |= {link.key: link for link in others if str(getattr(link, "vlan_id", "")) == name}
        return found

    def tables(self, keys: Iterable[Key]) -> dict[Key, Resource]:
        """Return the forwarding entries of the links that *keys* (``("fdb", LINK)`` or longer) name."""
        there = {key[1]: self.link(key[1]) for key in keys if key[0] == "fdb"}
        found: list[Resource] = []
        for link in filter(None, there.values()):
            found += entries.entries(self._wire, link, self._name)
        return {entry.key: entry for entry in found} | self.beside([("pinned", name) for name in there])

    def forwarding(self) -> tuple[Heard, ...]:
        """Return the forwarding tables, what was learned too.  Raises `RefusedError`."""
        return tuple(table.table(self._wire, self._name))

    def beside(self, keys: Iterable[Key]) -> dict[Key, Resource]:
        """Return what guests' ports have of *keys* that the link itself does not tell: limits, pinned MACs."""
        found: list[Resource | None] = []
        for kind, name, *_ in keys:
            link = self.link(name) if kind in ("rate", "pinned") else None
            try:
                if link and kind == "rate":
                    found.append(shaping.observe(self._wire, link))
                elif link and link.master and not link.learning:
                    found.append(entries.pinned(self._wire, link, self._name))
            except RefusedError as refused:
                if refused.errno != errno.ENODEV:  # its guest has just gone, and taken it along
                    raise
        return {one.key: one for one in found if one}

    def bring_beside(self, verb: str, resource: Rate | Pinned) -> None:
        """Bring a guest's port to *resource*, or, with ``-``, to none of the kind.  Raises `RefusedError`."""
        link = self.link(resource.dev)
        if isinstance(resource, Rate):
            shaping.bring(self._wire, Rate(dev=resource.dev) if verb == "-" else resource)
        elif link:
            entries.pin(self._wire, link, None if verb == "-" else resource, self._name)

    def unpin(self, link: Link, vids: str) -> None:
        """Forget the pinned MACs of a guest's port in VLANs that are not among *vids*.  Raises `RefusedError`."""
        entries.unpin(self._wire, link, vids, self._name)

    def owned(self, owner: str) -> list[Key]:
        """Return the links that carry the mark of *owner*, and what a guest's port may have beside."""
        names = [self.links[number].name for number in sorted(self._marked.get(owner, ()))]
        nouns = ("link", "rate", "pinned") if owner.startswith("vm:") else ("link",)
        return [(noun, name) for name in names for noun in nouns]

    def on(self, name: str) -> list[Resource]:
        """Return the addresses and routes of link *name*."""
        found: list[Resource] = [*self._addresses.get(self._number.get(name, 0), [])]
        return found + [route for route in self._fresh_routes() if route.dev == name]

    def last_mac(self, name: str) -> str:
        """Return the MAC that a link without one had before, or a new local one."""
        return self._lost_macs.get(name) or f"02:{secrets.token_bytes(5).hex(':')}"

    def ports(self, name: str) -> list[Link]:
        """Return the ports of *name*, a bridge or a bond."""
        return [link for link in self.links.values() if link.master == name]

    def _name(self, number: int) -> str:
        if number in self.links:
            return self.links[number].name
        try:
            return socket.if_indextoname(number)
        except OSError:
            return ""

    def _drain(self) -> None:
        try:
            for kind, body in self.events.events():
                self._note(kind, body)
        except OSError as error:
            if not lost_events(error):
                raise
            self._stale = None
            self._drain()

    def _note(self, kind: int, body: bytes) -> None:
        if kind in (links.NEWLINK, links.DELLINK):
            family, number = struct.unpack_from("=B3xi", body, 16)
            if self._stale is not None:
                # What a bridge tells of its port (AF_BRIDGE) is not all that there is to tell of it.
                self._stale[number] = None if family else body
            if number in self._routed and not links.is_up(body):  # IPv4's routes go then without a word
                self._stale_routes = True
        elif kind in (addresses.NEWADDR, addresses.DELADDR):
            self._stale_addresses.add(struct.unpack_from("=I", body, 20)[0])
            self._stale_routes = True
        else:
            self._stale_routes = True

    def _dump(self) -> None:
        bodies = list(self._wire.ask(links.request(), dump=True))
        known = [links.index_and_name(body) for body in bodies]
        names = dict(known)
        pairs = zip(known, bodies, strict=True)
        before = self.links
        for old in before.values():
            self.replaced.setdefault(old.name, old)
        self.links = {number: links.observe(body, lambda number: names.get(number, "")) for (number, _), body in pairs}
        self._number, self._marked, self._others = {}, {}, set()
        for number, shown in self.links.items():
            self._index(number, shown)
        for number in self.links:
            self._complete(number)
        differ = [number for number in {*before, *self.links} if before.get(number) != self.links.get(number)]
        self._tell({link.key for links in (before, self.links) for number in differ if (link := links.get(number))})
        self._dump_addresses()
        self._stale_routes = True

    def _dump_addresses(self) -> None:
        before, self._addresses = self._addresses, {}
        for address in addresses.addresses(self._wire, self._name):
            self._addresses.setdefault(self._number.get(address.dev, 0), []).append(address)
        self._stale_addresses = set()
        was, now = ({one.key for some in found.values() for one in some} for found in (before, self._addresses))
        self._tell(was ^ now)

    def _read(self, number: int, body: bytes | None) -> None:
        """Take link *number* as *body* shows it, an RTM_NEWLINK or RTM_DELLINK, or as the kernel does when asked."""
        old = self.links.pop(number, None)
        if old:
            self.replaced.setdefault(old.name, old)
            self._forget(number, old)
        try:
            link = self._shown(number, body)
        except RefusedError:
            self._tell({one.key for one in self._addresses.pop(number, ())} | ({old.key} if old else set()))
            return
        if old and old.mac and link.mac == NO_MAC != old.mac:
            self._lost_macs[link.name] = old.mac
        self.links[number] = link
        self._index(number, link)
        self._complete(number)
        if number in self._routed and old and old.name != link.name:
            self._stale_routes = True
        if old != self.links[number]:
            self._tell({link.key, old.key} if old else {link.key})

    def _index(self, number: int, link: Link) -> None:
        self._number[link.name] = number
        if link.owner:
            self._marked.setdefault(link.owner, set()).add(number)
        if not link.owner.startswith("vm:"):
            self._others.add(number)
        if link.kind == "vrf":
            self._stale_routes = True

    def _forget(self, number: int, link: Link) -> None:
        if self._number.get(link.name) == number:
            del self._number[link.name]
        self._others.discard(number)
        if link.owner:
            self._marked[link.owner].discard(number)
            if not self._marked[link.owner]:
                del self._marked[link.owner]

    def _shown(self, number: int, body: bytes | None) -> Link:
        if body and links.is_gone(body):
            raise RefusedError(errno.ENODEV, "")
        link = links.observe(body, self._name) if body else None
        if link is None or isinstance(link, Veth):  # of a pair's first end the kernel tells before it has another
            (body,) = self._wire.ask(links.request(number))
            return links.observe(body, self._name)
        return link

    def _complete(self, number: int) -> None:
        """Add what RTM_NEWLINK does not tell: a port's VLANs, and whether the host has IPv6 on a guest's port."""
        link = self.links[number]
        more: dict[str, object] = {}
        if self._filters_vlans(link) or self._filters_vlans(self.link(link.master)):
            more["vids"], more["pvid"] = vlans.observe(self._wire, number)
        if isinstance(link, Vxlan):
            entered = {*fdb.remotes(self._wire, number)} - {link.svcnode}
            more["remotes"] = sorted_addresses(mark.ours(entered, link.marked) if link.owner else entered)
        if link.kind == "tap" or link.master or link.owner.startswith(("vm:", GUESTS)):
            more["disable_ipv6"] = ipv6.is_disabled(link.name)
        if more:
            self.links[number] = link.model_copy(update=more)

    def link(self, name: str | None) -> Link | None:
        """Return the link *name*, as last observed."""
        return self.links.get(self._number.get(name or "", 0))

    @staticmethod
    def _filters_vlans(link: Link | None) -> bool:
        return bool(getattr(link, "vlan_aware", False))

    def _read_addresses(self, number: int) -> None:
        before = self._addresses.pop(number, [])
        if number in self.links:
            self._addresses[number] = [*addresses.addresses(self._wire, self._name, number)]
        self._tell({one.key for one in before} ^ {one.key for one in self._addresses.get(number, ())})

    def _fresh_routes(self) -> list[Route]:
        if self._stale_routes:
            tables = {table for link in self.links.values() if (table := getattr(link, "table", 0))}
            before = self._routes
            self._routes = [*addresses.routes(self._wire, self._name, (MAIN_TABLE, *sorted(tables)))]
            if before != self._routes:
                self._tell({one.key for one in {*before} ^ {*self._routes}})
            self._routed = {self._number.get(route.dev, 0) for route in self._routes}
            self._stale_routes = False
            self._state = None
        return self._routes
