"""What guests are leased → a table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pvenetd.ctl.page import Block, Table


def show(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show a row for each address."""
    if not data:
        yield "nothing is leased to a guest with ipfilter_learn: 1"
        return
    rows = [
        (str(one["vmid"]), one["nic"], one["address"], one["mac"], one["server"] or "unknown", one["ends"])
        for one in data
    ]
    yield Table(("vmid", "nic", "address", "mac", "server", "until"), rows)


def listed(leases: list[dict[str, Any]]) -> str:
    """Return the addresses of one NIC in a line."""
    return ", ".join(f"{one['address']} until {one['ends']}" for one in leases)
