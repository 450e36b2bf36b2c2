"""What is translated → a table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pvenetd.ctl.page import Block, Table


def show(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show a line for each wish; where the kernel has another one, or cannot be asked, no counters."""
    if not data:
        yield "nothing is translated"
        return
    rows = [
        (one["kind"], _what(one), _becomes(one), _way(one), _number(one["connections"]), _number(one["bytes"]),
         one["origin"])
        for one in data
    ]  # fmt: skip
    yield Table(("kind", "what", "becomes", "way", "connections", "bytes", "line"), rows)
    for version in sorted({one["version"] for one in data if one["routed"] == 0}):
        name = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}[version]
        yield f"IPv{version} is not routed, so nothing of it is translated: {name} is 0 (pvenetctl apply sets it)"
    if any(not one["loaded"] for one in data):
        yield "What has no counters is not loaded so: pvenetctl plan"


def _what(one: dict[str, Any]) -> str:
    if one["kind"] != "forward":
        return str(one["public"] or one["network"] or "all")
    address = one["public"] or ("the host" if not one["as_written"] else "all")
    protocol = one["protocol"] or "all"
    return f"{protocol} {_with_ports(address, one['ports'])}"


def _becomes(one: dict[str, Any]) -> str:
    if one["kind"] == "masquerade":
        return f"address of {one['out']}" if one["out"] else "address of its way"
    return _with_ports(one["target"], one["target_ports"])


def _with_ports(address: str, ports: str) -> str:
    if not ports:
        return address
    return f"[{address}]:{ports}" if ":" in address else f"{address}:{ports}"


def _way(one: dict[str, Any]) -> str:
    return f"in {one['in']}" if one["in"] else f"out {one['out']}" if one["out"] else "-"


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)


def staged(data: None, _: argparse.Namespace) -> Iterator[Block]:
    """Show where an edit has gone."""
    del data
    yield "staged (pvenetctl interfaces diff, pvenetctl plan, pvenetctl apply)"
