"""Macros: names that stand for the packets of a service, a row each; `merged` adds what a rule says itself.

Source: Proxmox VE's administration guide, appendix "Firewall Macro Definitions".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from pvenetd.firewall.ruleset import ICMP, ICMP6, WITH_PORTS, IcmpType, Span
from pvenetd.firewall.values import Wrong, icmp_type, near, ports, protocol


@dataclass(frozen=True, slots=True)
class Service:
    """Packets by what stands above their addresses; a field that is empty or None matches everything."""

    proto: int | None = None
    sport: tuple[Span, ...] = ()
    dport: tuple[Span, ...] = ()
    icmp: tuple[IcmpType, ...] = ()
    version: int | None = None
    """The one IP version it is about."""


@dataclass(frozen=True, slots=True)
class Macro:
    """A name, what it is for, and its packets: those of any of *services*."""

    name: str
    about: str
    services: tuple[Service, ...]


_ROWS = (
    # name, what for, PROTOCOL [PORTS | ICMP-TYPES] [from PORTS]; …
    ("Amanda", "Amanda network backup", "udp 10080; tcp 10080"),
    ("Auth", "Auth (identd)", "tcp 113"),
    ("BGP", "Border Gateway Protocol", "tcp 179"),
    ("BitTorrent", "BitTorrent up to version 3.1", "tcp 6881:6889; udp 6881"),
    ("BitTorrent32", "BitTorrent from version 3.2", "tcp 6881:6999; udp 6881"),
    ("Ceph", "Ceph storage: monitors, OSDs, MDS, managers", "tcp 3300,6789,6800:7300"),
    ("Citrix", "Citrix ICA", "tcp 1494,2598; udp 1604"),
    ("CVS", "CVS pserver", "tcp 2401"),
    ("DAAP", "Digital Audio Access Protocol", "tcp 3689; udp 3689"),
    ("DCC", "Distributed Checksum Clearinghouse", "tcp 6277"),
    ("DHCPfwd", "DHCP that is forwarded", "udp 67:68 from 67:68"),
    ("DHCPv6", "DHCP for IPv6", "udp6 546:547 from 546:547"),
    ("Distcc", "Distributed compiler", "tcp 3632"),
    ("DNS", "Domain Name System", "udp 53; tcp 53"),
    ("Finger", "Finger", "tcp 79"),
    ("FTP", "File Transfer Protocol (its data needs the helper ftp)", "tcp 21"),
    ("Git", "Git's own protocol", "tcp 9418"),
    ("GNUnet", "GNUnet", "tcp 1080,2086; udp 1080,2086"),
    ("GRE", "Generic Routing Encapsulation", "gre"),
    ("HKP", "OpenPGP key server", "tcp 11371"),
    ("HTTP", "Web", "tcp 80"),
    ("HTTP/3", "Web over QUIC", "udp 443"),
    ("HTTPS", "Web over TLS", "tcp 443"),
    ("ICPV2", "Internet Cache Protocol, version 2", "udp 3130"),
    ("ICQ", "AOL Instant Messenger", "tcp 5190"),
    ("IMAP", "Mail boxes", "tcp 143"),
    ("IMAPS", "Mail boxes over TLS", "tcp 993"),
    ("IPIP", "IPIP encapsulation", "94"),
    ("IPsec", "IPsec with ESP", "udp 500 from 500; esp"),
    ("IPsecah", "IPsec with AH", "udp 500 from 500; ah"),
    ("IPsecnat", "IPsec with ESP through NAT", "udp 500,4500; esp"),
    ("IRC", "Internet Relay Chat", "tcp 6667"),
    ("Jetdirect", "HP Jetdirect printers", "tcp 9100"),
    ("L2TP", "Layer 2 Tunneling Protocol", "udp 1701"),
    ("LDAP", "Directory", "tcp 389"),
    ("LDAPS", "Directory over TLS", "tcp 636"),
    ("Mail", "Mail: SMTP, SMTPS, submission", "tcp 25,465,587"),
    ("MDNS", "Multicast DNS", "udp 5353"),
    ("MSNP", "Microsoft Notification Protocol", "tcp 1863"),
    ("MSSQL", "Microsoft SQL Server", "tcp 1433"),
    ("Munin", "Munin's nodes", "tcp 4949"),
    ("MySQL", "MySQL and MariaDB", "tcp 3306"),
    ("NeighborDiscovery", "IPv6 neighbour discovery, router advertisements",
     "icmpv6 router-solicitation,router-advertisement,neighbour-solicitation,neighbour-advertisement"),
    ("NNTP", "News", "tcp 119"),
    ("NNTPS", "News over TLS", "tcp 563"),
    ("NTP", "Network Time Protocol", "udp 123"),
    ("OpenVPN", "OpenVPN over UDP", "udp 1194"),
    ("OSPF", "Open Shortest Path First", "ospf"),
    ("PBS", "Proxmox Backup Server", "tcp 8007"),
    ("PCA", "Symantec PCAnywhere", "udp 5632; tcp 5631"),
    ("Ping", "ICMP echo request", "icmp echo-request; icmpv6 echo-request"),
    ("PMG", "Proxmox Mail Gateway's web interface", "tcp 8006"),
    ("POP3", "Mail boxes, POP3", "tcp 110"),
    ("POP3S", "Mail boxes, POP3 over TLS", "tcp 995"),
    ("PostgreSQL", "PostgreSQL", "tcp 5432"),
    ("PPtP", "Point-to-Point Tunneling Protocol", "gre; tcp 1723"),
    ("Printer", "Line printers (LPD)", "tcp 515"),
    ("Razor", "Razor against spam", "tcp 2703"),
    ("Rdate", "Time by rdate", "tcp 37"),
    ("RDP", "Microsoft Remote Desktop", "tcp 3389"),
    ("RIP", "Routing Information Protocol", "udp 520"),
    ("RNDC", "BIND's remote control", "tcp 953"),
    ("Rsync", "Rsync's own protocol", "tcp 873"),
    ("SANE", "Scanners", "tcp 6566"),
    ("SixXS", "SixXS tunnels", "tcp 3874; udp 3740,5072,8374; 41"),
    ("SMB", "Windows file sharing", "udp 135,137:139,445; udp 1024:65535 from 137; tcp 135,139,445"),
    ("SMBswat", "Samba's web administration", "tcp 901"),
    ("SMTP", "Mail between servers", "tcp 25"),
    ("SMTPS", "Mail over TLS", "tcp 465"),
    ("SNMP", "Network management, and its traps", "udp 161:162; tcp 161"),
    ("SPAMD", "SpamAssassin's daemon", "tcp 783"),
    ("SPICEproxy", "Proxmox's proxy for SPICE consoles", "tcp 3128"),
    ("Squid", "Squid web proxy", "tcp 3128"),
    ("SSH", "Secure shell", "tcp 22"),
    ("Submission", "Mail from clients", "tcp 587"),
    ("SVN", "Subversion's own protocol", "tcp 3690"),
    ("Syslog", "Syslog", "udp 514; tcp 514"),
    ("Telnet", "Telnet", "tcp 23"),
    ("Telnets", "Telnet over TLS", "tcp 992"),
    ("TFTP", "Trivial file transfer (its data needs the helper tftp)", "udp 69"),
    ("Time", "Time protocol (RFC 868)", "tcp 37"),
    ("Trcrt", "Traceroute, 30 hops at most", "udp 33434:33524; icmp echo-request; icmpv6 echo-request"),
    ("VNC", "VNC displays 0 to 99", "tcp 5900:5999"),
    ("VNCL", "VNC viewers that listen", "tcp 5500"),
    ("Web", "Web, with and without TLS", "tcp 80,443"),
    ("Webcache", "Web caches and proxies on port 8080", "tcp 8080"),
    ("Webmin", "Webmin", "tcp 10000"),
    ("Whois", "Whois", "tcp 43"),
)  # fmt: skip


def _service(text: str) -> Service:
    words, _, sources = text.partition(" from ")
    name, _, value = words.partition(" ")
    proto = protocol("udp" if name == "udp6" else name)
    version = 6 if name == "udp6" else {ICMP: 4, ICMP6: 6}.get(proto)
    if proto in (ICMP, ICMP6):
        return Service(proto, icmp=icmp_type(value, proto), version=version)
    return Service(proto, _spans(sources, proto), _spans(value, proto), version=version)


def _spans(text: str, proto: int) -> tuple[Span, ...]:
    return ports(text, proto) if text else ()


MACROS = {
    name.lower(): Macro(name, about, tuple(_service(part) for part in text.split("; "))) for name, about, text in _ROWS
}
"""Every macro, by its name in lower case."""


def macro(name: str) -> Macro:
    """Return a macro by its name in any case.  Raises `Wrong`."""
    try:
        return MACROS[name.lower()]
    except KeyError:
        raise Wrong(f"unknown macro '{name}'", near(name, [one.name for one in MACROS.values()])) from None


@lru_cache(maxsize=1024)
def merged(name: str, given: Service) -> tuple[Service, ...]:
    """Return the packets of macro *name* that *given*, a rule's own fields, says more about.

    Raises `Wrong` where the rule contradicts the macro: the packets of one of its services could never match.
    """
    found = macro(name)
    services = [one for one in found.services if {one.version, given.version} in _AGREE]
    if not services:
        raise Wrong(f"macro {found.name} is not for IPv{given.version}")
    return tuple(_both(found.name, one, given) for one in services)


_AGREE: tuple[set[int | None], ...] = ({None}, {4}, {6}, {None, 4}, {None, 6})


def _both(name: str, service: Service, given: Service) -> Service:
    for option, fixed, own in _pairs(service, given):
        if fixed and own and fixed != own:
            raise Wrong(f"-{option} contradicts macro {name}", "leave it out")
    if (given.sport or given.dport) and service.proto not in WITH_PORTS:
        raise Wrong(f"ports contradict macro {name}, which has a protocol without ports")
    if given.icmp and service.proto not in (ICMP, ICMP6):
        raise Wrong(f"-icmp-type contradicts macro {name}")
    return replace(
        service,
        sport=service.sport or given.sport,
        dport=service.dport or given.dport,
        icmp=service.icmp or given.icmp,
        version=service.version or given.version,
    )


def _pairs(service: Service, given: Service) -> Iterable[tuple[str, object, object]]:
    return (
        ("proto", service.proto, given.proto),
        ("sport", service.sport, given.sport),
        ("dport", service.dport, given.dport),
        ("icmp-type", service.icmp, given.icmp),
    )
