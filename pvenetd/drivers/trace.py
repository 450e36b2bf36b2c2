"""nftrace: the kernel tells of every rule that chosen packets meet.

Source: linux/netfilter/nfnetlink.h, NFNLGRP_NFTRACE.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from pvenetd.drivers.nft import Library
from pvenetd.errors import KernelError
from pvenetd.firewall.trace import Known, Place, Step, rules, step

_NETLINK_NETFILTER, _SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTRACE = 12, 270, 1, 9
_NFT_MSG_TRACE = 10 << 8 | 17
_RCVBUFFORCE = 33
_QUEUE = 4 << 20
"""Bytes of what waits to be taken: more may come while the rules are listed."""
_HEADERS = 20
"""Bytes of nlmsghdr and nfgenmsg."""


class Tracer:
    """Packets are traced for as long as it is open: the kernel deletes the table with its owner's socket."""

    def __init__(self, script: str) -> None:
        """Load *script*, which chooses the packets.  Raises `KernelError`."""
        self._library = Library()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _QUEUE)
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTRACE)
            self._socket.setblocking(False)
            self._library.run(script)
        except OSError as error:
            self._socket.close()
            raise KernelError("trace", error.errno or 0, error.strerror or os.strerror(error.errno or 0)) from error

    def fileno(self) -> int:
        """Return what can be read when a packet has met a rule."""
        return self._socket.fileno()

    def close(self) -> None:
        """Trace nothing any more."""
        self._socket.close()
        del self._library

    def known(self) -> dict[Place, Known]:
        """Return the rules there are, of everybody's tables."""
        return rules(self._library.listing())

    def steps(self) -> list[Step]:
        """Return what has been told since the last call; what was too much is left out."""
        found: list[Step] = []
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return found
            at = 0
            while at + 16 <= len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind == _NFT_MSG_TRACE:
                    found.append(step(data[at + _HEADERS : at + size]))
                at += max(16, size + -size % 4)
