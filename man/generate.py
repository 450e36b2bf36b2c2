"""Write the man pages from what --help is made from: python man/generate.py, in the checkout's environment."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import bus  # noqa: E402
import containers  # noqa: E402
import domains  # noqa: E402
import firewall  # noqa: E402
import interfaces  # noqa: E402
import nat  # noqa: E402
import nics  # noqa: E402

from pvenetd.ctl.command import Command  # noqa: E402
from pvenetd.ctl.commands import GROUPS  # noqa: E402
from pvenetd.ctl.commands.every import COMMANDS  # noqa: E402
from pvenetd.ctl.complete import Declared  # noqa: E402

OPTIONS = {name: facts for name, facts in Declared().options.items() if name != "--json"}
"""What both programs take."""
CODES = {
    "syntax": "a line that cannot be read",
    "unknown-option": "an option nobody knows, or that this version does not apply (warning)",
    "unknown-value": "a value an option does not take",
    "address": "no address, or not of this family; the first or last of a network (warning)",
    "netmask": "no netmask",
    "address-on-port": "an address on a port of a bridge or bond",
    "duplicate-address": "one address twice",
    "duplicate-gateway": "two gateways of one family and metric (warning)",
    "gateway-unreachable": "a gateway in no network of its interface (warning), or its own address",
    "bond-mode": "a bond mode that does not exist",
    "bond-primary": "a primary that is no slave, or in a mode without one",
    "ifname": "a name the kernel refuses",
    "loop": "an interface that stands on itself",
    "member-type": "a port or slave of a type that cannot be one",
    "member-used-twice": "one link in two bridges or bonds",
    "missing-member": "a port or slave that does not exist",
    "missing-parent": "a VLAN, an alias or a NIC on a link that does not exist",
    "parent-type": "a parent that carries nothing",
    "mtu": "an MTU out of range, or larger than what carries it",
    "port-option": "an option of bridge ports on what is none, or whose bridge is not VLAN-aware",
    "vlan-id-missing": "a VLAN without its id",
    "vlan-id-range": "a VLAN id outside 1 to 4094",
    "vlan-protocol": "neither 802.1q nor 802.1ad",
    "vxlan": "a VXLAN option that does not fit",
    "duplicate-vlan": "one VLAN of one link twice",
    "missing-stanza": "auto or allow-... names what has no stanza (warning)",
    "nic-renamed": "a NIC that is not there, and one that looks like it (warning)",
    "nat-duplicate": "two that translate the same packets: the first has them all",
    "nat-family": "an IPv4 address that is to become an IPv6 one, or the other way round",
    "nat-forwarding": "NAT of what the host is told not to route, or a host that loses its way by routing (warning)",
    "nat-interface": "NAT by an interface that no stanza makes (warning)",
    "nat-needless": "a conntrack zone for firewall bridges, of which there are none (warning)",
    "nat-own-port": "a forward of the port by which the host is managed (warning)",
    "nat-ports": "no port, or more ports than there are others for them",
    "nat-unreachable": "a guest in no network of the host's, or a public address that nobody answers for (warning)",
    "overlapping-networks": "one network on two interfaces (warning)",
    "nwfilter": "libvirt filters a guest's NIC as well (warning)",
    "unknown-name": "a rule that names an alias, a set, a group or an interface that is not there",
    "source-missing": "a sourced file that is not there (warning)",
}
JOURNAL = {
    "OWNER": "whose network an operation or an error is about: interfaces, firewall, vm:100",
    "VMID": "the guest, where it is one's",
    "OP": "the operation, as pvenetctl plan tells it",
    "FILE, LINE": "the line of configuration that it comes from",
    "WHO, WHERE, WHAT, STATUS, OUTCOME": "of a request: the user or token, the address or socket, method and path, "
    "HTTP's status, and what came of it",
}
FILES = {
    "etc/network/interfaces": (
        "active configuration of the host's interfaces, interfaces(5). Where it is a symbolic link, what that leads to "
        "has to be where the service may write: elsewhere in /etc by ReadWritePaths=, systemd.exec(5)"
    ),
    "etc/network/interfaces.new": (
        "staged configuration, until it is applied; FILE.new beside a file that is sourced, but see the next"
    ),
    "var/lib/pvenetd/staged/etc/network/....new": (
        "the same, where pvenetd does not bring up the host's interfaces and the ifupdown that does would read "
        "FILE.new at boot, as by source interfaces.d/*. A FILE.new that you write there yourself is staged, too, and "
        "it does read that"
    ),
    "etc/systemd/network/70-pvenetd-NAME.link": "names that NICs keep: interfaces pin",
    "usr/lib/systemd/network/80-pvenetd.link": "has udev leave the MACs of guests' devices to the daemon",
    "etc/pvenetd/pvenetd.toml": "settings of the daemon",
    "etc/pvenetd/qemu-server/VMID.conf": "guests, with Proxmox VE's netN lines",
    "etc/pvenetd/firewall/cluster.fw, host.fw, VMID.fw, BRIDGE.fw": "firewall rules, pvenetd-firewall(5)",
    "var/lib/pvenetd/": "last good configuration, and what a rollback needs",
    "var/lib/pvenetd/tokens.json, ticket.key, tls/": "API tokens without their secrets, the key that signs tickets, "
    "and the certificate that pvenetd has made",
    "run/pvenetd/api.sock": "the HTTP API, for root and members of the group pvenetd",
}
SETTINGS = {
    "qmp": "the sockets of guests' QMP monitors, an absolute path whose last part has one *, which stands for the "
    "VMID: /run/qemu-server/*.qmp. What guests do there is told by pvenetctl events, and link_down of a netN line is "
    "set live, where the NIC's device id is netN. A monitor has one client at a time, and pvenetd keeps it: give it "
    "one of its own, a socket of root's (-qmp unix:/run/qemu-server/100.qmp,server=on,wait=off). None without it",
    "[api] listen": "addresses of the host at which the API is served by HTTPS too, in brackets: "
    '["192.0.2.1", "2001:db8::1"], or ["::"] for all of both families. None without it',
    "[api] port": "the TCP port there, from 1024 on: 8006",
    "[api] certificate": "the certificate, with those that vouch for it behind it, as PEM; without it pvenetd makes "
    "one that it signs itself, in var/lib/pvenetd/tls/api.pem. It is read anew when the file changes",
    "[api] key": "the private key of that certificate, as PEM; without it, it is in the same file",
    "[api] rate": "requests a second of each user at each address, five seconds' at once: 500. Who is not known has a "
    "tenth of it, root at the socket no limit; 0 for none. Who asks more often is answered 429, with Retry-After",
    "[api] port_metrics": "whether /metrics has the counters of every port, with its bridge, guest and NIC: false",
    "[api] others": "what users may who can log in and are neither root nor in the group pvenetd: none, or read",
    "[libvirt] uri": "which hypervisor's domains are followed, empty for none: qemu:///system, but none with --root",
    "[dhcp] client": "dhclient, dhcpcd, or auto: whichever is installed, in this order",
    "[interfaces] staged_at_boot": "whether an edit that waits to be applied goes live with the next boot: false",
    "[apply] probe": "ask, around an apply, whether the default gateways, the peer of the session that applies and "
    "the probes answer after it who answered before it, and roll back at once where one does not: true",
    "[apply] probes": "more addresses that are pinged",
    "[apply] probe_seconds": "how long they have to answer after an apply: 5; where the plan lets a bridge with STP "
    "or a bond begin anew, that is added",
    "[dbus] address": "the bus that org.pvenetd1(5) is on, unix:path=...; empty for none. Without it the system's, but "
    "none with --root",
    "[firewall] backend": "what the rules are loaded by: nftables, or iptables for hosts whose other tools read "
    "Proxmox VE's chains (it needs the packages iptables and ipset, and gives each filtered NIC a bridge of its own)",
    "[firewall] local_network": "the network the host is managed from; without it, that of the host's own address",
    "[firewall] cluster_nodes": "addresses of the cluster's other nodes",
    "[firewall] cut_established": "whether connections that stand are cut when rules change so that they would not be "
    "let begin any more (pvenetd-firewall(5)): false, as Proxmox VE has it",
}


GUESTS = (
    "A guest is its file in etc/pvenetd/qemu-server/ (a container's in etc/pvenetd/lxc/): a change of the file, or of",
    "the firewall's files, is live when it is written, as far as it differs; a file that is broken leaves its guest as",
    "it is, which",
    "\\fBpvenetctl status\\fR and \\fBevents\\fR tell; with its file a guest loses its ports and its chains.",
    "\\fBpvenetctl vm set\\fR changes the one line of a NIC, checked first, and takes it back if the kernel refuses.",
    ".PP",
    "QEMU is given script=/usr/libexec/pvenetd/qemu-ifup and downscript=/usr/libexec/pvenetd/qemu-ifdown for a tap",
    "named tap<vmid>i<n>; if the script fails, or pvenetd is not there for 10 seconds, the guest does not start.",
    "What QEMU does with its taps is noticed, also if it is killed.",
    ".PP",
    "Where the setting qmp names the sockets of its monitors, SHUTDOWN, RESET, POWERDOWN, STOP, RESUME,",
    "GUEST_PANICKED, DEVICE_DELETED and NIC_RX_FILTER_CHANGED (with the MAC that the guest listens to, which is told",
    "and not followed: a guest does not choose where others' frames go) are told by \\fBpvenetctl events\\fR, of each",
    "kind 30 in a row and one a second of each guest, with how many were left untold; link_down of a netN line pulls",
    "the cable of device netN, live and when the monitor is found. A socket at which nobody listens any more is a",
    "guest that is gone. Taps of QEMU's go with it; one that \\fBpvenetctl vm plug\\fR has made stays plugged, for",
    "whoever starts the guest again.",
    ".PP",
    "On a host of Proxmox VE, /usr/libexec/pvenetd/pve-hookscript, as a guest's hookscript, refuses a start whose NICs",
    "could not be plugged, and loads the guest's chains before it.",
)


def escape(text: str) -> str:
    """Return *text* as roff takes it."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def header(name: str, section: int, brief: str) -> list[str]:
    """Return the head of a page."""
    return [
        f'.TH {name.upper()} {section} "" pvenetd "pvenetd manual"',
        ".SH NAME",
        f"{name} \\- {escape(brief)}",
    ]


def entries(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return a list of terms, each with what it means."""
    return [line for term, text in pairs for line in (".TP", f".B {escape(term)}", escape(text))]


def option(name: str, facts: dict[str, Any]) -> str:
    """Return an option as it is typed."""
    if "choices" in facts:
        return f"{name} {{{','.join(facts['choices'])}}}"
    return f"{name} {facts['metavar']}" if "metavar" in facts else name


def usage(command: Command) -> str:
    """Return a command with its arguments as they are typed."""
    found = Declared(command)
    shapes = {"?": "[{}]", "*": "[{}]...", "+": "{}...", None: "{}"}
    places = [shapes[one.get("nargs")].format(one["metavar"]) for one in found.positionals]
    own = [f"[{option(names[0], facts)}]" for names, facts in found.arguments[: found.own] if names[0].startswith("-")]
    return " ".join([*command.words, *places, *own])


def described(command: Command) -> list[str]:
    """Return one command's entry."""
    lines = [".TP", f".B {escape(usage(command))}", escape(f"{command.help}.")]
    if command.offline:
        lines.append("Works without a running daemon too.")
    for names, facts in Declared(command).arguments[: Declared(command).own]:
        if "help" in facts:
            term = option(names[0], facts) if names[0].startswith("-") else facts["metavar"]
            lines += [".RS", ".TP", f".I {escape(term)}", escape(facts["help"]), ".RE"]
    return lines


def pvenetctl() -> str:
    """Return the page of pvenetctl."""
    lines = header("pvenetctl", 1, "the network of a KVM host: look at it, change it")
    lines += [".SH SYNOPSIS", ".B pvenetctl", "[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIARGUMENT\\fR]..."]
    lines += [".SH DESCRIPTION"]
    lines += ["Asks \\fBpvenetd\\fR(8), and prints for people on a terminal, plainly when piped. NO_COLOR is honoured."]
    lines += [".SH OPTIONS", "They stand before or after the command."]
    lines += entries((option(name, facts), f"{facts['help']}.") for name, facts in Declared().options.items())
    lines += [".SH COMMANDS"]
    for group in ("", *GROUPS):
        lines += [".SS", escape(f"{group}: {GROUPS[group]}" if group else "The host as a whole")]
        for command in COMMANDS:
            if " ".join(command.words[:-1]) == group:
                lines += described(command)
    lines += [".SH EXIT STATUS"]
    lines += entries([("0", "done"), ("1", "refused or failed; standard error says why"), ("2", "wrong usage")])
    lines += [".SH ENVIRONMENT", *entries([("PVENETD_ROOT", "what \\-\\-root is without the option")])]
    lines += [".SH FILES", "Below the root:", *entries(FILES.items())]
    lines += [".SH CODES", "What \\fBinterfaces check\\fR tells of:", *entries(CODES.items())]
    return (
        "\n".join(
            [
                *lines,
                ".SH SEE ALSO",
                "\\fBpvenetd\\fR(8), \\fBpvenetd\\-interfaces\\fR(5), \\fBpvenetd\\-firewall\\fR(5),",
                "\\fBpvenetd\\-libvirt\\fR(7), \\fBpvenetd\\-lxc\\fR(7), \\fBinterfaces\\fR(5), \\fBnft\\fR(8)",
            ]
        )
        + "\n"
    )


def pvenetd() -> str:
    """Return the page of pvenetd."""
    lines = header("pvenetd", 8, "daemon for the network of a KVM host")
    lines += [".SH SYNOPSIS", ".B pvenetd", "[\\fB\\-\\-root\\fR \\fIDIR\\fR] [\\fB\\-\\-version\\fR]"]
    lines += [
        ".SH DESCRIPTION",
        "Keeps the host's interfaces, guests' ports and the firewall as the files below say, over netlink.",
        "Every change is planned, applied, verified, and rolled back where it fails or is not confirmed in time.",
        "It is asked by \\fBpvenetctl\\fR(1), or by HTTP at its socket with the paths of Proxmox VE's API.",
        "At its start nothing of the host's own interfaces is changed, unless pvenetd-ifupdown is installed: then",
        "the active configuration is applied, the last good one where it is broken, and devices that turn up later",
        "are configured when they do.  Firewall and guests' ports are brought",
        "to what the files say.",
        ".SH OPTIONS",
    ]
    lines += entries((option(name, facts), f"{facts['help']}.") for name, facts in OPTIONS.items())
    lines += [".SH GUESTS OF QEMU", *GUESTS]
    told = (
        "In etc/pvenetd/pvenetd.toml, read at the start; an unknown key is an error; pvenetd does not start with one.",
        "Where pvenetd-ifupdown is installed it starts all the same, with the settings of the last start that could",
        "read them, and pvenetctl status tells what is wrong.",
    )
    lines += [".SH SETTINGS", *told, *entries(SETTINGS.items())]
    lines += [".SH FILES", "Below the root:", *entries(FILES.items())]
    lines += [
        ".SH JOURNAL",
        "As a service it writes entries with fields, by which \\fBjournalctl\\fR(1) finds them: journalctl VMID=100.",
        *entries(JOURNAL.items()),
    ]
    return (
        "\n".join(
            [
                *lines,
                ".SH SEE ALSO",
                "\\fBpvenetctl\\fR(1), \\fBpvenetd\\-interfaces\\fR(5), \\fBpvenetd\\-firewall\\fR(5),",
                "\\fBpvenetd\\-libvirt\\fR(7), \\fBpvenetd\\-lxc\\fR(7), \\fBinterfaces\\fR(5), \\fBnft\\fR(8)",
            ]
        )
        + "\n"
    )


def pvenetd_interfaces() -> str:
    """Return the page of the configuration."""
    return interfaces.page(header, entries, escape, CODES)


def pvenetd_libvirt() -> str:
    """Return the page of libvirt's domains."""
    return domains.page(header, entries, escape)


def pvenetd_guests() -> str:
    """Return the page of guests' NICs."""
    return nics.page(header, entries)


def pvenetd_lxc() -> str:
    """Return the page of containers."""
    return containers.page(header, entries, escape)


def pvenetd_firewall() -> str:
    """Return the page of firewall files."""
    return firewall.page(header, entries, escape)


def pvenetd_nat() -> str:
    """Return the page of translated addresses."""
    return nat.page(header, entries, escape)


def org_pvenetd1() -> str:
    """Return the page of the system bus."""
    return bus.page(header, entries, escape)


PAGES = {
    "pvenetctl.1": pvenetctl,
    "pvenetd.8": pvenetd,
    "pvenetd-interfaces.5": pvenetd_interfaces,
    "pvenetd-firewall.5": pvenetd_firewall,
    "pvenetd-libvirt.7": pvenetd_libvirt,
    "pvenetd-lxc.7": pvenetd_lxc,
    "pvenetd-guests.7": pvenetd_guests,
    "pvenetd-nat.7": pvenetd_nat,
    "org.pvenetd1.5": org_pvenetd1,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
