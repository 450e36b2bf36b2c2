"""The page of LXC's containers, and of who else runs containers here: pvenetd-lxc(7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interfaces import meanings

from pvenetd.guests.lxc_conf import SCRIPT, LxcNic

EXAMPLES = Path(__file__).resolve().parent.parent / "examples/lxc"
LXC_NETS = {
    "lxc.net.0.type = veth": "a pair: one end in the container, the other a port of a bridge of the host's",
    "lxc.net.0.veth.pair = veth200i0": "the host's end, by which the container and its NIC are known",
    f"lxc.net.0.script.up = {SCRIPT}": "plugs it, or has the container not start",
    f"lxc.net.0.script.down = {SCRIPT}": "lets it go; without it, that is noticed when LXC deletes the pair",
    "lxc.net.0.flags = up, name, hwaddr, mtu, ipv4.address, ...": "the container's own end, which LXC sets up",
    "no lxc.net.0.link": "LXC would make the port itself, before the script: it ends the same, and until the script "
    "has run, only where the cluster firewall is on are its frames stopped",
}
PHASES = {
    "up": "the NIC is plugged as its file says, its chains first; refused where that cannot be: no such container, no "
    "such bridge, a VLAN it cannot have, broken rules and none loaded before, no answer within ten seconds",
    "down": "the port is let go; never refused",
}
DONE = {
    "bridge, tag, trunks, rate, mtu, link_down, firewall": "pvenetd does, on the host's end, and live: a change of the "
    "file, by pvenetctl vm set or an editor, takes effect at once, and touches what differs alone",
    "name, hwaddr, ip, ip6, gw, gw6": "LXC does when it starts the container, by the lines of vm lxc-config; pvenetd "
    "checks them, and shows them. mtu is told LXC, too, for the container's own end. hwaddr has to be the same there: "
    "the MAC filter lets nothing else pass",
    "ip=dhcp, ip6=dhcp, ip6=auto": "the container does, by a client of its own and by its kernel",
    "containers without veth.pair = veth<ctid>i<n>": "are no guests of pvenetd's: LXC puts them into their link, and "
    "nobody filters them",
    "containers of users (lxc-user-nic)": "are left alone: LXC runs no script for them and names their ports itself. A "
    "container that root starts with an lxc.idmap is like any other",
}
NEIGHBOURS = {
    "a FORWARD chain whose policy is DROP": "as Docker has it since it sets ip_forward. It drops what guests send that "
    "this host routes, and, where bridge-nf-call-iptables is 1, what they send over bridges, too. The rule that lets "
    "it pass is yours to add: iptables -I DOCKER-USER -i vmbr1 -j ACCEPT, and with -o. Docker leaves that chain "
    'alone; with "ip-forward-no-drop": true in its daemon.json it leaves the policy alone as well',
    "br_netfilter that was switched on while pvenetd ran": "restart it: how connections are known is found out at its "
    "start",
}


def page(header: Any, entries: Any, escape: Any) -> str:
    """Return the page; *header*, *entries* and *escape* are the generator's."""
    keys = {
        field.alias or name: meaning
        for name, field in LxcNic.model_fields.items()
        if name not in ("index", "isolated") and (meaning := meanings(LxcNic).get(name))
    }
    lines = [
        *header("pvenetd-lxc", 7, "containers of LXC's, and Docker and Podman beside them"),
        ".SH DESCRIPTION",
        "A container is a guest like others: the file etc/pvenetd/lxc/CTID.conf has its NICs, as Proxmox VE's",
        "pct.conf(5) has them, etc/pvenetd/firewall/CTID.fw its rules. The host's end of its net0 is veth200i0 for",
        "container 200. LXC makes it, and runs a script by which pvenetd plugs it.",
        ".PP",
        "LXC makes the pair with its other end in the container's own network namespace already, runs the script, and",
        "only then gets the container to set its end up. So no frame leaves a container before its chains are loaded.",
        ".SH THE CONTAINER'S FILE",
        "A netN line is name=eth0 and these keys; any other line is kept and ignored.",
        *entries(keys.items()),
        ".SH LXC'S OWN CONFIGURATION",
        "pvenetctl vm lxc\\-config CTID prints what lxc.container.conf(5) needs of it: put it into the container's",
        "config, or into a file that lxc.include names. It is read at the container's next start.",
        *entries(LXC_NETS.items()),
        ".SH HOOK",
        "Either lxc.hook.version will do.",
        *entries(PHASES.items()),
        ".PP",
        "Why a container was refused is in pvenetd's journal, and in LXC's log at the level DEBUG.",
        ".SH WHO DOES WHAT",
        *entries(DONE.items()),
        ".SH DOCKER AND PODMAN",
        "Their bridges, ports, tables and chains are never changed, nor is what others have loaded: pvenetd has tables",
        "of its own. pvenetctl status tells who is there, and warns where something of theirs stops guests:",
        *entries(NEIGHBOURS.items()),
        ".SH EXAMPLE",
        ".nf",
        *(escape((EXAMPLES / name).read_text().rstrip("\n")) for name in ("200.conf", "config")),
        ".fi",
        ".SH SEE ALSO",
        "\\fBpvenetctl\\fR(1), \\fBpvenetd\\fR(8), \\fBlxc.container.conf\\fR(5)",
    ]
    return "\n".join(lines) + "\n"
