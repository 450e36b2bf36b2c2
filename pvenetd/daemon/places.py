"""Zones as people name them → where that is: behind which port, in which bridge, by which of the host's interfaces.

``outside`` is behind the physical port of the other side's bridge; where that has none, behind the interface that has
the default route; where there is no uplink at all, it is taken to be in the other side's bridge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv6Interface

from pvenetd.errors import NotFound
from pvenetd.firewall.guard import is_lookalike
from pvenetd.firewall.ruleset import Span
from pvenetd.firewall.simulate import Place
from pvenetd.guests.guest import Guest
from pvenetd.guests.vlan_bridge import name_of
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.kinds.vlan import Vlan
from pvenetd.option import interface
from pvenetd.state import Address, Client, Route, State

ZONE = re.compile(r"outside|host|vm/(?P<vmid>[1-9]\d{2,8})(?:/net(?P<net>[0-9]|[12]\d|3[01]))?|bridge/(?P<bridge>\S+)")
UNTAGGED = 1
"""The VLAN of untagged frames on a VLAN-aware bridge, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What there is, as far as it says where somebody is."""

    state: State
    """As configured, and else as the kernel has it."""
    guests: Mapping[int, Guest]

    def places(self, start: str, end: str, version: int) -> tuple[Place, Place]:
        """Return where two zones are, for IP *version*.  Raises `NotFound`."""
        first = None if start == "outside" else self._place(start)
        last = None if end == "outside" else self._place(end)
        return first or self._outside(last, version), last or self._outside(first, version)

    def _place(self, zone: str) -> Place:
        found = ZONE.fullmatch(zone)
        if found and found["bridge"]:
            return self._on_bridge(zone, found["bridge"], None)
        if found and found["vmid"]:
            return self._nic(int(found["vmid"]), found["net"])
        return Place("host")

    def _nic(self, vmid: int, net: str | None) -> Place:
        guest = self.guests.get(vmid)
        if guest is None:
            raise NotFound(f"no guest {vmid}")
        wired = [index for index, nic in sorted(guest.nics.items()) if nic.bridge]
        index = int(net) if net else wired[0] if wired else -1
        if index not in wired:
            raise NotFound(
                f"guest {vmid} has no net{net} on a bridge" if net else f"guest {vmid} has no NIC on a bridge"
            )
        nic = guest.nics[index]
        place = self._on_bridge(f"vm/{vmid}/net{index}", nic.bridge or "", nic.tag)
        return replace(place, port=guest.device(index))

    def _on_bridge(self, zone: str, name: str, tag: int | None) -> Place:
        bridge = self.state.get(("link", name))
        if not isinstance(bridge, Bridge):
            # Nothing tells of it: taken for the usual one, which the host and its uplink are on.
            flat = name_of(name, tag) if tag else name
            return Place(zone, segment=(flat, 0), link=flat, at_uplink=True)
        at_uplink = bool(self._physical(bridge))
        if not bridge.vlan_aware:
            flat = name_of(name, tag) if tag else name
            return Place(zone, segment=(flat, 0), link=self._own(flat), at_uplink=at_uplink)
        vlan = tag or UNTAGGED
        return Place(zone, segment=(name, vlan), link=self._of_vlan(name, vlan), at_uplink=at_uplink)

    def _of_vlan(self, bridge: str, vlan: int) -> str:
        """Return the host's own interface in a VLAN of a bridge, nothing where it has none."""
        if vlan == UNTAGGED:
            return self._own(bridge)
        tagged = (
            one.name
            for one in self.state.values()
            if isinstance(one, Vlan) and (one.raw_device, one.vlan_id) == (bridge, vlan)
        )
        return next((name for name in tagged if self._own(name)), "")

    def _own(self, link: str) -> str:
        """Return *link* where the host has an address on it, or asks for one."""
        asks = any(isinstance(one, Client) and one.iface == link and not one.stateless for one in self.state.values())
        return link if asks or any(self.addresses(link)) else ""

    def _physical(self, bridge: Bridge) -> list[str]:
        """Return the ports of a bridge that are no guest's."""
        names = {*bridge.ports}
        names |= {one.name for one in self.state.values() if isinstance(one, Link) and one.master == bridge.name}
        return sorted(name for name in names if not is_lookalike(name))

    def _outside(self, other: Place | None, version: int) -> Place:
        if other and other.at_uplink:
            return replace(other, zone="outside", port="")
        family = "inet6" if version == 6 else "inet"
        dev = self.uplink(family)
        if not dev and other and other.segment[0]:
            return replace(other, zone="outside", port="", at_uplink=True)
        dev = dev or min((one.name for one in self.state.values() if isinstance(one, Bridge)), default="")
        if not dev:
            raise NotFound("no uplink: no default route, and no bridge")
        link = self.state.get(("link", dev))
        if isinstance(link, Bridge):
            return replace(self._on_bridge("outside", dev, None), at_uplink=True)
        if isinstance(link, Vlan) and isinstance(self.state.get(("link", link.raw_device)), Bridge):
            return Place("outside", segment=(link.raw_device, link.vlan_id), link=dev, at_uplink=True)
        return Place("outside", link=dev, at_uplink=True)

    def uplink(self, family: str = "inet") -> str:
        """Return the link that leads outside: the default route's, else a bridge with a physical port, or nothing."""
        routes = [one for one in self.state.values() if isinstance(one, Route) and one.dst == "default"]
        routes.sort(key=lambda one: (one.family != family, one.metric))
        bridges = [one.name for one in self.state.values() if isinstance(one, Bridge) and self._physical(one)]
        return next((one.dev for one in routes), "") or min(bridges, default="")

    def addresses(self, link: str = "") -> Iterator[IPv4Interface | IPv6Interface]:
        """Yield the host's own addresses, those of one *link*, but for link-local ones."""
        for one in self.state.values():
            if isinstance(one, Address) and link in ("", one.dev):
                found = interface(one.address)
                if not found.is_link_local:
                    yield found

    def network(self, link: str, version: int) -> Span | None:
        """Return the addresses of the network on one of the host's links, None where it has none, or no link there."""
        addresses = self.addresses(link) if link else ()
        found = next((one.network for one in addresses if one.version == version), None)
        return Span(int(found[0]), int(found[-1])) if found else None

    def networks(self) -> dict[str, list[tuple[int, int, int]]]:
        """Return each link's networks: IP version, first and last address."""
        found: dict[str, list[tuple[int, int, int]]] = {}
        for one in self.state.values():
            if isinstance(one, Address):
                network = interface(one.address).network
                found.setdefault(one.dev, []).append((network.version, int(network[0]), int(network[-1])))
        return found

    def alone(self) -> dict[str, Place]:
        """Return the guest's NIC that is the only one on one of the host's links, by the link."""
        every = [
            self._nic(vmid, str(index))
            for vmid, guest in self.guests.items()
            for index, nic in guest.nics.items()
            if nic.bridge
        ]
        links = Counter(place.link for place in every)
        return {place.link: place for place in every if links[place.link] == 1 and not place.at_uplink}
