"""The firewall's files → text for people: rules by position, sets, aliases, groups, options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pvenetd.ctl.page import Block, Table


def rules(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show rules with their positions; below them what is wrong with some."""
    if not data:
        yield "no rules"
    yield Table(
        ("pos", "on", "type", "action", "source", "dest", "service", "iface", "log", "comment"),
        [
            (
                str(one["pos"]),
                "yes" if one["enable"] else "no",
                one.get("type", ""),
                f"{one['macro']}({one.get('action', '')})" if "macro" in one else one.get("action", ""),
                *(one.get(key, "-") for key in ("source", "dest")),
                _service(one),
                *(one.get(key, "-") for key in ("iface", "log")),
                one.get("comment", ""),
            )
            for one in data
        ],
    )
    for one in data:
        for key, text in one.get("errors", {}).items():
            yield f"rule {one['pos']}: {key}: {text}"


def _service(one: dict[str, Any]) -> str:
    words = [one[key] for key in ("proto", "icmp-type", "dport") if key in one]
    return " ".join([*words, *([f"from {one['sport']}"] if "sport" in one else ())]) or "-"


def groups(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show security groups."""
    yield Table(("group", "comment"), [(one["group"], one.get("comment", "")) for one in data]) if data else "no groups"


def named(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show sets, or aliases with their addresses."""
    if not data:
        yield "none"
    elif "cidr" in data[0]:
        yield Table(
            ("alias", "addresses", "comment"), [(one["name"], one["cidr"], one.get("comment", "")) for one in data]
        )
    else:
        yield Table(("IP set", "comment"), [(one["name"], one.get("comment", "")) for one in data])


def entries(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show what is in a set."""
    if not data:
        yield "empty"
    yield Table(
        ("entry", "", "comment"),
        [(one["cidr"], "left out" if one.get("nomatch") else "", one.get("comment", "")) for one in data],
    )


def options(data: dict[str, Any] | None, _: argparse.Namespace) -> Iterator[Block]:
    """Show options as they stand in a file, or that they were written."""
    if data is None:
        yield "written"
        return
    for name, value in data.items():
        if name != "digest":
            yield f"{name}: {value}"


def edited(data: None, _: argparse.Namespace) -> Iterator[Block]:
    """Show that it is done."""
    del data
    yield "written"
