"""Ports with their counters, and forwarding tables → text for people; pure functions."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pvenetd.ctl.page import Block, Table
from pvenetd.ctl.show import natural

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def ports(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show a table of ports, those of one bridge together."""
    columns = ("port", "in", "link", "guest", "packets received", "packets sent", "dropped", "errors")
    rows = [
        (
            one["name"],
            one["master"] or "-",
            "up" if one["up"] else "down",
            _guest(one),
            _amount(one, "rx"),
            _amount(one, "tx"),
            str(one.get("rx_dropped", 0) + one.get("tx_dropped", 0)),
            str(one.get("rx_errors", 0) + one.get("tx_errors", 0)),
        )
        for one in sorted(data, key=lambda one: (natural(one["master"] or one["name"]), natural(one["name"])))
    ]
    yield Table(columns, rows)


def forwarding(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show a table of who is behind which port, what differs in the VLAN alone in one row."""
    columns = ("bridge", "port", "mac", "vlan", "guest", "known", "seconds ago", "by way of")
    behind: dict[tuple[str, ...], list[int]] = {}
    for one in sorted(data, key=lambda one: (natural(one["bridge"]), natural(one["port"]), one["mac"])):
        seconds = str(one["seconds"]) if one["origin"] == "learned" else "-"
        entry = (one["bridge"] or "-", one["port"], one["mac"], _guest(one), one["origin"], seconds, one["dst"] or "-")
        behind.setdefault(entry, []).append(one["vlan"] or 0)
    rows = [(*entry[:3], _vlans(vlans), *entry[3:]) for entry, vlans in behind.items()]
    if not rows:
        yield "nobody has been heard of"
    yield Table(columns, rows, ("by way of", "seconds ago"))


def _vlans(vlans: list[int]) -> str:
    """Return VLANs as ranges: a port that carries all of them has an entry in each."""
    ranges: list[list[int]] = []
    for vlan in sorted(vlans):
        if ranges and vlan == ranges[-1][1] + 1:
            ranges[-1][1] = vlan
        else:
            ranges.append([vlan, vlan])
    return ",".join(f"{first}-{last}" if first < last else str(first or "-") for first, last in ranges)


def _guest(one: dict[str, Any]) -> str:
    guest = one.get("guest")
    return f"{guest['vmid']} {guest['name']} {guest['nic']}".replace("  ", " ") if guest else "-"


def _amount(one: dict[str, Any], way: str) -> str:
    count, size = one.get(f"{way}_packets", 0), float(one.get(f"{way}_bytes", 0))
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{count} ({size:.0f} {unit})" if unit == "B" else f"{count} ({size:.1f} {unit})"
