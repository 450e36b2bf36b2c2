"""What happens: events, packets that the firewall logs, what its rules have counted."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from pvenetd.ctl import show, show_leases
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, given, number


def _follow(parser: Takes) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")


def _one_guest(parser: Takes) -> None:
    parser.add_argument("--vmid", metavar="N", type=number, help="one guest alone")


def _of_guest(parser: Takes) -> None:
    _follow(parser)
    _one_guest(parser)


def _request(*path: str) -> Callable[[argparse.Namespace], Request]:
    return lambda found: Request("GET", path, given(vmid=getattr(found, "vmid", None)))


def _next(*path: str) -> Callable[[Any, argparse.Namespace, Request], Request | None]:
    """Return what asks for all that comes after an answer, where it is to go on."""

    def ask(data: list[dict[str, Any]], found: argparse.Namespace, asked: Request) -> Request | None:
        if not found.follow:
            return None
        since = data[-1]["id"] if data else asked.params.get("since", 0)
        return Request("GET", path, {**_request(*path)(found).params, "since": since})

    return ask


COMMANDS = (
    Command(
        ("firewall", "rules"),
        "list the rules that are loaded, each with its line and what it has counted",
        _request("firewall", "rules"),
        show.rules,
        _one_guest,
        live=True,
    ),
    Command(
        ("firewall", "leases"),
        "list the addresses that were leased to guests' NICs, by whom and until when",
        _request("firewall", "leases"),
        show_leases.show,
        _one_guest,
    ),
    Command(
        ("firewall", "diff"),
        "show what the files say otherwise than what is loaded, rule by rule",
        _request("firewall", "diff"),
        show.rule_changes,
        offline=True,
    ),
    Command(
        ("events",),
        "list what the daemon did and why",
        _request("events"),
        show.events,
        _follow,
        further=_next("events"),
    ),
    Command(
        ("firewall", "log"),
        "list packets that the firewall's rules have logged, each with its rule",
        _request("firewall", "log"),
        show.packets,
        _of_guest,
        further=_next("firewall", "log"),
    ),
)
