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
    columns = ("port", "in", "link", "guest", "received", "sent", "dropped", "errors")
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
    """Show a table of who is behind which port."""
    columns = ("bridge", "port", "mac", "vlan", "guest", "known", "seconds ago", "by way of")
    rows = [
        (
            one["bridge"] or "-",
            one["port"],
            one["mac"],
            str(one["vlan"] or "-"),
            _guest(one),
            one["origin"],
            str(one["seconds"]) if one["origin"] == "learned" else "-",
            one["dst"] or "-",
        )
        for one in sorted(data, key=lambda one: (natural(one["bridge"]), natural(one["port"]), one["mac"]))
    ]
    yield Table(columns, rows)


def _guest(one: dict[str, Any]) -> str:
    guest = one.get("guest")
    return f"{guest['vmid']} {guest['name']} {guest['nic']}".replace("  ", " ") if guest else "-"


def _amount(one: dict[str, Any], way: str) -> str:
    count, size = one.get(f"{way}_packets", 0), float(one.get(f"{way}_bytes", 0))
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{count} packets, {size:.0f} {unit}" if unit == "B" else f"{count} packets, {size:.1f} {unit}"
