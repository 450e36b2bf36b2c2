"""The page of firewall files: their sections, options, rules and macros: pvenetd-firewall(5)."""

from __future__ import annotations

from typing import Any

from pvenetd.firewall.macros import MACROS, Macro, Service
from pvenetd.firewall.options import OPTIONS
from pvenetd.firewall.quota import BURST, LISTS, PER_LIST, RATE
from pvenetd.firewall.ruleset import ICMP, ICMP6, Span

LEVEL = "whether, and by which tag, that is written to the log"
MEANINGS: dict[str, dict[str, str]] = {
    "cluster": {
        "enable": "the firewall of all: 0, the default, filters nobody. More than 1 is an error, where Proxmox VE "
        "takes it for the time of a trial of a minute: pvenetctl firewall apply --confirm SECONDS has trials",
        "ebtables": "whether ARP and other protocols beside IP are filtered too: 1",
        "policy_in": "what becomes of what no rule decides on its way to the host: DROP",
        "policy_out": "the same of what the host sends: ACCEPT",
        "policy_forward": "the same of what the host routes: ACCEPT",
        "log_ratelimit": "how many lines a rule may write to the log: enable=1,rate=1/second,burst=5",
    },
    "host": {
        "enable": "0 leaves the host itself unfiltered, not its guests: 1",
        "ndp": "let pass IPv6 neighbour discovery: 1",
        "log_level_in": f"{LEVEL} what policy_in stops: nolog",
        "log_level_out": f"{LEVEL} what policy_out stops: nolog",
        "log_level_forward": f"{LEVEL} what policy_forward stops: nolog",
        "tcp_flags_log_level": f"{LEVEL} what tcpflags stops: nolog",
        "smurf_log_level": f"{LEVEL} what nosmurfs stops: nolog",
        "nosmurfs": "stop packets from broadcast and multicast addresses: 1",
        "tcpflags": "stop TCP segments whose flags contradict each other: 0",
        "nf_conntrack_max": "connections the kernel keeps track of, at least 32768; the kernel's own without",
        "nf_conntrack_tcp_timeout_established": "seconds until an idle TCP connection is forgotten, at least 7875",
        "nf_conntrack_tcp_timeout_syn_recv": "seconds until a half-open TCP connection is forgotten, 30 to 60",
        "nf_conntrack_allow_invalid": "do not stop packets that belong to no connection they claim: 0",
        "nf_conntrack_helpers": "protocols whose further connections are related: any of amanda, ftp, irc, "
        "netbios-ns, pptp, sane, sip, snmp, tftp",
        "protection_synflood": "limit how fast one source (an IPv6 network of 64 bits) opens connections: 0",
        "protection_synflood_rate": "to so many a second: 200",
        "protection_synflood_burst": "and so many at once: 1000",
        "protection_limit": "is read, and does nothing, as in Proxmox VE",
        "log_nf_conntrack": "write new connections to the log: 0",
        "nftables": "is read, and does nothing: pvenetd.toml chooses the backend",
    },
    "guest": {
        "enable": "0, the default, lets everything to the guest and from it; so does a NIC without firewall=1",
        "policy_in": "what becomes of what no rule decides on its way to the guest: DROP",
        "policy_out": "the same of what the guest sends: ACCEPT",
        "dhcp": "let the guest be a DHCP client: 1",
        "ndp": "let pass IPv6 neighbour discovery: 1",
        "radv": "let the guest send router advertisements: 0",
        "macfilter": "stop what the guest sends from another MAC than its NIC's, or naming another as its own: in ARP, "
        "as a DHCP client (chaddr), as the first option of neighbour discovery. Who asks a DHCP server for others (a "
        "relay, a VPN gateway) has to name itself as their relay, and needs a rule of its own that lets requests in to "
        "UDP port 67; or macfilter: 0: 1",
        "ipfilter": "stop what the guest sends from an address that is not in the set ipfilter-netN of its NIC; the "
        "address that a link makes of the MAC always is. Such a set filters its NIC without the option, too: 0",
        "ipfilter_learn": "filter as ipfilter does, and let a NIC have the addresses that DHCP servers lease to it: 0",
        "connection_limit": f"stop what would be more than {RATE:,} new connections a second of a NIC's ({BURST:,} at "
        f"once) or, with nftables, more than {LISTS * PER_LIST:,} that it has begun: 1",
        "log_level_in": f"{LEVEL} what policy_in stops: nolog",
        "log_level_out": f"{LEVEL} what policy_out, macfilter and ipfilter stop: nolog",
        "ips": "hand what is let in to a program that listens to an NFQUEUE; accepted where none does: 0",
        "ips_queues": "the number of the queue, or N:M for several: 0",
        "layer2_protocols": "Ethernet protocols beside IP that the guest may send, names of /etc/ethertypes or "
        "hexadecimal numbers: any",
    },
    "bridge": {
        "enable": "whether what the bridge forwards is filtered: 0",
        "policy_forward": "what becomes of what no rule decides: ACCEPT",
        "log_level_forward": f"{LEVEL} what policy_forward stops: nolog",
    },
}
FILES = {
    "cluster.fw": "[OPTIONS], [ALIASES], [IPSET name], [RULES], [group name]; its rules are the host's, its names "
    "everybody's",
    "host.fw": "[OPTIONS] and [RULES] of the host, asked before those of cluster.fw",
    "VMID.fw": "[OPTIONS], [ALIASES], [IPSET name], [RULES] of a guest",
    "BRIDGE.fw": "[OPTIONS] and [RULES], of the directions FORWARD and GROUP, of what the bridge forwards",
}
SECTIONS = {
    "[OPTIONS]": "KEY: VALUE",
    "[ALIASES]": "NAME ADDRESS: a name for an address, a network or a range. local_network is there already: the "
    "network the host is managed from; an alias of that name in cluster.fw is used instead",
    "[IPSET name]": "an address, a network, a range or an alias on each line. One with ! before it is not in the set. "
    "Of several that hold an address the smallest network decides. A set holds both families",
    "[RULES]": "rules, in the order they are asked; the first that matches decides",
    "[group name]": "a security group: rules that a line GROUP name stands for",
}
NAMED = {
    "management": "in cluster.fw: who reaches the host's ports 22, 3128, 5900-5999, 8006 and 60000-60050; "
    "local_network always does",
    "blacklist": "in cluster.fw: whose packets neither the host nor a guest that is filtered gets",
    "ipfilter-netN": "in VMID.fw: the addresses that the guest's netN may send from",
}
RULE = {
    "|": "at the beginning switches the rule off; it is still checked, and what is wrong with it is a warning",
    "DIRECTION": "IN, OUT or FORWARD, from the point of view of the host or the guest. FORWARD, which has no REJECT, "
    "is what the host routes or a bridge forwards, and stands in cluster.fw, host.fw, BRIDGE.fw and groups",
    "ACTION": "ACCEPT, DROP or REJECT, in capitals; MACRO(ACTION) for the packets of a macro, whose name has any case",
    "GROUP name [-i IFACE]": "asks the rules of a security group",
    "-i IFACE": "what IN comes in by, or OUT goes out by: net0 to net31 of a guest, an interface of the host "
    "by any of its names; not in groups, and not for FORWARD",
    "-source, -dest SIDE": "an address, a network, a range FIRST-LAST, a list of addresses and networks with commas, "
    "the name of an alias, or + and the name of a set. Host bits below a network's prefix are ignored. A name is the "
    "guest's own first, then cluster.fw's; dc/ and guest/ before it say which",
    "-p PROTOCOL": "a name of /etc/protocols, icmpv6, or a number. ip (0) is any",
    "-sport, -dport PORTS": "a number, a name of /etc/services, a range A:B, or a list of them with commas, 15 numbers "
    "at most, a range counting two; of tcp, udp, udplite, sctp or dccp",
    "-icmp-type TYPE": "a name as iptables has it, a number, TYPE/CODE, or a list of them with commas; with -p icmp "
    "or -p icmpv6, where -dport says the same",
    "-log LEVEL": "writes to the log what the rule matches: emerg, alert, crit, err, warning, notice, info, debug, or "
    "nolog, which does not",
    "# COMMENT": "up to the end of the line",
}
FAMILIES = (
    "A rule is about both families, IPv4 and IPv6, unless it says: by an address, an alias, -p icmp (IPv4), -p icmpv6",
    "(IPv6), or a macro. With a set it is about those families that the set has addresses of. IPv4 and IPv6 in one",
    "rule are an error.",
)
LEASES = (
    "With \\fBipfilter_learn: 1\\fR a guest needs no list of addresses: what a DHCP server leases to a NIC is its own",
    "from that moment on, until the lease ends or the guest gives it back; before, it can ask for an address and do",
    "nothing else. Proxmox VE ignores the line, with a warning. The answer has to be let in by the guest's chains and",
    "to name the NIC's MAC address. With \\fBdhcp: 1\\fR all answers are; with \\fBdhcp: 0\\fR the guest's own rules",
    "say whose answers count (\\fBIN ACCEPT \\-source 192.0.2.1 \\-p udp \\-dport 68\\fR); rules in groups teach",
    "nothing. Who is believed is who could have the address himself: the host, what is outside, a port that is not",
    "filtered. What a filtered guest answers is believed where its own rules let requests in, to port 67, or 547 for",
    "IPv6.",
    ".PP",
    "Over IPv6 the addresses and prefixes of DHCPv6 are learnt, and the link's own address is always the guest's. An",
    "address that a guest makes by itself of a router's advertisement (SLAAC) is not: nobody but the guest says that",
    "it is its own. It has to be in the set \\fBipfilter\\-netN\\fR, as a network may.",
    ".PP",
    "A NIC has 16 addresses of a family at most. What was learnt outlives reloads, restarts and boots, and is for one",
    "MAC address on one bridge and VLAN. While pvenetd does not run, IPv4 leases are learnt all the same, and last a",
    "day; a guest that comes from another host by live migration has to renew its lease first. \\fBpvenetctl firewall",
    "leases\\fR lists them, \\fBpvenetctl events\\fR tells of them.",
    'With \\fBbackend = "iptables"\\fR nothing is learnt.',
)
WRONG = (
    "A line that cannot be read is an error with its number, never passed over: what it would have stopped would pass.",
    "All are told at once, by \\fBpvenetctl firewall check\\fR. What is wrong in a guest's file, names that are",
    "missing among it, concerns that guest alone. A file that is wrong counts as it was when it was last loaded; one",
    "that never was right closes.",
)
CONNECTIONS = (
    "A connection that was let begin goes on, whatever rules say later, as with Proxmox VE. With the setting",
    "[firewall] cut_established, pvenetd(8), each connection of a guest or the host is asked again, as if it began",
    "now, when rules change that may concern it; \\fBpvenetctl firewall apply --cut\\fR asks all of them once. One",
    "that is refused is cut: its next packet is a first one to the rules, and who answered it is not let go on with it",
    "(TCP for a day, others for ten minutes). \\fBpvenetctl events\\fR tells how many were cut, and by which lines.",
    "Others lose no packet. A guest's connections are known by the addresses that it has begun connections with, or",
    "spoken ARP, within a day: while two guests speak with one address, the rules of both have to refuse. What the",
    "rules leave open (whether somebody who is no guest is reached by the bridge or by the host, what belongs to",
    "another connection as FTP's data do, what is for a group) is not cut. With the backend iptables nothing is known",
    "of guests' addresses, and only the host's own connections are cut.",
)
DIFFERENCES = {
    "names": "of sets, groups and aliases have no case, wherever they stand",
    "ICMP types": "may be numbers",
    "host bits": "may be set in a network",
    "enable": "is 0 or 1: yes or true is an error, not off",
    "/0": "in a set is an error, as is an entry with and without !; one that is there twice is a warning",
    "an option twice": "is a warning; the last counts. A set, a group, or an alias for others, twice is an error",
    "+sdn/NAME": "is a set that does not exist",
}


def page(header: Any, entries: Any, escape: Any) -> str:
    """Return the page; *header*, *entries* and *escape* are the generator's."""
    lines = [
        *header("pvenetd-firewall", 5, "rules for the host, its guests and its bridges"),
        ".SH DESCRIPTION",
        "Files in etc/pvenetd/firewall/, in the format of Proxmox VE's firewall. A change is live when it is written.",
        "A guest is filtered where cluster.fw and its own file have enable: 1 and its NIC has firewall=1.",
        *entries(FILES.items()),
        ".SH SECTIONS",
        "A line is one thing; blank lines, and lines that begin with #, mean nothing. Headers have any case, and",
        "those with a name may end in # and a comment, as may rules, aliases and what is in a set. Names begin with a",
        "letter, and have letters, digits, - and _: 2 to 18 a group's, 2 to 64 others.",
        *entries(SECTIONS.items()),
        ".SH SETS WITH A MEANING",
        *entries(NAMED.items()),
        ".SH OPTIONS",
        "After the colon at the end of a meaning stands the default.",
    ]
    for (scope, known), name in zip(OPTIONS.items(), FILES, strict=True):
        lines += [f".SS {name}"]
        lines += entries((f"{key}: {option.takes}", MEANINGS[scope][key]) for key, option in known.items())
    lines += [".SH RULES", ".nf", "[|]DIRECTION ACTION [OPTION VALUE]... [# COMMENT]", ".fi", *entries(RULE.items())]
    lines += [".PP", *FAMILIES]
    lines += [
        ".SH MACROS",
        "What a rule says beside a macro is added; where it contradicts the macro it is an error.",
    ]
    lines += entries((one.name, described(one)) for one in MACROS.values())
    lines += [".SH ADDRESSES THAT ARE LEASED", *LEASES]
    lines += [".SH WHAT IS WRONG", *WRONG]
    lines += [".SH CONNECTIONS THAT STAND", *CONNECTIONS]
    lines += [".SH DIFFERENCES TO PROXMOX VE", *entries(DIFFERENCES.items())]
    lines += [
        ".SH EXAMPLE",
        ".nf",
        *(escape(line) for line in EXAMPLE.splitlines()),
        ".fi",
        ".SH SEE ALSO",
        "\\fBpvenetctl\\fR(1), \\fBpvenetd\\fR(8), \\fBpvenetd\\-guests\\fR(7), \\fBnft\\fR(8)",
    ]
    return "\n".join(lines) + "\n"


def described(macro: Macro) -> str:
    """Return what a macro is for, and its packets."""
    return f"{macro.about}: {'; '.join(map(packets, macro.services))}"


def packets(service: Service) -> str:
    """Return packets as a person reads them."""
    names = {ICMP: "icmp", ICMP6: "icmpv6", 6: "tcp", 17: "udp"}
    words = [names.get(service.proto or 0, f"protocol {service.proto}")]
    words += [ports(service.dport)] if service.dport else []
    words += ["type", ", ".join(str(one.type) for one in service.icmp)] if service.icmp else []
    words += ["from", ports(service.sport)] if service.sport else []
    words += ["(IPv6)"] if service.version == 6 and service.proto != ICMP6 else []
    return " ".join(words)


def ports(spans: tuple[Span, ...]) -> str:
    """Return ports as a rule has them."""
    return ",".join(str(one.first) if one.first == one.last else f"{one.first}:{one.last}" for one in spans)


EXAMPLE = """\
[OPTIONS]
enable: 1

[ALIASES]
backup 192.0.2.10

[IPSET office] # not its guests
198.51.100.0/24
!198.51.100.128/25

[RULES]
GROUP web -i net0
IN SSH(ACCEPT) -source +office # admins
OUT DROP -dest backup -p tcp -dport 22,8007 -log info
|IN Ping(ACCEPT)
"""
