"""What nfnetlink messages about our tables are made of.

Sources: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h; libnftnl's udata.h for comments.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

INET, NETDEV, BRIDGE = 1, 5, 7
"""NFPROTO_* (linux/netfilter.h)."""
FAMILIES = {"inet": INET, "netdev": NETDEV, "bridge": BRIDGE}
"""By the names of the tables."""
NEWCHAIN, DELCHAIN, NEWRULE, DELRULE, NEWSET, NEWSETELEM, DELSETELEM = 3, 5, 6, 8, 9, 12, 14
"""NFT_MSG_*."""
SUBSYSTEM = 10 << 8
"""NFNL_SUBSYS_NFTABLES."""
CREATE, APPEND = 0x400, 0x800
"""NLM_F_* (linux/netlink.h)."""
NESTED = 0x8000
"""NLA_F_NESTED."""
DROP, ACCEPT, JUMP, GOTO, RETURN = 0, 1, -3, -4, -5
"""NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_GOTO, NFT_RETURN."""
MARK = 0x70
"""A type of a rule's user data that nft does not have (libnftnl's udata.h)."""
ATTRIBUTES = 20
"""Bytes before a message's first attribute: nlmsghdr, nfgenmsg."""
_REQUEST = 0x1
"""NLM_F_REQUEST."""
_HEAD = struct.Struct("=HH").pack
_PADDING = (b"", bytes(3), bytes(2), bytes(1))
"""What fills up a value to four bytes, by what is over."""
_TYPE = 0x3FFF
"""NLA_TYPE_MASK."""
_NAME = 16
"""IFNAMSIZ."""


@dataclass(frozen=True, slots=True)
class VerdictTo:
    """What a rule or an element does with a packet."""

    code: int
    chain: str = ""

    def data(self) -> bytes:
        """Return NFTA_DATA_VERDICT."""
        chain = text(2, self.chain) if self.chain else b""
        return attribute(2 | NESTED, attribute(1, struct.pack("!i", self.code)) + chain)


def with_elements(
    kind: int, name: str, elements: Iterable[bytes], number: bytes = b"", *, family: int = BRIDGE
) -> bytes:
    """Return the message that adds *elements* to a set, or deletes them; of one without a name, the *number*."""
    listed = b"".join(attribute(1 | NESTED, element) for element in elements)
    return message(
        kind,
        CREATE if kind == NEWSETELEM else 0,
        text(1, "pvenetd"),
        text(2, name),
        attribute(3 | NESTED, listed),
        attribute(4, number) if number else b"",
        family=family,
    )


def set_key(value: bytes) -> bytes:
    """Return the key of a set's element."""
    return attribute(1 | NESTED, attribute(1, value))


def port_key(name: str) -> bytes:
    """Return a name as it stands in a set of interfaces."""
    return name.encode().ljust(_NAME, b"\0")


def comment(text: str) -> bytes:
    """Return a comment as nft keeps it in what belongs to the user."""
    value = text.encode() + b"\0"
    return bytes((0, len(value))) + value


def mark(line: str) -> bytes:
    """Return what tells a rule by what it says, all but where it comes from; nft passes over it.

    It stands behind the comment, so that a daemon that was started anew knows its rules.
    """
    return bytes((MARK, 4)) + zlib.crc32(line.strip().partition(' comment "')[0].encode()).to_bytes(4, "big")


def expression(name: str, *attributes: bytes) -> bytes:
    """Return one expression of a rule."""
    return attribute(1 | NESTED, text(1, name) + attribute(2 | NESTED, b"".join(attributes)))


def message(kind: int, flags: int, *attributes: bytes, family: int = BRIDGE) -> bytes:
    """Return one message about a table of ours, the bridges' where nothing else is said."""
    body = struct.pack("!BBH", family, 0, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), SUBSYSTEM | kind, _REQUEST | flags, 0, 0) + body


def in_family(told: bytes, family: int) -> bytes:
    """Return the message *told* as one about the table of another *family*."""
    return told[:16] + bytes((family,)) + told[17:]


@lru_cache(maxsize=256)
def text(kind: int, value: str) -> bytes:
    """Return an attribute that is a string."""
    return attribute(kind, value.encode() + b"\0")


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, filled up to four bytes."""
    size = len(value)
    return _HEAD(4 + size, kind) + value + _PADDING[size & 3]


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type (without its flags) and value of each attribute in what the kernel has written."""
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        yield kind & _TYPE, data[at + 4 : at + size]
        at += max(4, size + -size % 4)


COUNTER = expression("counter", attribute(1, bytes(8)), attribute(2, bytes(8)))
"""One that has counted nothing yet."""
COUNTED = 20
"""Bytes at its end: those that were counted, an attribute's header, the packets."""
