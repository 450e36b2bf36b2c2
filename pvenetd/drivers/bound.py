"""The devices that chains are bound to: one that is deleted takes its hook along, and nftables tells nobody.

Source: net/netfilter/nft_chain_filter.c (nf_tables_netdev_event).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import suppress

from pvenetd.firewall import nft
from pvenetd.firewall.listing import Found

_DEVICE = re.compile(r'^\t\ttype .* device "([^"]+)"', re.MULTILINE)


def bound(found: Mapping[str, Found]) -> dict[str, int]:
    """Return the devices that chains of *found* are bound to and that are there, by their ifindex."""
    if nft.SENT not in found:
        return {}
    present: dict[str, int] = {}
    for name in {name for block in found[nft.SENT].chains.values() for name in _DEVICE.findall(block)}:
        with suppress(OSError):
            present[name] = socket.if_nametoindex(name)
    return present
