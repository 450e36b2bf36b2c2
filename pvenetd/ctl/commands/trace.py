"""Real packets, followed through the rules."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, given
from pvenetd.ctl.page import Block

_SECONDS = 10.0


def _arguments(parser: Takes) -> None:
    parser.add_argument("--in", dest="iface", metavar="IFACE", help="the link they come in by: tap100i0, eno1")
    parser.add_argument("--proto", metavar="P", help="tcp, udp, icmp, a number, …")
    parser.add_argument("--source", metavar="A", help="an address, a network or a range")
    parser.add_argument("--dest", metavar="A", help="an address, a network or a range")
    parser.add_argument("--sport", metavar="PORT", type=int, help="source port")
    parser.add_argument("--dport", metavar="PORT", type=int, help="destination port")
    parser.add_argument("--packets", metavar="COUNT", type=int, default=5, help="how many, 100 at most")
    parser.add_argument("--seconds", metavar="S", type=float, default=_SECONDS, help="how long, 60 at most")


def _request(found: argparse.Namespace) -> Request:
    names = ("iface", "proto", "source", "dest", "sport", "dport", "packets", "seconds")
    return Request("POST", ("firewall", "trace"), given(**{name: getattr(found, name) for name in names}))


def show(data: list[dict[str, Any]], found: argparse.Namespace) -> Iterator[Block]:
    """Show each packet, and below it what it met."""
    if not data:
        yield f"no such packet came within {found.seconds:g} s"
    for one in data:
        yield one["text"]
        for step in one["steps"]:
            rule = step["origin"] or step["rule"]
            yield f"  {step['family']} {step['table']} {step['chain']}: {rule}: {step['verdict']}"


COMMANDS = (
    Command(
        ("firewall", "trace"),
        "follow the first packets of a flow, and of its answers, through the kernel's rules",
        _request,
        show,
        _arguments,
    ),
)
