"""The page of what pvenetd makes of libvirt's domains: pvenetd-libvirt(7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interfaces import meanings

from pvenetd.guests.libvirt_meta import KEYS
from pvenetd.guests.nic import QemuNic
from pvenetd.guests.wiring import IFUP, SPACE

EXAMPLE = Path(__file__).resolve().parent.parent / "examples/libvirt/web.xml"
WIRINGS = {
    "<interface type='ethernet'> with a <script>": (
        f"The one to prefer. libvirt runs <script path='{IFUP}'/> when the guest boots and when a NIC is attached, "
        "waits for it, and gives up where it fails: the tap is a port of its bridge, behind its chains, before QEMU "
        "has it. <target dev='tap100i0'/> names it; bridge and VLANs stand in the metadata, or in "
        "etc/pvenetd/qemu-server/100.conf. A NIC that is to be attached while the guest runs is announced there first."
    ),
    "<interface type='ethernet'> with managed='no'": (
        "<target dev='tap100i0' managed='no'/>, and no script: pvenetd makes the tap when the hook says prepare, and "
        "deletes it when the domain is released. To attach one to a guest that runs, make it first: pvenetctl vm plug."
    ),
    "<interface type='bridge'> or 'network' with <target dev='tap100i0'/>": (
        "libvirt makes the tap and puts it into the bridge; pvenetd does the rest when the hook says start, before "
        "QEMU runs. Of a NIC that is attached later no hook tells, only an event afterwards: where the cluster "
        "firewall is on, its frames are dropped until then. "
        "Of a network with forward mode bridge, libvirt tells the bridge."
    ),
    "the same without a target": (
        "libvirt calls the tap vnetN, and so does the kernel; the rest is the same. The domain's metadata or name has "
        "to tell the VMID."
    ),
}
VMID = {
    "metadata": 'vmid="100" in the metadata',
    "tap": "else the name of a tap: <target dev='tap100i0'/>",
    "name": "else the domain's name, where it is a number from 100 on, or ends in -NUMBER or vmNUMBER",
}
READ = {
    "<source bridge>": "bridge",
    "<vlan><tag id='20'/></vlan>": "tag",
    "<vlan trunk='yes'>": "trunks; the tag with nativeMode='untagged' is that of untagged frames. Without one these "
    "are in the bridge's own VLAN. nativeMode='tagged' is refused: "
    "a port of a Linux bridge sends its own VLAN untagged",
    "<bandwidth>": "rate, where inbound and outbound have one average; libvirt limits the NIC itself as well",
    "<mac>, <mtu size>, <driver queues>": "the same",
    "<link state='down'/>": "link_down",
    "<port isolated='yes'/>": "isolated",
    "<filterref>": "left to libvirt: its filter and pvenetd's rules must both let a frame pass. vm show tells of it",
    "<virtualport type='openvswitch'>": "left to libvirt, and so is every type but bridge, network and ethernet",
}
HOOK = {
    "prepare": "what the domain is gets known, its chains are loaded, taps with managed='no' are made; refused where "
    "the XML or the metadata are wrong",
    "start": "every NIC is plugged; refused where one cannot be: no such bridge, a VLAN it cannot have, broken rules "
    "and none loaded before",
    "reconnect": "libvirtd has found the domain running: what is missing is done; never refused",
    "started, stopped, migrate, restore": "nothing that could be refused; the XML stays as it is",
    "release": "the guest is forgotten with all it had",
}


def page(header: Any, entries: Any, escape: Any) -> str:
    """Return the page."""
    words = meanings(QemuNic)
    lines = header("pvenetd-libvirt", 7, "guests that libvirt runs")
    lines += [
        ".SH DESCRIPTION",
        "pvenetd serves libvirt's QEMU domains in three ways at once, and what it does is the same whichever comes",
        "first: the hook that libvirt runs (etc/libvirt/hooks/qemu.d/50-pvenetd; libvirtd finds it when it starts, so",
        "restart it once after the package was installed: pvenetctl status tells if that is still to do), the script",
        "of a NIC, and a connection of its own by which domains that start, end or change are noticed (with",
        "python3-libvirt; a setting names another hypervisor).",
        ".PP",
        "A domain is a guest where something tells its VMID:",
        *entries(VMID.items()),
        ".PP",
        "Any other domain is left alone.",
        ".SH WIRINGS",
        *entries(WIRINGS.items()),
        ".PP",
        escape("pvenetctl vm adopt DOMAIN writes the first one into a domain's configuration."),
        ".SH WHAT IS READ OF A NIC",
        *entries(READ.items()),
        ".PP",
        "Of a link's state or limit that changes while the guest runs libvirt has no event: it is seen within half a",
        "minute.",
        "The N of a NIC's netN is that of its tap, else the metadata's, else that of libvirt's alias, else its place.",
        ".SH METADATA",
        escape(f"One element guest of the namespace {SPACE}, which may have a vmid, with an element net for a NIC."),
        "It is named by index (the N of netN), by mac, or both. What it says overrides what the NIC says; a net that",
        "no NIC has yet announces one; with a firewall it has to name its MAC. Values are those of a netN string:",
        *entries((key, words[key].replace("``", "")) for key in KEYS),
        ".PP",
        escape("virsh metadata DOMAIN URI --key pvenetd --set '<guest vmid=\"100\">...</guest>' [--live] [--config]"),
        "writes it; of a running domain it takes effect at once.  So does",
        escape("pvenetctl vm set VMID netN=STRING,"),
        "as it runs and in what libvirt keeps; what the domain's own XML says is left to virsh edit.",
        "Its schema (RELAX NG) is usr/share/pvenetd/libvirt.rng.",
        ".SH HOOK",
        *entries(HOOK.items()),
        ".PP",
        "What is refused, and why, is in libvirt's error and in pvenetd's journal. A start waits ten seconds for",
        "pvenetd at most; where it does not answer, a domain that has our metadata or a guest's tap does not start,",
        "and any other does.",
        ".SH APPARMOR",
        escape(f"libvirtd's profile lets it run what is in /usr/sbin: {IFUP}."),
        "usr/libexec/pvenetd/qemu\\-ifup is the same.",
        ".SH EXAMPLE",
        ".nf",
        *(escape(line) or "." for line in EXAMPLE.read_text().splitlines()),
        ".fi",
        ".SH SEE ALSO",
        "\\fBpvenetd\\fR(8), \\fBpvenetctl\\fR(1), \\fBvirsh\\fR(1),",
        escape("https://libvirt.org/formatdomain.html, https://libvirt.org/hooks.html"),
    ]
    return "\n".join(lines) + "\n"
