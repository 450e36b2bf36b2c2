"""What an interface sends and receives: a packet socket with a filter of libpcap's, as bytecode that tcpdump compiles.

Sources: packet(7), socket(7), tcpdump(1) ``-ddd``; linux/if_packet.h, linux/filter.h, linux/if_arp.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import time

from pvenetd.drivers import programs
from pvenetd.errors import Conflict, EditError, KernelError, Unavailable
from pvenetd.pcapng import Frame

_ALL, _PACKET = 0x0003, 263
"""ETH_P_ALL, SOL_PACKET."""
_ADD_MEMBERSHIP, _STATISTICS, _AUXDATA = 1, 6, 8
_PROMISCUOUS = 1
_ATTACH_FILTER, _RCVBUFFORCE, _TIMESTAMPNS = 26, 33, 35
_ETHERNET, _LOOPBACK = 1, 772
"""ARPHRD_ETHER, ARPHRD_LOOPBACK, whose frames look the same."""
_HAS_TAG, _HAS_PROTOCOL = 0x10, 0x40
"""TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID."""
_CUSTOMER = 0x8100
_TAG_AT = 12
"""Bytes before a frame's VLAN tag: two addresses."""
_IN, _OUT = 1, 2
_KINDS = {0: _IN | 1 << 2, 1: _IN | 3 << 2, 2: _IN | 2 << 2, 3: _IN | 4 << 2, 4: _OUT}
"""sll_pkttype: to us, to all, to a group, to others, sent → epb_flags."""
_QUEUE = 4 << 20
"""Bytes of frames that wait to be taken; what is more the kernel drops, and counts."""
_INSTRUCTION = 8
_COMPILES = 10.0
"""Seconds tcpdump has: names in a filter it looks up."""
_RETURN = 0x06
"""BPF_RET | BPF_K."""


class Sniffer:
    """An interface's frames, from now on until it is closed."""

    def __init__(self, device: str, expression: str, snaplen: int) -> None:
        """Capture at most *snaplen* bytes of each frame on *device* that *expression* (pcap-filter(7)) matches.

        Raises `EditError`, `Conflict`, `Unavailable`, `KernelError`.
        """
        try:
            index = socket.if_nametoindex(device)
        except OSError:
            raise EditError({"target": f"no interface {device} is there"}) from None
        program = compiled(device, expression, snaplen) if expression else _plain(snaplen)
        self._snaplen = snaplen
        self._buffer = bytearray(snaplen)
        self._received = self._dropped = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            self._begin(device, index, program)
        except OSError as error:
            self.close()
            raise KernelError(f"capture {device}", error.errno or 0, os.strerror(error.errno or 0)) from error
        except BaseException:
            self.close()
            raise

    def _begin(self, device: str, index: int, program: bytes) -> None:
        there = self._socket
        there.setblocking(False)
        there.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _QUEUE)
        there.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        there.setsockopt(_PACKET, _AUXDATA, 1)
        kept = ctypes.create_string_buffer(program, len(program))
        fprog = struct.pack("@HP", len(program) // _INSTRUCTION, ctypes.addressof(kept))
        there.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, fprog)
        there.bind((device, _ALL))
        kind = there.getsockname()[3]
        if kind not in (_ETHERNET, _LOOPBACK):
            raise EditError({"target": f"{device} is no Ethernet interface: see tcpdump on the host"})
        if there.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ENETDOWN:
            raise Conflict(f"{device} is down")
        there.setsockopt(_PACKET, _ADD_MEMBERSHIP, struct.pack("=iHH8s", index, _PROMISCUOUS, 0, b""))

    def fileno(self) -> int:
        """Return what can be read when a frame has come."""
        return self._socket.fileno()

    def close(self) -> None:
        """Capture nothing any more."""
        self._socket.close()

    def frames(self, most: int) -> list[Frame]:
        """Return those that have come since the last call, at most so many.  Raises `KernelError`: the device went."""
        found: list[Frame] = []
        while len(found) < most:
            try:
                size, beside, _, sender = self._socket.recvmsg_into([self._buffer], 128)
            except BlockingIOError:
                break
            except OSError as error:
                raise KernelError("capture", error.errno or 0, os.strerror(error.errno or 0)) from error
            found.append(self._frame(bytes(self._buffer[:size]), beside, sender[2]))
        return found

    def _frame(self, data: bytes, beside: list[tuple[int, int, bytes]], kind: int) -> Frame:
        stamp, length = 0, len(data)
        for level, name, value in beside:
            if (level, name) == (socket.SOL_SOCKET, _TIMESTAMPNS):
                seconds, rest = struct.unpack_from("@ll", value)
                stamp = seconds * 1_000_000_000 + rest
            elif (level, name) == (_PACKET, _AUXDATA):
                status, length, _, _, _, tag, protocol = struct.unpack_from("=IIIHHHH", value)
                if status & _HAS_TAG and len(data) >= _TAG_AT:
                    which = protocol if status & _HAS_PROTOCOL else _CUSTOMER
                    data = data[:_TAG_AT] + struct.pack("!HH", which, tag) + data[_TAG_AT:]
                    length += 4
        return Frame(stamp or time.time_ns(), data[: self._snaplen], length, _KINDS.get(kind, 0))

    def counts(self) -> tuple[int, int]:
        """Return how many frames there were, and how many of them were dropped: nobody took them in time."""
        total, dropped = struct.unpack("=II", self._socket.getsockopt(_PACKET, _STATISTICS, 8))
        self._received += total  # the kernel begins again at 0
        self._dropped += dropped
        return self._received, self._dropped


def compiled(device: str, expression: str, snaplen: int) -> bytes:
    """Return the filter *expression* as instructions of the kernel's (struct sock_filter).

    Raises `EditError`, `Unavailable` where there is no tcpdump.
    """
    try:
        text = programs.tool(["tcpdump", "-i", device, "-s", str(snaplen), "-ddd", "--", expression], seconds=_COMPILES)
    except TimeoutError as error:
        raise EditError({"filter": f"is not understood: {error}"}) from None
    except FileNotFoundError:
        raise Unavailable("a filter is compiled by tcpdump, which is not installed: apt install tcpdump") from None
    except OSError as error:
        raise EditError({"filter": str(error.strerror).rpartition("tcpdump: ")[2].strip()}) from None
    lines = text.split("\n")[1:]
    return b"".join(struct.pack("=HBBI", *map(int, line.split())) for line in lines if line)


def _plain(snaplen: int) -> bytes:
    """Return what takes every frame, and *snaplen* bytes of it."""
    return struct.pack("=HBBI", _RETURN, 0, 0, snaplen)
