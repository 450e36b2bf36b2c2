"""The values of a firewall rule: protocols, ports, addresses, ICMP types, as Proxmox writes them.

Every function returns the value or raises `Wrong` with the words for the user.
Sources: services(5), protocols(5); Proxmox VE's administration guide, chapter "Firewall".
"""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pvenetd.firewall.icmp import TYPES4, TYPES6
from pvenetd.firewall.ruleset import ICMP, ICMP6, TCP, UDP, Addresses, IcmpType, Span, merge

MAX_PORTS = 15
"""Numbers in a list of ports, a range counting two: what multiport takes (iptables-extensions(8))."""

_PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58,
              "ipv6-icmp": 58, "ospf": 89, "vrrp": 112, "sctp": 132, "udplite": 136}  # fmt: skip
"""The usual names, so that rules mean the same on a host without /etc/protocols; icmpv6 isn't in it anyway."""

_L4_NAMES = {TCP: "tcp", UDP: "udp"}


class Wrong(ValueError):
    """A value that is wrong: what it is, and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Ref:
    """The name of an alias or a set, in lower case."""

    kind: Literal["alias", "set"]
    scope: Literal["", "dc", "guest", "sdn"]
    name: str

    def __str__(self) -> str:
        """Return it as it stands in a rule."""
        return f"{'+' if self.kind == 'set' else ''}{self.scope}{'/' if self.scope else ''}{self.name}"


def near(word: str, known: Iterable[str]) -> str:
    """Return a hint at the one of *known* that may be meant, nothing where none is like it."""
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), names, 1)
    return f"did you mean {names[found[0]]}?" if found else ""


def protocol(text: str) -> int:
    """Return the IP protocol number of a name of /etc/protocols, or of a number."""
    if found := _PROTOCOLS.get(text.lower()):
        return found
    if _number(text) and int(text) <= 255:
        return int(text)
    try:
        return socket.getprotobyname(text.lower())
    except (OSError, ValueError):
        raise Wrong(f"unknown protocol '{text}'", near(text, _PROTOCOLS)) from None


@lru_cache(maxsize=1024)
def ports(text: str, proto: int) -> tuple[Span, ...]:
    """Return the ports of a comma list of numbers, names of /etc/services and ranges ``a:b``."""
    spans = tuple(_ports(part, proto) for part in text.split(","))
    if sum(1 if span.first == span.last else 2 for span in spans) > MAX_PORTS:
        raise Wrong(f"more than {MAX_PORTS} ports in '{text}' (a range counts two)", "write two rules")
    return merge(spans)


def _ports(text: str, proto: int) -> Span:
    first, colon, last = text.partition(":")
    if not colon:
        port = _port(text) if _number(text) else _service(text, proto)
        return Span(port, port)
    span = Span(_port(first), _port(last))
    if span.first > span.last:
        raise Wrong(f"port range '{text}' runs backwards")
    return span


def _port(text: str) -> int:
    if not _number(text) or int(text) > 65535:
        raise Wrong(f"'{text}' is no port (0..65535)")
    return int(text)


def _number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _service(text: str, proto: int) -> int:
    try:
        name = _L4_NAMES.get(proto)
        return socket.getservbyname(text, name) if name else socket.getservbyname(text)
    except (OSError, ValueError):
        raise Wrong(f"unknown port '{text}'") from None


_NAME = re.compile(r"(\+?)(?:(dc|guest|sdn)/)?([a-z][a-z0-9_-]*)")
"""A reference, in lower case; an address begins with no letter, or has a colon."""


def operand(text: str) -> Addresses | Ref:
    """Return what ``-source`` and ``-dest`` say: addresses, or the name of an alias or a set (``+``)."""
    if text[:1] in "0123456789":
        return addresses(text)
    if found := _NAME.fullmatch(text.lower()):
        return Ref("set" if found[1] else "alias", _scope(found[2]), found[3])
    if text.startswith("+"):
        raise Wrong(f"'{text}' is not the name of an IP set", "+NAME, +dc/NAME or +guest/NAME")
    return addresses(text)


def _scope(text: str | None) -> Literal["", "dc", "guest", "sdn"]:
    scopes: dict[str | None, Literal["", "dc", "guest", "sdn"]] = {"dc": "dc", "guest": "guest", "sdn": "sdn"}
    return scopes.get(text, "")


def addresses(text: str) -> Addresses:
    """Return the addresses of ``ADDRESS``, ``CIDR``, ``FIRST-LAST``, or a comma list of the first two.

    Host bits below a CIDR's prefix are ignored.
    """
    if "," not in text:
        version, span = _addresses(text, alone=True)
        return Addresses(version, (span,))
    found = [_addresses(part, alone=False) for part in text.split(",")]
    if len({version for version, _ in found}) > 1:
        raise Wrong(f"IPv4 and IPv6 mixed in '{text}'", "write two rules")
    return Addresses(found[0][0], merge(tuple(span for _, span in found)))


def _addresses(text: str, *, alone: bool) -> tuple[int, Span]:
    first, dash, last = text.partition("-")
    if "%" in text or (dash and not alone):
        raise Wrong(f"'{text}' cannot stand in a rule")
    if dash:
        (version, low), (other, high) = _address(first), _address(last)
        if version != other or low > high:
            raise Wrong(f"address range '{text}' runs backwards")
        return version, Span(low, high)
    base, slash, prefix = text.partition("/")
    version, low = _address(base)
    if not slash:
        return version, Span(low, low)
    bits = 32 if version == 4 else 128
    if not _number(prefix) or int(prefix) > bits:
        raise Wrong(f"'{text}' is no network: its prefix is 0 to {bits}")
    host = (1 << (bits - int(prefix))) - 1
    return version, Span(low & ~host, low | host)


def _address(text: str) -> tuple[int, int]:
    """Return the version and the number of an address: strict, as inet_pton(3) is, and fast."""
    version, family = (6, socket.AF_INET6) if ":" in text else (4, socket.AF_INET)
    try:
        return version, int.from_bytes(socket.inet_pton(family, text))
    except (OSError, ValueError):
        raise Wrong(f"'{text}' does not appear to be an IPv4 or IPv6 address") from None


@lru_cache(maxsize=256)
def icmp_type(text: str, proto: int) -> tuple[IcmpType, ...]:
    """Return the types of an iptables name (``echo-request``), a number, ``type/code``, or a comma list; any = ()."""
    names = {ICMP: TYPES4, ICMP6: TYPES6}.get(proto)
    if names is None:
        raise Wrong("-icmp-type needs -proto icmp or icmpv6")
    if text.lower() == "any":
        return ()
    return tuple(dict.fromkeys(_icmp_type(part, names) for part in text.split(",")))


def _icmp_type(text: str, names: dict[str, tuple[int, int | None]]) -> IcmpType:
    if text.lower() in names:
        return IcmpType(*names[text.lower()])
    found = re.fullmatch(r"([0-9]{1,3})(?:/([0-9]{1,3}))?", text, re.ASCII)
    if not found or int(found[1]) > 255 or int(found[2] or 0) > 255:
        raise Wrong(f"unknown ICMP type '{text}'", near(text, names))
    return IcmpType(int(found[1]), int(found[2]) if found[2] else None)
