"""A guest's NIC → its port as State.

Sources: qm.conf(5) of Proxmox VE, "net[n]"; IEEE 802.1Q for tags.
"""

from __future__ import annotations

from pvenetd.guests.guest import Guest
from pvenetd.guests.nic import Nic, QemuNic, Wrong, refusal
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.tap import Tap
from pvenetd.option import join_vlans
from pvenetd.resource import Key, Resource

BRIDGE_MTU = 1
"""An mtu that stands for the bridge's."""

SMALLEST_MTU = 576
"""Bytes; what every IPv4 host takes (RFC 791), and virtio's host_mtu begins with."""


def ports(guest: Guest, index: int, bridge: Bridge | None, *, made_here: bool = True) -> dict[Key, Resource]:
    """Return the State of *guest*'s NIC net*index*: its device as a port of *bridge*, nothing for a NIC without one.

    *bridge* is the link that `Nic.bridge` names, None where there is none.  *made_here* is false for
    taps that QEMU or libvirt makes.  Raises `ConfigError` where bridge and NIC do not fit.
    """
    nic, line = guest.nics[index], guest.lines.get(index, 0)
    if nic.bridge is None:
        return {}
    wrong = _misfits(nic, bridge)
    if wrong or bridge is None:
        raise refusal(wrong, index, guest.path, line)
    pvid, vids = _vlans(nic, bridge)
    tap = Tap(
        name=guest.device(index),
        master=nic.bridge,
        up=not nic.link_down,
        mac=_port_mac(guest.vmid, index),
        mtu=bridge.mtu if nic.mtu in (None, BRIDGE_MTU) else nic.mtu,
        pvid=pvid,
        vids=vids,
        group=guest.vmid,
        disable_ipv6=True,
        made_here=made_here,
        isolated=nic.isolated,
        multi_queue=isinstance(nic, QemuNic) and (nic.queues or 0) > 1 if made_here else None,
        owner=f"vm:{guest.vmid}",
        origin=f"{guest.path}:{line}" if guest.path else "",
    )
    return {tap.key: tap}


def _port_mac(vmid: int, index: int) -> str:
    """Return the MAC of the host's end of a NIC: higher than any other's.

    A bridge without a MAC of its own has its lowest port's (br_stp_recalculate_bridge_id() in the kernel).  With
    the random one a tap is made with, the host's address would change its MAC with the guests that come and go.
    """
    return "fe:" + (vmid << 8 | index).to_bytes(5, "big").hex(":")


def _misfits(nic: Nic, bridge: Bridge | None) -> list[Wrong]:
    """Return all that keeps *nic* from being a port of *bridge*."""
    if bridge is None:
        return [("missing-parent", "bridge", f"bridge: there is no bridge '{nic.bridge}'", "iface it in interfaces")]
    found = []
    for key, value in (("tag", nic.tag), ("trunks", nic.trunks.replace(",", ";"))):
        if value and not bridge.vlan_aware:
            message = f"{key}: '{value}' on {nic.bridge}, which is not VLAN-aware"
            found.append(("port-option", key, message, f"bridge-vlan-aware yes for {nic.bridge}"))
    if nic.mtu not in (None, BRIDGE_MTU) and not SMALLEST_MTU <= nic.mtu <= (bridge.mtu or nic.mtu):
        most = f"{bridge.mtu}, the MTU of {nic.bridge}" if bridge.mtu else "65520"
        found.append(
            ("mtu", "mtu", f"mtu: '{nic.mtu}' should be {SMALLEST_MTU} to {most}", f"mtu={BRIDGE_MTU} follows")
        )
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
