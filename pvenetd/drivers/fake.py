"""A machine in memory that refuses what the kernel refuses, and takes along what the kernel takes along.

Tests run on it, and `tests/kernel` holds it to the real kernel: being kinder is a bug.
Sources: the kernel's net/core/rtnetlink.c, net/bridge/, drivers/net/bonding/, net/8021q/, net/ipv4/devinet.c.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable
from ipaddress import ip_interface
from typing import Any

from pvenetd.commands import Hook, Scripts
from pvenetd.drivers.fake_rules import (
    CARD,
    FIRST_VLAN,
    SETTINGS,
    STANDARD_MTU,
    clash,
    commands,
    first_mtu,
    in_order,
    left_of,
    link_of,
    of_the_host,
    reaches,
    shown,
    told,
    v4_on,
    v6_on,
)
from pvenetd.errors import KernelError
from pvenetd.kinds.bond import DELAYS, MODES, ONLY, Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethtool import Ethtool
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.tunnel import Tunnel
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vlan import Vlan
from pvenetd.kinds.vrf import Vrf
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.names import is_ifname
from pvenetd.pinned import Pinned
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.state import GUESTS, Address, Fdb, Route, State, Sysctl

_LEAST_DELAY = 2
"""Seconds: the smallest forward delay with STP on (IEEE 802.1D, BR_MIN_FORWARD_DELAY)."""


class _RefusedError(Exception):
    def __init__(self, number: int) -> None:
        self.errno = number


class Fake:
    """What a kernel would have become, and the commands that were run: `ran`."""

    def __init__(self, resources: Iterable[Resource] = (), sysctls: Iterable[str] = ()) -> None:
        loopback = [("127.0.0.1/8", "host"), ("::1/128", "host")]
        self._now: dict[Key, Resource] = {
            ("link", "lo"): Link.model_construct(kind="loopback", name="lo", up=True, mtu=65536, group=0),
            **{
                ("address", "lo", text): Address.model_construct(dev="lo", address=text, scope=scope)
                for text, scope in loopback
            },
            **{key: Sysctl.model_construct(name=key[1], value="0") for key in of_the_host(sysctls)},
        }
        self._own_mtu: set[str] = set()
        """Bridges whose MTU was set by hand: it no longer follows the ports."""
        self._seen: dict[str, Link] = {}
        self._changed: set[str] = set()
        """Links that have changed since `changed` was asked, and how they were last."""
        self.ran: list[tuple[str, str]] = []
        """(phase, command), in order."""
        for resource in resources:
            self._now[resource.key] = shown(resource)

    def observe(self, keys: Collection[Key] = (), *, only: bool = False, anew: Collection[Key] = ()) -> State:
        """Return what there is; sysctls that are not ours only where asked for."""
        untouched = {key: one for key in keys if key not in self._now and (one := self._untouched(key))}
        learning = {link.name for link in self._links() if link.learning}
        return untouched | {
            key: self._as_shown(resource) if isinstance(resource, Link) else resource
            for key, resource in self._now.items()
            if told(resource, keys, only=only, anew=anew)
            and not (isinstance(resource, Pinned) and resource.dev in learning)
        }

    def owned(self, owner: str) -> list[Key]:
        """Return the links marked as *owner*'s, and what a guest's port may have beside."""
        nouns = ("link", "rate", "pinned") if owner.startswith("vm:") else ("link",)
        return [(noun, link.name) for link in self._links() if link.owner == owner for noun in nouns]

    def changed(self) -> set[str]:
        """Return the names of links that came, went or changed since this was last asked."""
        self._note()
        found, self._changed = self._changed, set()
        return found

    def _note(self) -> None:
        before, self._seen = self._seen, {link.name: link for link in self._links()}
        self._changed |= {name for name in {*before, *self._seen} if before.get(name) != self._seen.get(name)}

    def counters(self, names: Collection[str]) -> dict[str, dict[str, int]]:
        """Return what links have counted: nothing ever passes here."""
        return {
            name: dict.fromkeys(("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"), 0)
            for name in names
            if ("link", name) in self._now
        }

    def disturbed(self) -> bool:
        """Return whether anybody but us may have changed nftables: a test that says so need not have told."""
        return True

    def appear(self, link: Link) -> None:
        """Have somebody else make *link*."""
        self._now[link.key] = shown(link)
        self._note()

    def vanish(self, name: str) -> None:
        """Have somebody else delete link *name*."""
        self._delete(self._link(name))
        self._note()

    def meddle(self, name: str, **values: Any) -> None:
        """Have somebody else change link *name*."""
        self._bring(self._link(name).model_copy(update=values))
        self._note()

    def apply(self, *ops: Op) -> None:
        """Carry out one operation, or several: all or none.  Raises `KernelError`."""
        before, own_mtu = dict(self._now), set(self._own_mtu)
        for op in ops:
            try:
                self._apply(op)
            except _RefusedError as refused:
                self._now, self._own_mtu = before, own_mtu
                raise KernelError(str(op), refused.errno, os.strerror(refused.errno)) from refused
        self._note()

    def _apply(self, op: Op) -> None:
        resource, key = op.resource, op.resource.key
        match resource:
            case Link() if op.verb == "-":
                self._remove_link(resource)
            case Link():
                if op.verb == "+":
                    self._make(resource)
                self._bring(resource)
            case Address() if op.verb == "-":
                self._remove_address(resource)
            case Address():
                self._bring_address(resource)
            case Route() if op.verb == "-":
                self._now.pop(key, None)
            case Route():
                self._bring_route(resource)
            case Sysctl():
                self._set_sysctl(op.verb, resource)
            case Ethtool() if op.verb != "-":
                self._set_card(resource)
            case _:
                self._keep(op)

    def _keep(self, op: Op) -> None:
        if isinstance(op.resource, Hook | Scripts):
            self.ran += commands(op, op.resource)
        if isinstance(op.resource, Pinned) and op.verb != "-":
            _refuse(errno.EOPNOTSUPP, unless=self._link(op.resource.dev).master == op.resource.bridge)
        if op.verb == "-":
            self._now.pop(op.resource.key, None)
        else:
            self._now[op.resource.key] = op.resource

    def _untouched(self, key: Key) -> Sysctl | Ethtool | None:
        """Return a link's setting, or its card's, that nobody has set: the card's as a veth's end has them."""
        if key[0] == "ethtool":
            link = self._now.get(("link", key[1]))
            known = CARD if getattr(link, "kind", "") in ("ethernet", "veth") else {}
            return Ethtool.model_construct(dev=key[1], **known) if link else None
        *_, dev, name = ("", *key[1].rsplit("/", 2))
        if key[0] != "sysctl" or "/conf/" not in key[1] or ("link", dev) not in self._now:
            return None
        return Sysctl.model_construct(name=key[1], value=SETTINGS[name], dev=dev)

    def _set_card(self, wanted: Ethtool) -> None:
        was = self._now.get(wanted.key) or self._untouched(wanted.key)
        if not isinstance(was, Ethtool):
            raise _RefusedError(errno.ENODEV)
        self._now[wanted.key] = wanted.filled(was).model_copy(update={"owner": "", "origin": ""})

    def _set_sysctl(self, verb: str, wanted: Sysctl) -> None:
        if verb == "-":
            self._now.pop(wanted.key, None)
            return
        _refuse(errno.ENOENT, unless=wanted.key in self._now or self._untouched(wanted.key) is not None)
        update = {"origin": "", "owner": wanted.owner if wanted.dev else ""}
        self._now[wanted.key] = wanted.model_copy(update=update)
        if wanted.name.endswith("/disable_ipv6") and wanted.value == "1":
            self._drop(key for key, one in self._now.items() if v6_on(one, wanted.dev))

    # Links.

    def _make(self, wanted: Link) -> None:
        there = self._now.get(wanted.key)
        if isinstance(wanted, Veth) and isinstance(there, Veth) and there.peer == wanted.peer:
            return
        _refuse(errno.EEXIST, unless=wanted.key not in self._now)
        _refuse(errno.EINVAL, unless=is_ifname(wanted.name))
        _refuse(errno.EOPNOTSUPP, unless=wanted.creatable)
        first = frozenset(type(wanted).model_fields) - {"remotes"} if wanted.telling == "all" else wanted.first
        fixed = {
            name: value
            for name, value in wanted
            if name in first | wanted.fixed | wanted.named | {"owner", "made_here"}
        }
        for other in self._links():
            _refuse(errno.EEXIST, unless=not clash(wanted, other))
        for lower in wanted.lower:
            self._link(lower)
        mtu = first_mtu(wanted)
        if wanted.like_lower:
            mtu = self._link(wanted.lower[0]).mtu or mtu
        kernels = {"miimon": 0} if isinstance(wanted, Bond) else {}
        values: dict[str, Any] = {**fixed, **kernels, "up": False, "mtu": mtu}
        self._now[wanted.key] = shown(type(wanted).model_construct(**values))
        if isinstance(wanted, Veth) and wanted.peer:
            _refuse(errno.EEXIST, unless=("link", wanted.peer) not in self._now)
            other = Veth.model_construct(name=wanted.peer, peer=wanted.name, up=False, mtu=mtu)
            self._now[other.key] = shown(other)

    def _bring(self, wanted: Link) -> None:
        carried = self._carried(wanted.name)
        self._change_in_place(wanted)
        self._give_back(carried if self._link(wanted.name).up else {})

    def _carried(self, name: str) -> dict[Key, Resource]:
        """Return addresses and routes of a link and of what stands on it, which it loses when a bond sets it down."""
        names = {name, *(link.name for link in self._links() if name in link.lower)}
        return {key: one for key, one in self._now.items() if isinstance(one, Address | Route) and one.dev in names}

    def _give_back(self, carried: dict[Key, Resource]) -> None:
        """Give a link its addresses and routes back, as the driver does."""
        self._now |= {
            key: one for key, one in carried.items() if key not in self._now and ("link", link_of(one)) in self._now
        }

    def _change_in_place(self, wanted: Link) -> None:
        there = self._link(wanted.name)
        told = {name: getattr(wanted, name) for name in wanted.port_only if getattr(wanted, name) is not None}
        wanted = wanted.filled(self._as_shown(there))
        changes = wanted.changes(self._as_shown(there))
        values: dict[str, Any] = {name: new for name, (_, new) in changes.items() if name not in wanted.follows}
        if "master" in values:
            self._free(there)
        if values.get("master"):
            self._enslave(there, values["master"])
            values |= told
        if not isinstance(self._now.get(("link", wanted.master or "")), Bridge) and not isinstance(there, Bridge):
            values = {name: value for name, value in values.items() if name not in there.port_only}
        if "mtu" in values:
            self._set_mtu(wanted.name, values["mtu"])
        for name in in_order(wanted, values.keys() - {"master", "mtu", "up"}):
            self._set(wanted.name, name, values[name])
        self._set_up(wanted.name, up=wanted.up)
        if wanted.owner and not wanted.creatable and not isinstance(there, Tap):
            self._change(wanted.name, made_here=False)  # so its mark says

    def _enslave(self, there: Link, to: str) -> None:
        master = self._link(to)
        _refuse(errno.EOPNOTSUPP, unless=isinstance(master, Bridge | Bond | Vrf))
        _refuse(errno.ELOOP, unless=there.name != master.name and there.kind != master.kind)
        self._change(there.name, master=master.name, **(FIRST_VLAN if isinstance(master, Bridge) else {}))
        if isinstance(master, Bond):
            self._set_up(there.name, up=False)
            self._set_mtu(there.name, master.mtu or STANDARD_MTU)
        self._follow(master.name)

    def _free(self, there: Link) -> None:
        """Take a port out of its bridge or bond; a bond sets it down."""
        self._drop(
            key
            for key, one in self._now.items()
            if isinstance(one, Fdb | Pinned) and one.dev == there.name and one.bridge
        )
        master = self._now.get(("link", there.master or ""))
        standard = {name: Link.model_fields[name].default for name in Link.port_only}
        self._change(there.name, master="", **standard)
        if isinstance(master, Bond):
            self._set_up(there.name, up=False)
        if isinstance(master, Link):
            self._follow(master.name)

    def _set(self, name: str, field: str, value: Any) -> None:
        there = self._link(name)
        if field in there.port_only - {"pvid", "vids"}:
            _refuse(errno.EOPNOTSUPP, unless=bool(there.master))
        if isinstance(there, Bridge):
            self._set_bridge(there, field, value)
        if isinstance(there, Bond):
            _refuse(errno.EPERM, unless=field not in DELAYS or there.miimon > 0)
            _refuse(errno.EPERM, unless=there.mode in ONLY.get(field, MODES))
            self._set_bond(there, field, value)
        if field == "disable_ipv6" and value:
            self._drop(key for key, one in self._now.items() if isinstance(one, Address | Route) and v6_on(one, name))
        if field == "vids" and isinstance(pinned := self._now.get(("pinned", name)), Pinned):
            self._drop([pinned.key])
            self._now |= left_of(pinned, value)
        self._change(name, **{field: value})

    def _set_bond(self, bond: Bond, field: str, value: Any) -> None:
        """Follow the kernel: one way to watch at a time, and delays are kept as multiples of miimon."""
        if field == "miimon":
            ratio = value / bond.miimon if bond.miimon else 0
            self._change(bond.name, **{name: int(getattr(bond, name) * ratio) for name in DELAYS})
            if value:
                self._change(bond.name, arp_interval=0, arp_validate="none")
        if field == "arp_interval" and value:
            self._change(bond.name, miimon=0, **dict.fromkeys(DELAYS, 0))

    def _set_bridge(self, bridge: Bridge, field: str, value: Any) -> None:
        if field == "stp" and value and bridge.forward_delay < _LEAST_DELAY:
            self._change(bridge.name, forward_delay=_LEAST_DELAY)
        if field == "forward_delay" and bridge.stp:
            _refuse(errno.ERANGE, unless=value >= _LEAST_DELAY)

    def _set_mtu(self, name: str, mtu: int) -> None:
        there = self._link(name)
        if there.like_lower:
            number = errno.ERANGE if isinstance(there, Vlan) else errno.EINVAL
            _refuse(number, unless=mtu <= (self._link(there.lower[0]).mtu or mtu))
        if isinstance(there, Vxlan) and there.physdev:
            _refuse(errno.EINVAL, unless=mtu + there.overhead <= (self._link(there.physdev).mtu or mtu))
        if isinstance(there, Bridge):
            self._own_mtu.add(name)
        self._change(name, mtu=mtu)
        for other in list(self._links()):
            if isinstance(there, Bond) and other.master == name:
                self._set_mtu(other.name, mtu)
            if other.like_lower and name in other.lower and (other.mtu or 0) > mtu:
                self._set_mtu(other.name, mtu)
        if there.master:
            self._follow(there.master)

    def _follow(self, name: str) -> None:
        """Give a bridge whose MTU nobody set its ports' smallest (br_mtu_auto_adjust()); ours is kept."""
        bridge = self._now.get(("link", name))
        if isinstance(bridge, Bridge) and not bridge.owner and name not in self._own_mtu:
            ports = [link.mtu or STANDARD_MTU for link in self._links() if link.master == name]
            self._change(name, mtu=min(ports, default=STANDARD_MTU))

    def _set_up(self, name: str, *, up: bool) -> None:
        there = self._link(name)
        if there.up == up:
            return
        if up and there.like_lower:
            _refuse(errno.ENETDOWN, unless=self._link(there.lower[0]).up)
        self._change(name, up=up)
        if not up:
            self._drop(key for key, one in self._now.items() if v6_on(one, name) and key[0] == "address")
            self._drop(key for key, one in self._now.items() if isinstance(one, Route) and one.dev == name)
        for other in list(self._links()):
            if isinstance(other, Vlan) and other.raw_device == name:
                self._set_up(other.name, up=up)

    def _remove_link(self, there: Link) -> None:
        if not there.deletable:
            if there.key in self._now:
                self._free(self._link(there.name))
                self._change(there.name, owner="")
                if isinstance(there, Tap):
                    self._set_up(there.name, up=False)
            return
        self._delete(self._link(there.name))

    def _delete(self, there: Link) -> None:
        slaves = [link for link in self._links() if link.master == there.name]
        for port in slaves:
            carried = self._carried(port.name)
            self._free(port)
            self._set_up(port.name, up=port.up)
            self._give_back(carried if port.up else {})
        gone = {there.key}
        while more := {key for key, one in self._now.items() if one.dies_with & gone} - gone:
            gone |= more
        self._drop(gone)
        for other in self._links():
            if isinstance(other, Tunnel) and ("link", other.physdev) in gone:
                self._change(other.name, physdev="")
        self._own_mtu.discard(there.name)
        self._follow(there.master or "")

    # Addresses and routes.

    def _bring_address(self, wanted: Address) -> None:
        link = self._link(wanted.dev)
        v6 = ip_interface(wanted.address).version == 6
        off = self._now.get(("sysctl", f"net/ipv6/conf/{wanted.dev}/disable_ipv6"))
        disabled = link.disable_ipv6 or (isinstance(off, Sysctl) and off.value == "1")
        _refuse(errno.EACCES, unless=not (v6 and disabled))
        there = self._now.get(wanted.key)
        if isinstance(there, Address):
            changeable = {"owner", "metric", "valid_lifetime", "preferred_lifetime", *({"nodad", "peer"} if v6 else ())}
            wanted = there.model_copy(update={name: getattr(wanted, name) for name in changeable})
        self._now[wanted.key] = shown(wanted)

    def _remove_address(self, there: Address) -> None:
        self._now.pop(there.key, None)
        if ":" not in there.address and not any(v4_on(one, there.dev) for one in self._now.values()):
            self._drop(
                key for key, one in self._now.items() if key[:2] == ("route", "inet") and link_of(one) == there.dev
            )

    def _bring_route(self, wanted: Route) -> None:
        link = self._link(wanted.dev)
        _refuse(errno.ENETDOWN, unless=link.up)
        if wanted.via and not wanted.onlink:
            near = any(reaches(one, wanted) for one in self._now.values())
            _refuse(errno.ENETUNREACH if wanted.family == "inet" else errno.EHOSTUNREACH, unless=near)
        self._now[wanted.key] = shown(wanted)

    # What there is.

    def _links(self) -> list[Link]:
        return [link for link in self._now.values() if isinstance(link, Link)]

    def _link(self, name: str) -> Link:
        link = self._now.get(("link", name))
        if not isinstance(link, Link):
            raise _RefusedError(errno.ENODEV)
        return link

    def _change(self, name: str, **values: Any) -> None:
        self._now["link", name] = self._link(name).model_copy(update=values)

    def _drop(self, keys: Iterable[Key]) -> None:
        for key in list(keys):
            self._now.pop(key, None)

    def _as_shown(self, link: Link) -> Link:
        """Return a link with what is asked: VLANs where the bridge filters, IPv6 where it may be a guest's port."""
        if link.kind != "tap" and not link.master and link.owner != GUESTS:
            link = link.model_copy(update={"disable_ipv6": None})
        bridge = link if isinstance(link, Bridge) else self._now.get(("link", link.master or ""))
        aware = isinstance(bridge, Bridge) and bridge.vlan_aware
        return link if aware else link.model_copy(update={"pvid": None, "vids": None})


def _refuse(number: int, *, unless: bool) -> None:
    if not unless:
        raise _RefusedError(number)
