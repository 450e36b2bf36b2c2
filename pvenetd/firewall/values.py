"""The values of a firewall rule: protocols, ports, addresses, ICMP types, as Proxmox writes them.

Every function returns the value or raises ValueError with the words for the user.
Sources: services(5), protocols(5); Proxmox VE's administration guide, chapter "Firewall".
"""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address, ip_network

from pvenetd.firewall.icmp import TYPES4, TYPES6
from pvenetd.firewall.ruleset import ICMP, ICMP6, TCP, UDP, Addresses, IcmpType, Span, merge

MAX_PORTS = 15
"""Numbers in a list of ports, a range counting two: what multiport takes (iptables-extensions(8))."""

_PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58,
              "ipv6-icmp": 58, "ospf": 89, "vrrp": 112, "sctp": 132, "udplite": 136}  # fmt: skip
"""The usual names, so that rules mean the same on a host without /etc/protocols; icmpv6 isn't in it anyway."""

_L4_NAMES = {TCP: "tcp", UDP: "udp"}


class Unsupported(ValueError):
    """A thing that is right, and that this version cannot do."""


def protocol(text: str) -> int:
    """Return the IP protocol number of a name of /etc/protocols, or of a number."""
    if _number(text) and int(text) <= 255:
        return int(text)
    if text in _PROTOCOLS:
        return _PROTOCOLS[text]
    try:
        return socket.getprotobyname(text)
    except (OSError, ValueError):
        raise ValueError(f"unknown protocol '{text}'") from None


def ports(text: str, proto: int) -> tuple[Span, ...]:
    """Return the ports of a comma list of numbers, names of /etc/services and ranges ``a:b``."""
    spans = tuple(_ports(part, proto) for part in text.split(","))
    if sum(1 if span.first == span.last else 2 for span in spans) > MAX_PORTS:
        raise ValueError(f"more than {MAX_PORTS} ports in '{text}' (a range counts two)")
    return merge(spans)


def _ports(text: str, proto: int) -> Span:
    first, colon, last = text.partition(":")
    if not colon:
        port = _port(text) if _number(text) else _service(text, proto)
        return Span(port, port)
    span = Span(_port(first), _port(last))
    if span.first > span.last:
        raise ValueError(f"port range '{text}' runs backwards")
    return span


def _port(text: str) -> int:
    if not _number(text) or int(text) > 65535:
        raise ValueError(f"'{text}' is no port (0..65535)")
    return int(text)


def _number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}", text) is not None


def _service(text: str, proto: int) -> int:
    try:
        name = _L4_NAMES.get(proto)
        return socket.getservbyname(text, name) if name else socket.getservbyname(text)
    except (OSError, ValueError):
        raise ValueError(f"unknown port '{text}'") from None


def addresses(text: str) -> Addresses:
    """Return the addresses of ``ADDRESS``, ``CIDR``, ``FIRST-LAST``, or a comma list of the first two.

    Host bits below a CIDR's prefix are ignored.
    """
    parts = text.split(",")
    found = [_addresses(part, alone=len(parts) == 1) for part in parts]
    if len({version for version, _ in found}) > 1:
        raise ValueError(f"IPv4 and IPv6 mixed in '{text}'")
    return Addresses(found[0][0], merge(tuple(span for _, span in found)))


def _addresses(text: str, *, alone: bool) -> tuple[int, Span]:
    if text.startswith("+"):
        raise Unsupported(f"IP set '{text}'")
    if re.fullmatch(r"(dc/|guest/)?[A-Za-z][\w-]+", text) and not re.fullmatch(r"[0-9a-fA-F]+", text):
        raise Unsupported(f"alias '{text}'")
    first, dash, last = text.partition("-")
    if "%" in text or (dash and not alone):
        raise ValueError(f"'{text}' cannot stand in a rule")
    if not dash:
        net = ip_network(text, strict=False)
        return net.version, Span(int(net.network_address), int(net.broadcast_address))
    low, high = ip_address(first), ip_address(last)
    if low.version != high.version or int(low) > int(high):
        raise ValueError(f"address range '{text}' runs backwards")
    return low.version, Span(int(low), int(high))


def icmp_type(text: str, proto: int) -> tuple[IcmpType, ...]:
    """Return the types of an iptables name (``echo-request``), a number, ``type/code``, or a comma list; any = ()."""
    names = {ICMP: TYPES4, ICMP6: TYPES6}.get(proto)
    if names is None:
        raise ValueError("-icmp-type needs -proto icmp or icmpv6")
    if text == "any":
        return ()
    return tuple(dict.fromkeys(_icmp_type(part, names) for part in text.split(",")))


def _icmp_type(text: str, names: dict[str, tuple[int, int | None]]) -> IcmpType:
    if text in names:
        return IcmpType(*names[text])
    found = re.fullmatch(r"([0-9]{1,3})(?:/([0-9]{1,3}))?", text)
    if not found or int(found[1]) > 255 or int(found[2] or 0) > 255:
        raise ValueError(f"unknown ICMP type '{text}'")
    return IcmpType(int(found[1]), int(found[2]) if found[2] else None)
