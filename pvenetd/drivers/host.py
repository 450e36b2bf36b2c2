"""The machine: one `observe` and one `apply` over all drivers."""

from __future__ import annotations

import errno
import logging
from collections.abc import Collection, Sequence

from pvenetd.commands import Hook, Scripts
from pvenetd.drivers import conntrack, nft
from pvenetd.drivers.clients import Clients
from pvenetd.drivers.files import Files
from pvenetd.drivers.hooks import Hooks
from pvenetd.drivers.iptables import Iptables, clear
from pvenetd.drivers.netlink import addresses, entries, links, lookup
from pvenetd.drivers.netlink.counters import counters
from pvenetd.drivers.netlink.ethtool import Cards
from pvenetd.drivers.netlink.mirror import NO_MAC, Mirror
from pvenetd.drivers.netlink.wire import RefusedError, Wire
from pvenetd.drivers.resolver import Resolver
from pvenetd.drivers.sysctl import Settings
from pvenetd.errors import KernelError
from pvenetd.firewall.flow import Flow
from pvenetd.firewall.tally import Tally
from pvenetd.forwarding import Heard
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethtool import Ethtool
from pvenetd.kinds.link import Link, wants_down
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vlan import Vlan
from pvenetd.management import Way
from pvenetd.nat import flows, rules
from pvenetd.pinned import Pinned
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.shaping import Rate
from pvenetd.state import Address, Chains, Client, Dns, Fdb, Route, State, Sysctl

log = logging.getLogger("pvenetd.host")

_IPTABLES = "run/pvenetd/iptables"
"""There while iptables may have something of ours."""


class Host:
    """The kernel of the network namespace this runs in, and the user's commands.

    Used by one thread; only the engine's.
    """

    def __init__(self, files: Files, dhcp_client: str = "auto", backend: str = "nftables") -> None:
        self._wire = Wire()
        self._mirror = Mirror(self._wire)
        self._files = files
        self._rules: nft.Nftables | Iptables = nft.Nftables()
        if backend == "iptables":
            self._rules = Iptables(self._rules, self._note_iptables)
        self._hooks = Hooks(files)
        self._settings = Settings(files)
        self._cards = Cards()
        self._clients = Clients(files, dhcp_client)
        self._resolver = Resolver(files)
        self.events = self._mirror.events.socket
        """Readable when a link, an address or a route has changed."""
        self.news = self._mirror.news
        """Readable while something has changed that `changed` has not told of yet."""
        self.rule_events = nft.events()
        """Readable when somebody has changed nftables, we ourselves too."""

    def _note_iptables(self) -> None:
        """Write down that iptables has something of ours: gone after a boot, as that is."""
        if self._files.read(_IPTABLES) is None:
            self._files.put(_IPTABLES, b"")

    def leave_iptables(self) -> None:
        """Take away what the iptables backend has left: another one has loaded its own rules.  Raises `KernelError`."""
        if isinstance(self._rules, nft.Nftables) and self._files.read(_IPTABLES) is not None:
            clear()
            self._files.put(_IPTABLES, None)

    def close(self) -> None:
        """Give the sockets back."""
        self._mirror.close()
        self._cards.close()
        self.rule_events.close()
        self._wire.close()

    def observe(self, keys: Collection[Key] = (), *, only: bool = False, anew: Collection[Key] = ()) -> State:
        """Return what there is, the sysctls among *keys* too; *anew* are read even where no event told of a change.

        With *only*, nothing but *keys*: what it costs does not depend on what else the host has.
        Raises `KernelError`.
        """
        try:
            return self._observe(keys, only=only, anew=anew)
        except RefusedError as refused:
            raise KernelError("looking at the host", refused.errno, refused.reason) from refused

    def _observe(self, keys: Collection[Key], *, only: bool, anew: Collection[Key]) -> State:
        nft.drain(self.rule_events)
        self._mirror.refresh(key for key in anew if key[0] in ("link", "address"))
        chains = self._rules.observe([key[1] for key in keys if key[0] == "chains"] if only else None)
        if only:
            found = {**self._mirror.some(keys), **chains, **self._settings.observe(keys, ours=False)}
            found |= self._cards.observe(keys) | self._mirror.beside(keys)
            found = {key: one for key, one in found.items() if key in keys or one.noun == "link"}
            return found | self._mirror.tables(keys)
        others = {
            **self._cards.observe(keys),
            **self._clients.observe(),
            **self._resolver.observe(),
            **self._hooks.observe(),
            **self._mirror.tables(keys),
            **self._mirror.beside(anew),  # a guest's own affair, as long as nobody has touched it
        }
        return {**self._mirror.state(), **chains, **self._settings.observe(keys), **others}

    def way(self, peer: str, local: str) -> Way | None:
        """Return how the kernel sends packets from *local* to *peer*, None where it does not."""
        return lookup.way(self._wire, peer, local)

    def owned(self, owner: str) -> list[Key]:
        """Return the links and chains marked as *owner*'s, by the last observation."""
        return self._mirror.owned(owner)

    def changed(self) -> set[Key]:
        """Return the keys of links, addresses and routes that came, went or changed since this was last asked."""
        try:
            self._mirror.refresh()
            return self._mirror.changed()
        except RefusedError as refused:
            raise KernelError("looking at the host", refused.errno, refused.reason) from refused

    def disturbed(self) -> bool:
        """Return whether anybody but us has changed nftables since this was last asked."""
        return self._rules.disturbed()

    def counters(self, names: Collection[str]) -> dict[str, dict[str, int]]:
        """Return what links have counted, those of *names* that are there: ``rx_bytes`` and its like."""
        try:
            return counters(self._wire, self._mirror.numbers(names))
        except RefusedError as refused:
            raise KernelError("reading counters", refused.errno, refused.reason) from refused

    def forwarding(self) -> tuple[Heard, ...]:
        """Return the forwarding tables of bridges and VXLANs."""
        try:
            return self._mirror.forwarding()
        except RefusedError as refused:
            raise KernelError("reading forwarding tables", refused.errno, refused.reason) from refused

    def tallies(self, pieces: Collection[str]) -> tuple[Tally, ...]:
        """Return what the rules of *pieces* that are loaded have counted."""
        return self._rules.tallies(pieces)

    def lacking(self, abilities: Collection[str]) -> frozenset[str]:
        """Return those of *abilities* (`firewall.abilities`) that this kernel does not have."""
        return self._rules.lacking(abilities)

    def cut(self, flows: Collection[Flow], *, at_host: bool) -> int:
        """Forget connections, and have answers refused, *at_host* or at guests' ports; return how many there were.

        Raises `KernelError`.
        """
        try:
            if isinstance(self._rules, nft.Nftables):
                self._rules.refuse(flows, at_host=at_host)
            return conntrack.delete(flows)
        except OSError as error:
            raise KernelError("cutting connections", error.errno or 0, error.strerror or str(error)) from error

    def apply(self, *ops: Op) -> None:
        """Carry out one operation, or several deletions of links, or loads of guests' chains, at once: all or none.

        Raises `KernelError`.
        """
        try:
            if len(ops) == 1:
                self._apply(ops[0])
            elif ops[0].is_guests_chains:
                self._rules.apply(*ops)
            else:
                self._apply_links("-", [op.resource for op in ops if isinstance(op.resource, Link)])
        except RefusedError as refused:
            raise KernelError(", ".join(map(str, ops)), refused.errno, refused.reason) from refused

    def _apply(self, op: Op) -> None:
        resource = op.resource
        match resource:
            case Link():
                self._apply_links(op.verb, [resource])
            case Address() | Route():
                self._apply_layer3(op, resource)
            case Chains():
                self._bring_chains(op, resource)
            case Hook() | Scripts():
                self._hooks.apply(op)
            case Ethtool():
                self._cards.apply(op.verb, resource)
            case Client():
                self._clients.apply(op)
            case Dns():
                self._resolver.apply(op)
            case Fdb() | Rate() | Pinned():
                self._apply_to_port(op.verb, resource)
            case _:
                self._settings.apply(op)
                if isinstance(resource, Sysctl) and resource.silences_link_local and op.verb != "-":
                    addresses.remove_link_local(self._wire, resource.dev)

    def _bring_chains(self, op: Op, wanted: Chains) -> None:
        """Bring a piece; of NAT's, take the connections back that are not to be forwarded any more."""
        there = self._rules.observe([wanted.name]).get(wanted.key) if wanted.name == rules.PIECE else None
        self._rules.apply(op)
        if wanted.name == rules.PIECE:
            was = flows.forwarded(there.text if there else "")
            now = flows.forwarded(wanted.text if op.verb != "-" else "")
            if was != now:
                _forget(was - now, now - was)

    def _apply_to_port(self, verb: str, resource: Fdb | Rate | Pinned) -> None:
        if isinstance(resource, Fdb):
            entries.apply(self._wire, verb, resource)
        else:
            self._mirror.refresh()
            self._mirror.bring_beside(verb, resource)

    def _apply_layer3(self, op: Op, resource: Address | Route) -> None:
        match resource:
            case Address() if op.verb == "-":
                addresses.remove_address(self._wire, resource)
            case Address():
                addresses.bring_address(self._wire, resource, metric_changed="metric" in op.changes)
            case Route() if op.verb == "-":
                addresses.remove_route(self._wire, resource)
            case Route():
                addresses.bring_route(self._wire, resource)

    def _apply_links(self, verb: str, wanted: Sequence[Link]) -> None:
        self._mirror.refresh()
        self._mirror.replaced.clear()
        if verb == "-":
            self._remove(wanted)
        else:
            for link in wanted:
                self._give_mac(link)
                if verb == "+" and not self._came_with_its_peer(link):
                    links.make(self._wire, link, self._lent_mac(link))
                self._bring(link, made=verb == "+")
        self._keep_mtus({link.name for link in wanted})

    def _came_with_its_peer(self, wanted: Link) -> bool:
        there = self._mirror.link(wanted.name)
        return isinstance(wanted, Veth) and isinstance(there, Veth) and there.peer == wanted.peer

    def _lent_mac(self, wanted: Link) -> str:
        """Return the MAC to make a bridge or bond with: its own, or its port's; empty where there is none to have."""
        if wanted.mac and isinstance(wanted, Bridge | Bond):
            return wanted.mac
        lender = next(filter(None, map(self._mirror.link, wanted.mac_of)), None)
        if not lender or lender.mac == NO_MAC:
            return ""
        taken = isinstance(wanted, Bond) and getattr(self._mirror.link(lender.master or ""), "kind", "") == "bond"
        return "" if taken else lender.mac or ""  # a slave shows its bond's, which that one keeps

    def _give_mac(self, wanted: Link) -> None:
        """Give a bridge the MAC back that its last port took along: no VLAN of it or on it comes up without."""
        bridge = self._mirror.link(wanted.raw_device if isinstance(wanted, Vlan) else wanted.name)
        if bridge and bridge.kind == "bridge" and bridge.mac == NO_MAC and (bridge.name != wanted.name or wanted.vids):
            links.bring(self._wire, bridge, {"mac": self._mirror.last_mac(bridge.name)}, flap=False)

    def _keep_mtus(self, changed: Collection[str]) -> None:
        """Give our other bridges their MTU back: one that nobody set follows the ports as they come and go."""
        self._mirror.refresh(but=changed)
        for name, was in self._mirror.replaced.items():
            bridge = self._mirror.link(name)
            if bridge and bridge.kind == "bridge" and was.owner and name not in changed and bridge.mtu != was.mtu:
                links.bring(self._wire, bridge, {"mtu": was.mtu}, flap=False)

    def _bring(self, wanted: Link, *, made: bool = False) -> None:
        """Change a link that is there, even if it was just *made*, in what differs now."""
        there = self._there(wanted.name, anew=not made and not wanted.owner.startswith("vm:"))
        old, new = there.master, wanted.filled(there).master
        kept: list[Resource] = []
        if old != new and getattr(self._mirror.link(old), "kind", "") == "bond":
            kept = self._mirror.on(wanted.name)
            links.bring(self._wire, there, {"master": ""}, flap=False)
            there = self._there(wanted.name)  # a bond gives a slave its first MTU and MAC back
        values = links.told(wanted, wanted.changes(there))
        master = getattr(self._mirror.link(new), "kind", "")
        if master == "bridge" and "master" in values:
            values = links.of_a_port(wanted) | values
        elif master != "bridge" and wanted.kind != "bridge":  # what it was told as a port went with its bridge
            values = {name: value for name, value in values.items() if name not in wanted.port_only}
        wanted = wanted.filled(there)
        must_be_down = wants_down(wanted, values)
        flap = must_be_down or bool(values.get("master") and master == "bond")
        kept = kept or (self._mirror.on(wanted.name) if flap else [])
        if "master" in values and "vrf" in (master, getattr(self._mirror.link(old), "kind", "")):
            kept = [one for one in self._mirror.on(wanted.name) if isinstance(one, Address)]  # it is down for a moment
        if values.get("vids") is not None and not there.learning:
            self._mirror.unpin(there, wanted.vids or "")
        links.bring(self._wire, wanted, values, flap=flap, remotes=getattr(there, "remotes", ()))
        if "remotes" in values:
            self._mirror.touch(wanted.name)
        if kept:
            self._give_back(wanted.name, kept)

    def _give_back(self, name: str, kept: Collection[Resource]) -> None:
        """Put back what link *name* has lost of *kept* while it was down."""
        self._mirror.refresh([("link", name), ("address", name)])
        there_now = self._mirror.on(name)
        for lost in (one for one in kept if one not in there_now):
            self._apply(Op("+", lost))

    def _there(self, name: str, *, anew: bool = True) -> Link:
        self._mirror.refresh([("link", name)] if anew else [])  # of what is new, and of a guest's port, events tell all
        if link := self._mirror.link(name):
            return link
        raise RefusedError(errno.ENODEV, "")

    def _remove(self, there: Sequence[Link]) -> None:
        """Delete links or let go of one; what a bond sets down then, or a VRF for a moment, is put back."""
        names = {link.name for link in there}
        bonds = [link.name for link in there if link.kind == "bond"]
        slaves = [slave for bond in bonds for slave in self._mirror.ports(bond) if slave.name not in names]
        vrfs = [link.name for link in there if link.kind == "vrf"]
        members = [member.name for vrf in vrfs for member in self._mirror.ports(vrf) if member.name not in names]
        kept = {name: [one for one in self._mirror.on(name) if isinstance(one, Address)] for name in members}
        carried = {slave.name: self._mirror.on(slave.name) for slave in slaves}
        links.remove(self._wire, there)
        for name, addresses_then in kept.items():
            self._give_back(name, addresses_then)
        self._mirror.refresh(slave.key for slave in slaves)
        for slave in slaves:
            self._bring(slave.model_copy(update={"master": "", "mac": None}))  # the bond gave it its own MAC back
            if slave.up and carried[slave.name]:
                self._give_back(slave.name, carried[slave.name])


def _forget(gone: Collection[flows.Forwarded], come: Collection[flows.Forwarded]) -> None:
    """Have the kernel forget connections that the change of forwards is about; failing that, they end by themselves."""
    try:
        count = conntrack.forget(lambda one: flows.outdated(one, gone, come))
    except OSError as error:
        log.warning("connections of forwards that are gone go on: %s", error.strerror)
    else:
        if count:
            log.info("connections that are forwarded otherwise now, and were taken back: %d", count)
