"""The kernel's links, addresses and routes, kept by notifications and read anew where they told of a change."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Collection

from pvenetd.drivers.netlink import addresses, fdb, links, vlans
from pvenetd.drivers.netlink.wire import RefusedError, Wire, lost_events
from pvenetd.kinds.link import Link
from pvenetd.kinds.vxlan import Vxlan, sorted_addresses
from pvenetd.resource import Key, Resource
from pvenetd.state import Address, Route

_GROUPS = (1, 5, 7, 9, 11)
"""RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE."""
NO_MAC = "00:00:00:00:00:00"
_MANY = 64
"""Changed links from which one dump costs less than a request each."""


class Mirror:
    """What the kernel has, fresh at every `refresh`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.events = Wire(_GROUPS)
        self.links: dict[int, Link] = {}
        self._number: dict[str, int] = {}
        self._addresses: dict[int, list[Address]] = {}
        self._routes: list[Route] = []
        self._stale: set[int] | None = None
        """Links to read again; None: all."""
        self._stale_addresses: set[int] = set()
        self._stale_routes = True
        self._lost_macs: dict[str, str] = {}

    def close(self) -> None:
        """Give the event socket back."""
        self.events.close()

    def refresh(self, names: Collection[str] = ()) -> None:
        """Bring the mirror up to date; *names* are read anew whatever the events say."""
        self._drain()
        for name in names:
            try:
                number = socket.if_nametoindex(name)
            except OSError:
                continue
            if self._stale is not None:
                self._stale.add(number)
                self._stale_addresses.add(number)
        if self._stale is None or len(self._stale) > _MANY:
            self._dump()
        else:
            for number in self._stale:
                self._read(number)
            if self._stale_addresses:
                self._stale_routes = True
            for number in self._stale_addresses:
                self._read_addresses(number)
        self._stale, self._stale_addresses = set(), set()

    def touch(self, name: str) -> None:
        """Have link *name* read again by the next `refresh`: something changed that no notification tells of."""
        if self._stale is not None and name in self._number:
            self._stale.add(self._number[name])

    def state(self) -> dict[Key, Resource]:
        """Return all of it as a State."""
        everything: list[Resource] = [*self.links.values()]
        everything += [address for found in self._addresses.values() for address in found]
        everything += self._fresh_routes()
        return {resource.key: resource for resource in everything}

    def some(self, keys: Collection[Key]) -> dict[Key, Resource]:
        """Return the links of *keys* alone: what a guest's plan needs, whatever else the host has."""
        found: dict[Key, Resource] = {}
        for key in keys:
            number = self._number.get(key[1]) if key[0] == "link" else None
            if number is not None:
                found[key] = self.links[number]
        return found

    def owned(self, owner: str) -> list[Key]:
        """Return the links that carry the mark of *owner*."""
        return [link.key for link in self.links.values() if link.owner == owner]

    def on(self, name: str) -> list[Resource]:
        """Return the addresses and routes of link *name*."""
        found: list[Resource] = [*self._addresses.get(self._number.get(name, 0), [])]
        return found + [route for route in self._fresh_routes() if route.dev == name]

    def bridge_mtus(self) -> dict[str, int]:
        """Return the MTU of each bridge that is ours."""
        bridges = (link for link in self.links.values() if link.kind == "bridge")
        return {bridge.name: bridge.mtu for bridge in bridges if bridge.owner and bridge.mtu}

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
            number = struct.unpack_from("=i", body, 20)[0]
            if self._stale is not None:
                self._stale.add(number)
            self._stale_routes = True
        elif kind in (addresses.NEWADDR, addresses.DELADDR):
            self._stale_addresses.add(struct.unpack_from("=I", body, 20)[0])
        else:
            self._stale_routes = True

    def _dump(self) -> None:
        bodies = list(self._wire.ask(links.request(), dump=True))
        known = [links.index_and_name(body) for body in bodies]
        names = dict(known)
        pairs = zip(known, bodies, strict=True)
        self.links = {number: links.observe(body, lambda number: names.get(number, "")) for (number, _), body in pairs}
        self._number = {link.name: number for number, link in self.links.items()}
        for number in self.links:
            self._complete(number)
        self._addresses = {}
        for address in addresses.addresses(self._wire, self._name):
            self._addresses.setdefault(self._number.get(address.dev, 0), []).append(address)
        self._stale_routes = True

    def _read(self, number: int) -> None:
        old = self.links.pop(number, None)
        if old and self._number.get(old.name) == number:
            del self._number[old.name]
        try:
            (body,) = self._wire.ask(links.request(number))
        except RefusedError:
            self._addresses.pop(number, None)
            return
        link = links.observe(body, self._name)
        if old and old.mac and link.mac == NO_MAC != old.mac:
            self._lost_macs[link.name] = old.mac
        self.links[number] = link
        self._number[link.name] = number
        self._complete(number)

    def _complete(self, number: int) -> None:
        """Add what RTM_NEWLINK does not tell: a port's VLANs, and whether the host has IPv6 on a guest's port."""
        link = self.links[number]
        more: dict[str, object] = {}
        if self._filters_vlans(link) or self._filters_vlans(self.link(link.master)):
            more["vids"], more["pvid"] = vlans.observe(self._wire, number)
        if isinstance(link, Vxlan):
            more["remotes"] = sorted_addresses(fdb.remotes(self._wire, number))
        if link.kind == "tap" or link.master:
            more["disable_ipv6"] = links.ipv6_disabled(link.name)
        if more:
            self.links[number] = link.model_copy(update=more)

    def link(self, name: str | None) -> Link | None:
        """Return the link *name*, as last observed."""
        return self.links.get(self._number.get(name or "", 0))

    @staticmethod
    def _filters_vlans(link: Link | None) -> bool:
        return bool(getattr(link, "vlan_aware", False))

    def _read_addresses(self, number: int) -> None:
        self._addresses.pop(number, None)
        if number in self.links:
            self._addresses[number] = [*addresses.addresses(self._wire, self._name, number)]

    def _fresh_routes(self) -> list[Route]:
        if self._stale_routes:
            self._routes = [*addresses.routes(self._wire, self._name)]
            self._stale_routes = False
        return self._routes
