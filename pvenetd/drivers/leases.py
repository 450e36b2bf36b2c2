"""The kernel's sets of leased addresses: what is in them, what comes, what goes.

nftables forgets an element when its time has passed, and packets put some in by themselves; neither is told of.

Sources: linux/netfilter/nf_tables.h, NFT_MSG_GETSETELEM and NFTA_SET_ELEM_*; net/netfilter/nf_tables_api.c.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import weakref
from collections.abc import Collection, Iterable, Mapping

from pvenetd.drivers.nfnetlink import Batches
from pvenetd.errors import KernelError
from pvenetd.firewall.leases import SETS, Element
from pvenetd.firewall.ruleset import Span
from pvenetd.firewall.wire_format import (
    DELSETELEM,
    NESTED,
    NEWSETELEM,
    attribute,
    attributes,
    message,
    port_key,
    set_key,
    text,
    with_elements,
)

_NETLINK_NETFILTER = 12
_GETSETELEM, _DUMP = 13, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_ATTRIBUTES = 20
"""Bytes before a message's first attribute: nlmsghdr, nfgenmsg."""
_TRIES = 3
_LISTED, _KEY, _TIMEOUT, _EXPIRATION, _KEY_END = 3, 1, 4, 5, 10
"""NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_*."""
_PORT, _MAC = 16, 8
"""Bytes of a key's first parts: an interface's name, a MAC address filled up to whole registers."""


class LeaseSets:
    """Both sets, in the network namespace it is made in; closed with the last reference."""

    def __init__(self) -> None:
        self._batches = Batches()
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as made:
            made.bind((0, 0))
            self._socket = made.detach()
        weakref.finalize(self, os.close, self._socket)

    def read(self) -> dict[Element, float] | None:
        """Return what is in the sets, and for how many seconds yet; None where they are not.  Raises `KernelError`."""
        found: dict[Element, float] = {}
        for version in SETS:
            try:
                found |= self._dump(version)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return None
                raise _told("reading leases", error) from error
        return found

    def put(self, leases: Mapping[Element, float]) -> None:
        """Have elements be in the sets for so many seconds from now, whatever there was: all in one transaction.

        Where the sets are not, nothing is done.  Raises `KernelError`.
        """
        there: Collection[Element] | None = leases if len(leases) == 1 else self.read()  # the kernel has learnt one
        for _ in range(_TRIES):
            if not leases or there is None:
                return
            gone = (_deleted(one) for one in leases if one in there)
            added = (_added(one, seconds) for one, seconds in leases.items())
            if self._sent(b"".join([*gone, *added])):
                return
            there = self.read()

    def take(self, elements: Iterable[Element]) -> None:
        """Have none of *elements* be in the sets.  Raises `KernelError`."""
        wanted = frozenset(elements)
        for _ in range(_TRIES if wanted else 0):
            there = wanted & (self.read() or {}).keys()
            if not there or self._sent(b"".join(map(_deleted, there))):
                return

    def _sent(self, messages: bytes) -> bool:
        """Send a transaction; return false where what is in the sets was not what it is about.  Raises `KernelError`.

        A packet, or time, may have come in between.
        """
        try:
            self._batches.send(messages)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EEXIST):
                raise _told("leases", error) from error
            return False
        return True

    def _dump(self, version: int) -> dict[Element, float]:
        asked = bytearray(message(_GETSETELEM, _DUMP, text(1, "pvenetd"), text(2, SETS[version])))
        os.write(self._socket, asked)
        found: dict[Element, float] = {}
        while True:
            data = os.read(self._socket, 1 << 16)
            at = 0
            while at < len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind == _NLMSG_ERROR and (number := -struct.unpack_from("=i", data, at + 16)[0]):
                    raise OSError(number, os.strerror(number))
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    return found
                listed = dict(attributes(data[at + _ATTRIBUTES : at + size])).get(_LISTED, b"")
                found |= dict(_element(dict(attributes(one)), version) for _, one in attributes(listed))
                at += size + -size % 4


def _told(what: str, error: OSError) -> KernelError:
    return KernelError(what, error.errno or 0, error.strerror or str(error))


def _element(parts: dict[int, bytes], version: int) -> tuple[Element, float]:
    first = dict(attributes(parts[_KEY]))[1]
    last = dict(attributes(parts[_KEY_END]))[1] if _KEY_END in parts else first
    size = 4 if version == 4 else 16
    at = _PORT + _MAC
    span = Span(*(int.from_bytes(key[at : at + size], "big") for key in (first, last)))
    name = first[:_PORT].rstrip(b"\0").decode("utf-8", "replace")
    left = int.from_bytes(parts.get(_EXPIRATION) or parts.get(_TIMEOUT, b""), "big") / 1000
    return Element(name, first[_PORT : _PORT + 6].hex(":"), version, span), left


def _added(element: Element, seconds: float) -> bytes:
    timeout = attribute(_TIMEOUT, struct.pack("!Q", max(1, round(seconds * 1000))))
    return with_elements(NEWSETELEM, SETS[element.version], [_key(element) + timeout])


def _deleted(element: Element) -> bytes:
    return with_elements(DELSETELEM, SETS[element.version], [_key(element)])


def _key(element: Element) -> bytes:
    size = 4 if element.version == 4 else 16
    sender = port_key(element.port) + bytes.fromhex(element.mac.replace(":", "")).ljust(_MAC, b"\0")
    first, last = (sender + end.to_bytes(size, "big") for end in (element.span.first, element.span.last))
    return set_key(first) + (attribute(_KEY_END | NESTED, attribute(1, last)) if element.version == 6 else b"")
