"""A bridge of its own for a guest's device, as Proxmox VE's iptables firewall has it: fwbr, fwln, fwpr.

iptables sees which ports a packet comes from and goes to only where a bridge passes it on.  So between device and
bridge stands a bridge of two ports, and every way to the guest and from it leads across: ``tap100i0`` is in
``fwbr100i0``, with it ``fwln100i0``, whose other end ``fwpr100p0`` is the port of the real bridge and has all that
this one keeps of its port.  It is a cable, not a link of the host's: no address, no IPv6, no answer to ARP.

Sources: Proxmox VE's names and layout of devices; the kernel's ip-sysctl.rst, ``arp_ignore``, ``rp_filter``.
"""

from __future__ import annotations

from typing import Any

from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.kinds.veth import Veth
from pvenetd.names import fwbr_names
from pvenetd.resource import Resource
from pvenetd.state import Sysctl

_SETTINGS = ("ageing", "mcast_snooping", "group_fwd_mask")
"""What it has from the real bridge: who is heard there is heard here, link-local frames pass as they pass there."""
_DEAF = {"arp_ignore": "8", "rp_filter": "2"}
"""Without an address of its own it would answer ARP for all of the host's, and take for the host what is sent to its
MAC, past the guest's rules; 8 is "for no address", and with rp_filter no source is right where there is no address."""
_OUTSIDE, _INSIDE = 0x80, 0x40
"""Bits of the MACs of fwpr and fwln, beside the device's: its second byte has room for them.  A bridge takes for itself
what is sent to a port's own MAC, so none of them may be another's: a bridge without a MAC of its own answers with one.
"""


def port_mac(vmid: int, index: int) -> str:
    """Return the MAC of the host's end of a NIC: higher than any other's.

    A bridge without a MAC of its own has its lowest port's (br_stp_recalculate_bridge_id() in the kernel).  With
    the random one a tap is made with, the host's address would change its MAC with the guests that come and go.
    """
    return "fe:" + (vmid << 8 | index).to_bytes(5, "big").hex(":")


def behind(port: Link, bridge: Bridge, index: int) -> list[Resource]:
    """Return *port*, a guest's NIC net*index* in *bridge*, with a bridge of its own in between: four links.

    The first is the port of *bridge*, the last the guest's device.
    """
    vmid = int(port.owner.removeprefix("vm:"))
    fwbr, fwln, fwpr = fwbr_names(vmid, index)
    mine: dict[str, Any] = {
        "owner": port.owner,
        "origin": port.origin,
        "group": vmid,
        "mtu": bridge.mtu,
        "disable_ipv6": True,
    }
    of_port = {name: getattr(port, name) for name in port.model_fields_set & port.port_only}
    own = {name: getattr(bridge, name) for name in _SETTINGS}
    return [
        Veth(name=fwpr, peer=fwln, master=bridge.name, mac=_mac(vmid, index, _OUTSIDE), **mine, **of_port),
        Bridge(name=fwbr, forward_delay=0, **mine, **own),
        *(
            Sysctl(name=f"net/ipv4/conf/{fwbr}/{name}", value=value, dev=fwbr, owner=port.owner)
            for name, value in _DEAF.items()
        ),
        Veth(name=fwln, peer=fwpr, master=fwbr, mac=_mac(vmid, index, _INSIDE), **mine),
        _plain(port, fwbr),
    ]


def _plain(port: Link, master: str) -> Link:
    """Return *port* in another bridge, without anything that its own keeps of it."""
    said = {name: value for name, value in vars(port).items() if name in port.model_fields_set - port.port_only}
    return type(port).shown(**{**said, "master": master})


def _mac(vmid: int, index: int, bit: int) -> str:
    mac = port_mac(vmid, index)
    return f"{mac[:3]}{int(mac[3:5], 16) | bit:02x}{mac[5:]}"


def moved(there: Link, bridge: Bridge, vmid: int, index: int) -> list[Resource]:
    """Return the same of a device that is *there*, a port of *bridge*: of itself, nothing but its place is changed."""
    kept = {name: value for name in there.port_only if (value := getattr(there, name)) is not None}
    bare = {name: None for name, _ in there if name not in there.named | {"kind", "origin", "altnames"}}
    told = {"owner": f"vm:{vmid}", "made_here": False, "origin": "", **kept}
    port = type(there).shown(**{**bare, "name": there.name, "kind": there.kind, **told})
    return behind(port, bridge, index)
