"""The page of guests' NICs: what a netN string of a VM's says, and what the host makes of it: pvenetd-guests(7)."""

from __future__ import annotations

from typing import Any

from interfaces import meanings

from pvenetd.guests.nic import QemuNic

PORT = {
    "name": "tap<VMID>i<N>, a container's veth<CTID>i<N>, a libvirt domain's vnetN where it has that",
    "IPv6": "is off on it: a guest's port is no link of the host's",
    "promiscuous mode": "is off: a bridge takes all frames of its ports without. Proxmox VE switches it on",
    "MAC": "fe:00:... with the VMID, higher than any card's, so that the bridge's own does not follow a guest's",
    "mtu": "the bridge's, or the NIC's own, 576 bytes up to the bridge's",
    "queues": "a tap that is made here has several (IFF_MULTI_QUEUE); another number of queues than one, or one "
    "again, makes it anew. vhost is QEMU's affair: it opens /dev/vhost-net itself",
    "link_down": "the port is down, and with a QMP monitor the guest's cable is pulled, too",
}
PLUGGED = {
    "if": "its netN names a bridge that is there, its device is there or was to be made here (vm plug), and nobody "
    "has unplugged it by hand. Nothing else counts: hooks and events only tell when to look, so it makes no difference "
    "whether one is lost, comes twice or late, and a daemon that is started anew comes to the same",
    "put right": "who moves the device, sets it down, or takes a VLAN from it, has it back within a second; one that "
    "was made here and is deleted is made again. A bridge that goes takes its guests out, and has them again when it "
    "comes back",
    "unplugged by hand": "vm unplug, and QEMU's downscript; it stands in the device's alias, and lasts until the "
    "device goes or is plugged again, by hand or by QEMU's script",
    "broken": "a netN that is wrong, or whose bridge is missing, is told by vm show and status and tried again, later "
    "and later, once a minute at last, and as soon as the bridge is there; meanwhile the NIC keeps what it has, and "
    "the guest's others are served. Where the guest's firewall file is broken, the last good rules hold; a NIC that "
    "they do not filter is not plugged",
    "defined twice": "of qemu-server/VMID.conf, lxc/VMID.conf and a libvirt domain with that VMID the first is the "
    "guest, the others are warned of. Of two domains the first to be told of is; the other's start is refused",
    "one MAC twice": "on one bridge, is warned of on both sides",
}
VLANS = {
    "tag, bridge VLAN-aware": "untagged frames of the guest are in that VLAN; with trunks those pass tagged, too",
    "trunks alone": "untagged frames are in the bridge's own VLAN (bridge-pvid)",
    "neither": "all of the bridge's VLANs pass (bridge-vids, 2-4094 without)",
    "tag, bridge not VLAN-aware": "the guest is in a bridge of that VLAN's own, vmbr0v20 for tag=20 on vmbr0: its "
    "ports are eno1.20 for each NIC, bond or VLAN that is a port of vmbr0; it has vmbr0's MTU, "
    "ageing, STP and multicast settings. It is made for the first guest and goes with the last. A bridge of that "
    "name in interfaces(5) is used as it is. Refused where vmbr0 has no such port, where that VLAN is an "
    "interface already, and where a name would be longer than 15 letters",
    "trunks, bridge not VLAN-aware": "are refused",
}
RATE = {
    "to the guest": "a token bucket (tc-tbf(8), handle 7e:) at the port: what is too much waits, a tenth of a second's "
    "bytes at most (256 KiB at least), then is dropped",
    "from the guest": "a policer (matchall filter behind clsact): what is too much is dropped",
    "both": "1 MiB may go at once, as in Proxmox VE. Another rate is set in place",
    "somebody else's": "where a port has a root qdisc of somebody else's that limits (htb, tbf) or an ingress qdisc, "
    "as libvirt makes for <bandwidth>, that way is left to him; one that does not limit is an "
    "error, and never replaced, but for the noqueue that libvirt gives a tap: ours (7f:) gives it back",
    "kernel": "needs sch_tbf, sch_ingress, cls_matchall and act_police, which Debian's kernels have as modules",
}
PINNED = {
    "bridge-disable-mac-learning yes": "in the bridge's stanza: guests' ports do not learn, get no frames for unknown "
    "MACs, and the NIC's MAC is entered in the bridge's table, in each of the port's VLANs. The entries are static and "
    "sticky, so that nobody takes a guest's frames by sending from its MAC. A NIC without a MAC is refused there",
    "port isolated='yes'": "in a libvirt domain: frames pass between the port and ports that are not isolated only",
}


def page(header: Any, entries: Any) -> str:
    """Return the page; *header* and *entries* are the generator's."""
    keys = {
        field.alias or name: meaning
        for name, field in QemuNic.model_fields.items()
        if name not in ("index", "isolated") and (meaning := meanings(QemuNic).get(name))
    }
    lines = [
        *header("pvenetd-guests", 7, "what a guest's NIC has on the host"),
        ".SH DESCRIPTION",
        "A VM's NICs stand in etc/pvenetd/qemu-server/VMID.conf, one netN line each, as in Proxmox VE's qm.conf(5):",
        ".PP",
        "net0: virtio=BC:24:11:00:53:01,bridge=vmbr0,firewall=1,rate=12.5,tag=20",
        ".PP",
        "What is wrong is told with its key, its value and its line. A change takes effect at once, and touches what",
        "differs alone: another tag is one change of the port's VLANs, and its other VLANs lose no frame.",
        ".SH KEYS",
        *entries(keys.items()),
        ".SH THE PORT",
        *entries(PORT.items()),
        ".SH WHEN IT IS PLUGGED",
        *entries(PLUGGED.items()),
        ".SH VLANS",
        *entries(VLANS.items()),
        ".SH RATE",
        "rate is in megabytes (2^20 bytes) a second, at least 0.001; 0, or none, is no limit.",
        *entries(RATE.items()),
        ".SH MAC ADDRESSES",
        *entries(PINNED.items()),
        ".SH SEE ALSO",
        "\\fBpvenetctl\\fR(1), \\fBpvenetd\\fR(8), \\fBpvenetd\\-lxc\\fR(7), \\fBpvenetd\\-libvirt\\fR(7)",
    ]
    return "\n".join(lines) + "\n"
