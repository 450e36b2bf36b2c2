"""Transactions of nfnetlink messages, past nft's library.

Sources: linux/netfilter/nfnetlink.h, NFNL_MSG_BATCH_BEGIN; net/netfilter/nfnetlink.c.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import weakref
from collections.abc import Iterator

from pvenetd.firewall.leases import SETS
from pvenetd.firewall.wire_format import MARK

_NETLINK_NETFILTER = 12
_NFNL_SUBSYS_NFTABLES, _NFNL_BATCH_BEGIN, _NFNL_BATCH_END = 10, 0x10, 0x11
_NLM_F_REQUEST, _NLM_F_ACK = 0x1, 0x4
_HEADER = 16
"""Bytes of struct nlmsghdr; behind it an answer has its errno."""
_SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTABLES = 270, 1, 7
_NFT_MSG_NEWGEN = 10 << 8 | 15
_NFT_MSG_GETRULE = 10 << 8 | 7
_NFT_MSG_NEWSETELEM, _NFT_MSG_DELSETELEM = 10 << 8 | 12, 10 << 8 | 14
_NLM_F_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_FAMILIES = {"inet": 1, "netdev": 5, "bridge": 7}
"""NFPROTO_* (linux/netfilter.h)."""
_EXPRESSIONS, _USERDATA = 4, 7
"""NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA."""
_ATTRIBUTES = 20
"""Bytes before a message's first attribute: nlmsghdr, nfgenmsg."""
_SO_RCVBUFFORCE, _TOLD_BYTES = 33, 1 << 22
_SO_SNDBUFFORCE, _BYTES = 32, 1 << 24
"""asm-generic/socket.h; more than a transaction of many guests has."""


class Batches:
    """A socket that transactions are sent by, of the network namespace it is made in; closed with the last reference.

    It is kept: closing one waits for the kernel to forget what was deleted, half a millisecond.
    """

    def __init__(self) -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as made:
            made.bind((0, 0))
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BYTES)
            self._socket = made.detach()
        weakref.finalize(self, os.close, self._socket)

    def send(self, messages: bytes) -> None:
        """Send whole *messages* as one transaction.  Raises OSError; then nothing of it has been done."""
        told = bytearray(messages)
        at = last = 0
        while at < len(told):
            last, at = at, at + struct.unpack_from("=I", told, at)[0]
        struct.pack_into("=H", told, last + 6, struct.unpack_from("=H", told, last + 6)[0] | _NLM_F_ACK)
        os.write(self._socket, _edge(_NFNL_BATCH_BEGIN) + told + _edge(_NFNL_BATCH_END))
        answers = self._answers()
        if wrong := next((number for number in answers if number), 0):
            raise OSError(wrong, os.strerror(wrong))
        if not answers:
            raise OSError(errno.EIO, "the kernel has not answered")

    def _answers(self) -> list[int]:
        """Return the errno of each answer: the kernel has done its work when the sender is back."""
        found: list[int] = []
        while True:
            try:
                data = os.read(self._socket, 1 << 16)
            except BlockingIOError:
                return found
            at = 0
            while at < len(data):
                found.append(-struct.unpack_from("=i", data, at + _HEADER)[0])
                size = struct.unpack_from("=I", data, at)[0]
                at += size + -size % 4


class Changes:
    """What this namespace's nftables are told to be changed in, by whomever; closed with the last reference.

    Each transaction's changes come with the number of the generation they make, last (NFT_MSG_NEWGEN).
    """

    def __init__(self) -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as made:
            made.bind((0, 0))
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _TOLD_BYTES)
            made.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
            self._socket = made.detach()
        weakref.finalize(self, os.close, self._socket)
        self._touched = False
        """Whether the transaction whose end has not come yet is about the table."""

    def since(self, generation: int, table: str) -> int | None:
        """Return the last generation up to which nothing after *generation* was about tables called *table*.

        None where something was, or where not all has been told.
        """
        for kind, body in self._messages():
            if kind == _NFT_MSG_NEWGEN:
                made = int.from_bytes(_first(body), "big")
                if made > generation:
                    if self._touched or made != generation + 1:
                        self._touched = False
                        self._messages()
                        return None
                    generation = made
                self._touched = False
            elif kind is None:
                return None
            else:
                self._touched |= _first(body) == table.encode() + b"\0" and not _is_lease(kind, body)
        return generation

    def _messages(self) -> list[tuple[int | None, bytes]]:
        """Return what has come: the kind of each message, None where some were lost, and its attributes."""
        found: list[tuple[int | None, bytes]] = []
        while True:
            try:
                data = os.read(self._socket, 1 << 16)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found.append((None, b""))
                continue
            at = 0
            while at < len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                found.append((kind, data[at + _ATTRIBUTES : at + size]))
                at += size + -size % 4


class Counted:
    """What rules have counted, asked chain by chain; closed with the last reference.

    Sources: linux/netfilter/nf_tables.h, NFT_MSG_GETRULE, NFTA_RULE_EXPRESSIONS, NFTA_COUNTER_BYTES.
    """

    def __init__(self) -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as made:
            made.bind((0, 0))
            self._socket = made.detach()
        weakref.finalize(self, os.close, self._socket)

    def of(self, table: str, chain: str) -> list[tuple[int, int, bytes] | None]:
        """Return (packets, bytes, mark) of each rule of a chain of ours, in order; None of one that does not count.

        Of a chain that is not there, nothing.  Raises OSError.
        """
        names = ((1, "pvenetd"), (2, chain))
        body = b"".join(_attribute(kind, name.encode() + b"\0") for kind, name in names)
        head = struct.pack(
            "=IHHIIBBH", _ATTRIBUTES + len(body), _NFT_MSG_GETRULE, _NLM_F_DUMP, 0, 0, _FAMILIES[table], 0, 0
        )
        os.write(self._socket, head + body)
        found: list[tuple[int, int, bytes] | None] = []
        while True:
            data = os.read(self._socket, 1 << 16)
            at = 0
            while at < len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    return found
                found.append(_counter(data[at + _ATTRIBUTES : at + size]))
                at += size + -size % 4


def _is_lease(kind: int, attributes: bytes) -> bool:
    """Return whether a message is about an address that was leased: no rule is another for it."""
    named = dict(_attributes(attributes)).get(2, b"") if kind in (_NFT_MSG_NEWSETELEM, _NFT_MSG_DELSETELEM) else b""
    return named.rstrip(b"\0").decode() in SETS.values()


def _counter(rule: bytes) -> tuple[int, int, bytes] | None:
    """Return what the first counter among a rule's expressions has, and the rule's mark."""
    parts = dict(_attributes(rule))
    for expression in _attributes(parts.get(_EXPRESSIONS, b"")):
        named = dict(_attributes(expression[1]))
        if named[1] == b"counter\0":
            values = dict(_attributes(named[2]))
            return int.from_bytes(values[2], "big"), int.from_bytes(values[1], "big"), _mark(parts.get(_USERDATA, b""))
    return None


def _mark(userdata: bytes) -> bytes:
    """Return the mark in a rule's user data: bytes of type, length and value, one after the other."""
    at = 0
    while at + 1 < len(userdata):
        if userdata[at] == MARK:
            return userdata[at + 2 : at + 2 + userdata[at + 1]]
        at += 2 + userdata[at + 1]
    return b""


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the value of each attribute in *data*."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4 : at + size]
        at += size + -size % 4


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _first(attributes: bytes) -> bytes:
    """Return the value of the first attribute: what a message is about has its table's name there."""
    size = struct.unpack_from("=H", attributes)[0] if attributes else 4
    return attributes[4:size]


def _edge(kind: int) -> bytes:
    """Return what a transaction begins or ends with."""
    return struct.pack("=IHHIIBB", 20, kind, _NLM_F_REQUEST, 0, 0, 0, 0) + struct.pack("!H", _NFNL_SUBSYS_NFTABLES)
