"""Translated addresses."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from pvenetd.ctl import show_nat
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, get
from pvenetd.ctl.commands.rules import key_value


def _lines(parser: Takes) -> None:
    parser.add_argument("iface", metavar="IFACE", help="the interface that has the private network")
    parser.add_argument(
        "values",
        metavar="KEY=VALUE",
        nargs="+",
        type=key_value,
        help="nat-masquerade, nat-snat, nat-forward or nat-one-to-one, pvenetd-nat(7)",
    )


def _asks(method: str) -> Callable[[argparse.Namespace], Request]:
    """Return what adds lines, or takes them away: several of one key are a list."""

    def request(found: argparse.Namespace) -> Request:
        lines: dict[str, Any] = {}
        for key, value in found.values:
            lines.setdefault(key, []).append(value)
        return Request(method, ("nat",), {"iface": found.iface, **lines})

    return request


COMMANDS = (
    Command(
        ("nat", "list"),
        "list masquerade, forwards and one-to-one addresses, with their lines and counters",
        get("nat"),
        show_nat.show,
        offline=True,
        live=True,
    ),
    Command(
        ("nat", "add"),
        "stage lines of NAT beside those that an interface has",
        _asks("POST"),
        show_nat.staged,
        _lines,
        offline=True,
    ),
    Command(
        ("nat", "delete"),
        "stage that lines of NAT go, whose words are these",
        _asks("DELETE"),
        show_nat.staged,
        _lines,
        offline=True,
    ),
)
