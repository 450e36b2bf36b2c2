"""What the fake machine knows of each resource by itself: what the kernel makes of it, and takes only one of."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from pvenetd.commands import Hook, Scripts
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethtool import Ethtool
from pvenetd.kinds.geneve import Geneve
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.tunnel import Tunnel
from pvenetd.kinds.vlan import Vlan
from pvenetd.kinds.vrf import Vrf
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.option import join_vlans, vlan_ids
from pvenetd.pinned import Pinned
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.shaping import Rate
from pvenetd.state import Address, Fdb, Route, Sysctl

FIRST_VLAN = {"pvid": 1, "vids": "1"}
"""What a bridge and each of its ports has of itself (br_vlan_init(), nbp_vlan_init())."""
STANDARD_MTU = 1500
CARD: dict[str, Any] = {"rx": True, "tx": True, "sg": True, "tso": True, "gso": True, "gro": False}
"""What ethtool(8) shows of a veth's end."""
SETTINGS = {
    "forwarding": "0",
    "arp_accept": "0",
    "arp_ignore": "0",
    "rp_filter": "0",
    "disable_ipv6": "0",
    "accept_ra": "1",
    "autoconf": "1",
    "use_tempaddr": "0",
    "addr_gen_mode": "0",
    "input": "0",
}
"""What a new link's settings are."""


def shown(resource: Resource) -> Resource:
    """Return it as a kernel tells of it: nothing of what only a configuration says."""
    told: dict[str, Any] = {"origin": ""}
    match resource:
        case Address():
            told["scope"] = resource.scope or "global"
        case Route():
            told["onlink"] = bool(resource.onlink)
        case Link():
            told |= {"group": resource.group or 0, "master": resource.master or ""}
            told["mtu"] = resource.mtu or first_mtu(resource)
            told["mac"] = resource.mac or made_up_mac(resource.name)
            if isinstance(resource, Bridge) and resource.vids is None:
                told |= FIRST_VLAN
            if isinstance(resource, Tap):
                told["multi_queue"] = bool(resource.multi_queue)
    return resource.model_copy(update=told)


def told(resource: Resource, keys: Collection[Key], *, only: bool, anew: Collection[Key]) -> bool:
    """Return whether who asks for *keys* is told of *resource*: what costs a question is told only where asked for."""
    key = resource.key
    if isinstance(resource, Rate | Pinned):
        return key in (keys if only else anew) or (key[0] == "pinned" and ("fdb", key[1]) in keys)
    others = isinstance(resource, Fdb) or (isinstance(resource, Sysctl | Ethtool) and not resource.owner)
    if key in keys or key[:2] in keys or not (only or others):
        return True
    if not isinstance(resource, Link) or resource.owner.startswith("vm:"):
        return False
    vlan = str(getattr(resource, "vlan_id", ""))
    return not {("links", ""), ("ports", resource.master or ""), ("vlans", vlan)}.isdisjoint(keys)


def left_of(pinned: Pinned, vids: str) -> dict[Key, Resource]:
    """Return what is left of *pinned* when its port has no VLANs but *vids*."""
    left = join_vlans(*map(str, vlan_ids(pinned.vids) & vlan_ids(vids)))
    return {pinned.key: pinned.model_copy(update={"vids": left})} if left or not pinned.vids else {}


def first_mtu(link: Link) -> int:
    """Return what the kernel gives a link of this kind."""
    return type(link).model_fields["mtu"].default or STANDARD_MTU


def made_up_mac(name: str) -> str:
    """Return the MAC of a link that was given none."""
    return "02:00:" + zlib.crc32(name.encode()).to_bytes(4, "big").hex(":")


def clash(wanted: Link, other: Link) -> bool:
    """Return whether the kernel takes only one of the two."""
    match wanted, other:
        case Vlan(), Vlan():
            return (wanted.raw_device, wanted.vlan_id, wanted.protocol) == (
                other.raw_device,
                other.vlan_id,
                other.protocol,
            )
        case Vxlan(), Vxlan():
            return (wanted.vni, wanted.dstport, wanted.over_ipv6, wanted.gbp) == (
                other.vni,
                other.dstport,
                other.over_ipv6,
                other.gbp,
            )
        case Geneve(), Geneve():
            return (wanted.vni, wanted.dstport, wanted.remote) == (other.vni, other.dstport, other.remote)
        case Tunnel(), Tunnel():
            ends = ("kind", "local", "remote", "physdev", "ikey")
            return all(getattr(wanted, name, None) == getattr(other, name, None) for name in ends)
        case Vrf(), Vrf():
            return wanted.table == other.table
    return False


def in_order(link: Link, names: Iterable[str]) -> list[str]:
    """Return *names* in the order of *link*'s fields."""
    place: Callable[[str], int] = list(type(link).model_fields).index
    return sorted(names, key=place)


def link_of(resource: Resource) -> str:
    """Return the link that *resource* is on, empty where it is on none."""
    return resource.dev if isinstance(resource, Address | Route) else ""


def v6_on(resource: Resource, dev: str) -> bool:
    """Return whether *resource* is IPv6 on *dev*."""
    text = resource.address if isinstance(resource, Address) else ""
    return link_of(resource) == dev and (":" in text or getattr(resource, "family", "") == "inet6")


def v4_on(resource: Resource, dev: str) -> bool:
    """Return whether *resource* is an IPv4 address of *dev*."""
    return isinstance(resource, Address) and resource.dev == dev and ":" not in resource.address


def reaches(resource: Resource, route: Route) -> bool:
    """Return whether *resource* is an address by which *route*'s gateway is reached."""
    if not isinstance(resource, Address) or resource.dev != route.dev or not route.via:
        return False
    gateway = ip_address(route.via)
    network = ip_network(resource.peer) if resource.peer else ip_interface(resource.address).network
    return gateway.is_link_local or (gateway.version == network.version and gateway in network)


def commands(op: Op, resource: Hook | Scripts) -> Iterable[tuple[str, str]]:
    """Return the (phase, command) that *op* runs, in order."""
    if isinstance(resource, Scripts):
        return [(op.verb, resource.describe())]
    return resource.undo if op.verb == "-" else resource.run


def of_the_host(sysctls: Iterable[str]) -> list[Key]:
    """Return the keys of *sysctls* that are not an interface's."""
    return [("sysctl", name) for name in sysctls if "/conf/" not in name or "/all/" in name]
