"""What cutting connections needs in the kernel: who was seen where, and what was cut.

A bridge's guests have addresses that no file tells.  So the port and the source of the first packet of every
connection that a guest begins, and of its ARP, are kept in a set; what belongs to a connection is let through before.

Conntrack takes up a connection in its middle, in whichever direction the next packet is.  So one that was forgotten
would go on if the side that once answered it is let begin connections.  Its answers are kept in another set, and
refused where they would be a first packet; one that really begins something, TCP's SYN, is not asked.

Sources: nft(8), "SET STATEMENT"; net/netfilter/nf_conntrack_proto_tcp.c (nf_conntrack_tcp_loose).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator

from pvenetd.firewall.builtin import ESTABLISHED
from pvenetd.firewall.flow import Ends, Flow
from pvenetd.firewall.ruleset import TCP, WITH_PORTS, Rule
from pvenetd.firewall.wire_format import BRIDGE, INET, NEWSETELEM, attribute, set_key, with_elements

KEPT_SETS = frozenset({"pieces", "seen-v4", "seen-v6", "cut-v4", "cut-v6"})
"""Sets of no piece: what is in them outlives whatever is loaded."""

CUT_SETS = """\
	set cut-v4 {
		type ipv4_addr . ipv4_addr . inet_proto . inet_service . inet_service
		size 1048576
		flags timeout
	}
	set cut-v6 {
		type ipv6_addr . ipv6_addr . inet_proto . inet_service . inet_service
		size 1048576
		flags timeout
	}
"""

SEEN_SETS = """\
	set seen-v4 {
		type ifname . ipv4_addr
		size 16384
		flags dynamic,timeout
		timeout 1d
	}
	set seen-v6 {
		type ifname . ipv6_addr
		size 16384
		flags dynamic,timeout
		timeout 1d
	}
"""
"""An address stays for a day after its last connection, or ARP."""


def _was_cut(name: str, says: str, families: tuple[str, str], verdict: str) -> str:
    lines = [
        f"meta {says} {family} {ip} saddr . {ip} daddr . meta l4proto . th sport . th dport @cut-v{version}"
        f" counter {verdict}"
        for family, ip, version in zip(families, ("ip", "ip6"), (4, 6), strict=True)
    ]
    begins = "meta l4proto 6 tcp flags & (fin | syn | rst | ack) == syn return"
    return f"\tchain {name} {{\n" + "".join(f"\t\t{line}\n" for line in (begins, *lines)) + "\t}\n"


HOST_CHAINS = _was_cut("cut", "nfproto", ("ipv4", "ipv6"), "goto refuse")

BRIDGE_CHAINS = (
    """\
	chain seen {
		meta protocol arp arp ptype 0x0800 arp saddr ip != 0.0.0.0 update @seen-v4 { iifname . arp saddr ip }
		meta protocol ip ip saddr != 0.0.0.0 update @seen-v4 { iifname . ip saddr }
		meta protocol ip6 ip6 saddr != :: update @seen-v6 { iifname . ip6 saddr }
	}
"""
    + _was_cut("cut-to-guest", "protocol", ("ip", "ip6"), "drop")
    + _was_cut("cut-out", "protocol", ("ip", "ip6"), "goto refuse-out")
)

INTO = (Rule("jump", target="cut-to-guest", origin="cut-to-guest"),)
OUT = (Rule("jump", target="seen", origin="seen"), Rule("jump", target="cut-out", origin="cut-out"))
"""What guests' shared chains ask behind what belongs to a connection."""
HOST = Rule("jump", target="cut", origin="cut")


def asked(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Yield the host's *rules*, with the question what was cut behind what belongs to a connection."""
    for rule in rules:
        yield rule
        if rule == ESTABLISHED:
            yield HOST


LASTS, LASTS_UDP = 86400, 600
"""Seconds for which answers are refused: TCP's may be tried again after hours (tcp_keepalive_time is two), UDP's
peers may begin anew by the same ports."""
MOST = 500
"""Connections that one transaction takes: an attribute of netlink has 64 KiB at most."""


def refused(flows: Collection[Flow], *, at_host: bool) -> bytes:
    """Return the messages that have answers of *flows*, at most `MOST`, refused: by the host, or at guests' ports.

    They are there once: who lists a table waits for all that is in it.
    """
    found, family = b"", INET if at_host else BRIDGE
    for version in (4, 6):
        elements = [_answer(one) for one in flows if one.version == version and one.protocol in WITH_PORTS]
        if elements:
            found += with_elements(NEWSETELEM, f"cut-v{version}", elements, family=family)
    return found


def _answer(flow: Flow) -> bytes:
    seconds = LASTS if flow.protocol == TCP else LASTS_UDP
    return set_key(_key(flow.version, flow.protocol, flow.answer)) + attribute(4, struct.pack("!Q", seconds * 1000))


def _key(version: int, protocol: int, ends: Ends) -> bytes:
    """Return an element of several parts, each filled up to four bytes (NFT_REG32_SIZE)."""
    size = 4 if version == 4 else 16
    hosts = ends.source.to_bytes(size, "big") + ends.dest.to_bytes(size, "big")
    return hosts + struct.pack("!B3xH2xH2x", protocol, ends.sport, ends.dport)
