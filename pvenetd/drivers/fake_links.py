"""The links of the fake machine: made, changed and deleted as the kernel does it, with all that goes along.

Sources: the kernel's net/core/rtnetlink.c, net/bridge/, drivers/net/bonding/, net/8021q/.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any

from pvenetd.drivers.fake_rules import (
    FIRST_VLAN,
    STANDARD_MTU,
    clash,
    first_mtu,
    in_order,
    left_of,
    link_of,
    shown,
    v6_on,
)
from pvenetd.kinds.bond import DELAYS, MODES, ONLY, Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.tunnel import Tunnel
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vlan import Vlan
from pvenetd.kinds.vrf import Vrf
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.names import is_ifname
from pvenetd.pinned import Pinned
from pvenetd.resource import Key, Resource
from pvenetd.state import GUESTS, Address, Fdb, Route

_LEAST_DELAY = 2
"""Seconds: the smallest forward delay with STP on (IEEE 802.1D, BR_MIN_FORWARD_DELAY)."""


class RefusedError(Exception):
    """The kernel would have refused it, with this errno."""

    def __init__(self, number: int) -> None:
        self.errno = number


class Links:
    """What there is, and what becomes of links."""

    def __init__(self) -> None:
        self._now: dict[Key, Resource] = {}
        self._own_mtu: set[str] = set()
        """Bridges whose MTU was set by hand: it no longer follows the ports."""

    def _make(self, wanted: Link) -> None:
        there = self._now.get(wanted.key)
        if isinstance(wanted, Veth) and isinstance(there, Veth) and there.peer == wanted.peer:
            return
        refuse(errno.EEXIST, unless=wanted.key not in self._now)
        refuse(errno.EINVAL, unless=is_ifname(wanted.name))
        refuse(errno.EOPNOTSUPP, unless=wanted.creatable)
        first = frozenset(type(wanted).model_fields) - {"remotes"} if wanted.telling == "all" else wanted.first
        fixed = {
            name: value
            for name, value in wanted
            if name in first | wanted.fixed | wanted.named | {"owner", "made_here"}
        }
        for other in self._links():
            refuse(errno.EEXIST, unless=not clash(wanted, other))
        for lower in wanted.lower:
            self._link(lower)
        mtu = first_mtu(wanted)
        if wanted.like_lower:
            mtu = self._link(wanted.lower[0]).mtu or mtu
        kernels = {"miimon": 0} if isinstance(wanted, Bond) else {}
        values: dict[str, Any] = {**fixed, **kernels, "up": False, "mtu": mtu}
        self._now[wanted.key] = shown(type(wanted).model_construct(**values))
        if isinstance(wanted, Veth) and wanted.peer:
            refuse(errno.EEXIST, unless=("link", wanted.peer) not in self._now)
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
        refuse(errno.EOPNOTSUPP, unless=isinstance(master, Bridge | Bond | Vrf))
        refuse(errno.ELOOP, unless=there.name != master.name and there.kind != master.kind)
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
            refuse(errno.EOPNOTSUPP, unless=bool(there.master))
        if isinstance(there, Bridge):
            self._set_bridge(there, field, value)
        if isinstance(there, Bond):
            refuse(errno.EPERM, unless=field not in DELAYS or there.miimon > 0)
            refuse(errno.EPERM, unless=there.mode in ONLY.get(field, MODES))
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
            refuse(errno.ERANGE, unless=value >= _LEAST_DELAY)

    def _set_mtu(self, name: str, mtu: int) -> None:
        there = self._link(name)
        if there.like_lower:
            number = errno.ERANGE if isinstance(there, Vlan) else errno.EINVAL
            refuse(number, unless=mtu <= (self._link(there.lower[0]).mtu or mtu))
        if isinstance(there, Vxlan) and there.physdev:
            refuse(errno.EINVAL, unless=mtu + there.overhead <= (self._link(there.physdev).mtu or mtu))
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
            refuse(errno.ENETDOWN, unless=self._link(there.lower[0]).up)
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

    # What there is.

    def _links(self) -> list[Link]:
        return [link for link in self._now.values() if isinstance(link, Link)]

    def _link(self, name: str) -> Link:
        link = self._now.get(("link", name))
        if not isinstance(link, Link):
            raise RefusedError(errno.ENODEV)
        return link

    def _change(self, name: str, **values: Any) -> None:
        self._now["link", name] = self._link(name).model_copy(update=values)

    def _drop(self, keys: Iterable[Key]) -> None:
        for key in list(keys):
            self._now.pop(key, None)

    def _as_shown(self, link: Link) -> Link:
        """Return a link with what is asked: VLANs where the bridge filters, IPv6 where it may be a guest's port."""
        if link.kind != "tap" and not link.master and not link.owner.startswith(("vm:", GUESTS)):
            link = link.model_copy(update={"disable_ipv6": None})
        bridge = link if isinstance(link, Bridge) else self._now.get(("link", link.master or ""))
        aware = isinstance(bridge, Bridge) and bridge.vlan_aware
        return link if aware else link.model_copy(update={"pvid": None, "vids": None})


def refuse(number: int, *, unless: bool) -> None:
    """Refuse with errno *number*, unless it is allowed.  Raises `RefusedError`."""
    if not unless:
        raise RefusedError(number)
