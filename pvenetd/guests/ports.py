"""A guest's NIC → its port as State: the link, its limits, its pinned MAC, and the bridge its VLAN may need.

Sources: qm.conf(5) of Proxmox VE, "net[n]"; IEEE 802.1Q for tags.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pvenetd.guests import vlan_bridge
from pvenetd.guests.fwbr import behind, port_mac
from pvenetd.guests.guest import Guest
from pvenetd.guests.nic import Nic, QemuNic, Wrong, refusal
from pvenetd.guests.vlan_bridge import Switch
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.veth import Veth
from pvenetd.names import fwbr_names, is_ifname, tap_name
from pvenetd.option import join_vlans
from pvenetd.pinned import Pinned
from pvenetd.resource import Key, Resource
from pvenetd.shaping import MEGABYTE, Rate
from pvenetd.state import State

BRIDGE_MTU = 1
"""An mtu that stands for the bridge's."""

SMALLEST_MTU = 576
"""Bytes; what every IPv4 host takes (RFC 791), and virtio's host_mtu begins with."""


def bridges(nics: Iterable[Nic]) -> set[Key]:
    """Return the keys of the bridges that *nics* name."""
    return {("link", nic.bridge) for nic in nics if nic.bridge}


def neighbours(nics: Iterable[Nic], links: State) -> set[Key]:
    """Return the keys to look at, too, before *nics* are plugged into what *links* say of their bridges."""
    flat = {key[1] for key, one in links.items() if isinstance(one, Bridge) and not one.vlan_aware}
    tagged = ((nic.bridge, nic.tag) for nic in nics if nic.bridge in flat)
    return {key for bridge, tag in tagged if bridge and tag for key in vlan_bridge.about(bridge, tag)}


def scene(configured: State, live: State) -> State:
    """Return the links that `ports` is to know of: as configured, but for ports that are not there."""
    here = {key: one for key, one in configured.items() if key in live or not getattr(one, "master", "")}
    return {**live, **here}


def ports(guest: Guest, index: int, links: State, *, made_here: bool = True, fwbr: bool = False) -> dict[Key, Resource]:
    """Return the State of *guest*'s NIC net*index*: its device as a port of its bridge, nothing for one without.

    *links* are those that `bridges` and `neighbours` name.  *made_here* is false for devices that QEMU,
    libvirt or LXC makes.  With *fwbr* a bridge of its own stands between the two (`pvenetd.guests.fwbr`).
    Raises `ConfigError` where bridge and NIC do not fit.
    """
    nic, line = guest.nics[index], guest.lines.get(index, 0)
    if nic.bridge is None:
        return {}
    origin = f"{guest.path}:{line}" if guest.path else ""
    switch, wrong = _switch(nic, links, origin)
    wrong += _unnamable(guest.vmid, index) if fwbr else []
    if wrong or switch is None:
        raise refusal(wrong, index, guest.path, line)
    mine = {"owner": f"vm:{guest.vmid}", "origin": origin}
    port = _port(guest, nic, switch.bridge, made_here=made_here, mine=mine)
    way = behind(port, switch.bridge, index) if fwbr else [port]
    found: list[Resource] = [*switch.shared.values(), *way]
    if nic.rate:
        limit = round(nic.rate * MEGABYTE)
        found.append(Rate(dev=port.name, to_guest=limit, from_guest=limit, **mine))
    if switch.bridge.disable_learning and nic.mac:
        found.append(Pinned(dev=way[0].key[1], mac=nic.mac, bridge=switch.bridge.name, vids=port.vids or "", **mine))
    return {one.key: one for one in found}


def _unnamable(vmid: int, index: int) -> list[Wrong]:
    """Return what keeps the bridge before a NIC from being made."""
    if all(map(is_ifname, fwbr_names(vmid, index))):
        return []
    message = f"firewall: {fwbr_names(vmid, index)[0]}, the bridge before net{index}, has too long a name"
    return [("ifname", "firewall", message, "a shorter VMID, or the nftables backend")]


def _port(guest: Guest, nic: Nic, bridge: Bridge, *, made_here: bool, mine: dict[str, Any]) -> Link:
    """Return the device as a port: a tap, or the host's end of a container's pair."""
    pvid, vids = _vlans(nic, bridge)
    values = {
        **mine,
        "name": guest.device(nic.index),
        "master": bridge.name,
        "up": not nic.link_down,
        "mac": port_mac(guest.vmid, nic.index),
        "mtu": bridge.mtu if nic.mtu in (None, BRIDGE_MTU) else nic.mtu,
        "pvid": pvid,
        "vids": vids,
        "group": guest.vmid,
        "disable_ipv6": True,
        **({"isolated": True} if nic.isolated else {}),
        **({"learning": False, "unicast_flood": False} if bridge.disable_learning else {}),
    }
    if guest.source == "lxc":
        return Veth(**values, made_here=False, alias=None)
    usual = tap_name(guest.vmid, nic.index)
    altname = usual if values["name"] != usual else None
    several = isinstance(nic, QemuNic) and (nic.queues or 0) > 1
    return Tap(**values, altname=altname, made_here=made_here, multi_queue=several if made_here else None)


def _switch(nic: Nic, links: State, origin: str) -> tuple[Switch | None, list[Wrong]]:
    """Return the bridge that *nic* is to be a port of, and all that keeps it from that."""
    bridge = links.get(("link", nic.bridge or ""))
    if not isinstance(bridge, Bridge):
        message = f"bridge: there is no bridge '{nic.bridge}'"
        return None, [("missing-parent", "bridge", message, "iface it in interfaces")]
    wrong = _misfits(nic, bridge)
    if nic.tag is None or bridge.vlan_aware:
        return Switch(bridge), wrong
    switch, more = vlan_bridge.for_vlan(bridge, nic.tag, links, origin)
    return switch, [*more, *wrong]


def _misfits(nic: Nic, bridge: Bridge) -> list[Wrong]:
    """Return all that keeps *nic* from being a port of *bridge*, its tag apart."""
    found = []
    if nic.trunks and not bridge.vlan_aware:
        trunks = nic.trunks.replace(",", ";")
        message = f"trunks: '{trunks}' on {nic.bridge}, which is not VLAN-aware"
        found.append(("port-option", "trunks", message, f"bridge-vlan-aware yes for {nic.bridge}"))
    if nic.mtu not in (None, BRIDGE_MTU) and not SMALLEST_MTU <= nic.mtu <= (bridge.mtu or nic.mtu):
        most = f"{bridge.mtu}, the MTU of {nic.bridge}" if bridge.mtu else "65520"
        found.append(
            ("mtu", "mtu", f"mtu: '{nic.mtu}' should be {SMALLEST_MTU} to {most}", f"mtu={BRIDGE_MTU} follows")
        )
    if bridge.disable_learning and not nic.mac:
        message = f"macaddr: {nic.bridge} learns no MAC of a guest's, and none is given"
        found.append(("address", "macaddr", message, "give it one"))
    return found


def _vlans(nic: Nic, bridge: Bridge) -> tuple[int | None, str | None]:
    """Return the VLAN of untagged frames and all VLANs of the port, as Proxmox VE gives them.

    A tag alone is an access port; trunks alone leave untagged frames in the bridge's own VLAN; with
    neither all of the bridge's VLANs pass.
    """
    if not bridge.vlan_aware:
        return None, None
    pvid = nic.tag or bridge.port_pvid
    tagged = nic.trunks or ("" if nic.tag else bridge.port_vids or "2-4094")
    return pvid, join_vlans(str(pvid) if pvid else "", tagged)
