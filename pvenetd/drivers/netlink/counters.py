"""What links have counted: read only when somebody asks, by requests that tell nothing else (RTM_GETSTATS).

Source: linux/if_link.h, struct if_stats_msg, struct rtnl_link_stats64.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from pvenetd.drivers.netlink.wire import RefusedError, Wire, attributes, raw

_GETSTATS = 94
_LINK_64 = 1
"""IFLA_STATS_LINK_64, and its bit in a filter's mask."""
_FIRST = struct.Struct("=8Q")
_FIELDS = (
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
)
_MESSAGE = struct.Struct("=BBHII")
"""struct if_stats_msg: family, padding, number of the link, mask of what is asked for."""
_AT = 16
"""Where it begins, behind the message's header."""
_MANY = 64
"""Links from which one dump costs less than a request each."""


def counters(wire: Wire, names: Mapping[int, str]) -> dict[str, dict[str, int]]:
    """Return the counters, from the host's side, of the links with these numbers, by name; of those that are there.

    Raises `RefusedError`.
    """
    found = {}
    for body in wire.ask(_request(0), dump=True) if len(names) > _MANY else _each(wire, names):
        if name := names.get(_MESSAGE.unpack_from(body, _AT)[3]):
            told = dict(attributes(body[_AT + _MESSAGE.size :])).get(_LINK_64, bytes(_FIRST.size))
            found[name] = dict(zip(_FIELDS, _FIRST.unpack_from(told), strict=True))
    return found


def _each(wire: Wire, names: Mapping[int, str]) -> Iterator[bytes]:
    for number in names:
        try:
            yield from [*wire.ask(_request(number))]
        except RefusedError:
            continue  # it has just gone


def _request(number: int) -> bytes:
    return raw(_GETSTATS, 0, _MESSAGE.pack(0, 0, 0, number, _LINK_64))
