"""Random States whose parts fit each other, as the checks of a configuration let them through."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.dummy import Dummy
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import Link
from pvenetd.kinds.vlan import Vlan
from pvenetd.kinds.vxlan import Vxlan
from pvenetd.resource import Resource
from pvenetd.state import INTERFACES, Address, Route, State, state

NICS = ("eno1", "eno2", "eno3")
_MTU = st.sampled_from([1500, 9000])


def _ours(**values: Any) -> dict[str, Any]:
    return {**values, "owner": INTERFACES}


@st.composite
def wanted_states(draw: st.DrawFn, *, full: bool = True) -> State:
    """Draw a State; without *full*, of what a kernel without VLANs, bonds and dummies has."""
    bridges = [_bridge(draw, name, full=full) for name in ("vmbr0", "vmbr1") if draw(st.booleans())]
    bonds = [_bond(draw)] if full and draw(st.booleans()) else []
    free = [*bonds, *(Ethernet(**_ours(name=name, mtu=draw(_MTU))) for name in NICS if draw(st.booleans()))]
    if draw(st.booleans()):
        free.append(Vxlan(**_ours(name="vx", vni=draw(st.sampled_from([1, 2])), mtu=draw(_MTU))))
    if full and draw(st.booleans()):
        free.append(Dummy(**_ours(name="dummy0", mtu=draw(_MTU))))
    links = [*bridges, *(_plugged(draw, link, bridges, bonds) for link in free)]
    if full:
        links += [_vlan(draw, link) for link in links if not link.master and draw(st.booleans())]
    return state([*links, *(one for number, link in enumerate(links) for one in _layer3(draw, link, number))])


def _bridge(draw: st.DrawFn, name: str, *, full: bool) -> Bridge:
    stp = draw(st.booleans())
    return Bridge(
        **_ours(
            name=name,
            ageing=draw(st.sampled_from([0, 300])),
            stp=stp,
            forward_delay=draw(st.sampled_from([2, 15] if stp else [0, 15])),
            mtu=draw(_MTU),
            **({"vlan_aware": True, "pvid": 1, "vids": "1,5"} if full and draw(st.booleans()) else {}),
        )
    )


def _bond(draw: st.DrawFn) -> Bond:
    mode = draw(st.sampled_from(["active-backup", "802.3ad"]))
    rate = {"lacp_rate": draw(st.sampled_from(["slow", "fast"]))} if mode == "802.3ad" else {}
    watch = {"miimon": draw(st.sampled_from([50, 100]))}
    if mode == "active-backup" and draw(st.booleans()):
        watch = {"arp_interval": 500, "arp_ip_target": ("192.0.2.1",)}
    rate |= watch
    return Bond(**_ours(name="bond0", mode=mode, updelay=draw(st.sampled_from([0, 200])), mtu=draw(_MTU), **rate))


def _plugged(draw: st.DrawFn, link: Link, bridges: list[Bridge], bonds: list[Bond]) -> Link:
    master = draw(st.sampled_from([None, *bridges, *(bonds if isinstance(link, Ethernet) else [])]))
    match master:
        case Bond():
            return link.model_copy(update={"master": master.name, "mtu": master.mtu})
        case Bridge():
            more = {"pvid": 1, "vids": draw(st.sampled_from(["1-4094", "1,5"]))} if master.vlan_aware else {}
            return link.model_copy(
                update={"master": master.name, "learning": draw(st.booleans()), "hairpin": draw(st.booleans()), **more}
            )
    return link


def _vlan(draw: st.DrawFn, link: Link) -> Vlan:
    number = draw(st.sampled_from([5, 6]))
    return Vlan(**_ours(name=f"{link.name}v", raw_device=link.name, vlan_id=number, mtu=1500))


def _layer3(draw: st.DrawFn, link: Link, number: int) -> list[Resource]:
    if link.master:
        return []
    network = f"10.{number}.0"
    found: list[Resource] = [
        Address(**_ours(dev=link.name, address=f"{network}.{host}/24", label=label))
        for host, label in ((1, ""), (2, draw(st.sampled_from(["", f"{link.name}:1"]))))
        if draw(st.booleans())
    ]
    if found and draw(st.booleans()):
        found.append(Route(**_ours(family="inet", dev=link.name, via=f"{network}.254", metric=number)))
    if draw(st.booleans()):
        found.append(Address(**_ours(dev=link.name, address=f"2001:db8:{number}::1/64")))
        via = f"2001:db8:{number}::ff"
        found += [Route(**_ours(family="inet6", dev=link.name, via=via, metric=number))] if draw(st.booleans()) else []
    return found
