"""What would become of a packet → text for people."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pvenetd.ctl.page import Block


def simulation(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show the verdict, then the way there: every chain with the rules that matched."""
    where = f" (it ends at {data['reaches']})" if data["reaches"] not in ("", data["to"]) else ""
    yield f"{data['verdict']}  {data['from']} -> {data['to']}{where}: {_packet(data['packet'])}"
    if data["translated"]:
        yield f"translated to {_packet(data['translated'])}"
    for text in data["assumed"]:
        yield f"assumed: {text}"
    for text in data["problems"]:
        yield f"not as the file says: {text}"
    for step in data["path"]:
        yield ""
        yield from _step(step)
    if data["depends"]:
        yield ""
        yield "What is unknown might have matched, too:"
        yield from map(_rule, data["depends"])


def _step(step: dict[str, Any]) -> Iterator[Block]:
    decided = step["verdict"] or ("goes on" if step["chain"] else "")
    yield ": ".join(filter(None, [f"{step['point']} [{step['chain']}]" if step["chain"] else step["point"], decided]))
    if step["note"]:
        yield f"  {step['note']}"
    yield from map(_rule, step["rules"])


def _rule(one: dict[str, str]) -> str:
    text = f"  {one['text']}" if one["text"] else ""
    return f"  {one['origin']}: {one['verdict']}{text}"


def _packet(one: dict[str, Any]) -> str:
    ends = [_end(one.get("source", ""), one.get("sport", "")), _end(one.get("dest", ""), one.get("dport", ""))]
    icmp = f" type {one['icmp-type']}" if "icmp-type" in one else ""
    protocol = "any protocol" if one["proto"] is None else f"protocol {one['proto']}"
    return f"IPv{one['family']}, {protocol}{icmp}, {ends[0]} -> {ends[1]}, {one['state']}"


def _end(address: str, port: str) -> str:
    return f"{address or 'any'}{f' port {port}' if port else ''}"
