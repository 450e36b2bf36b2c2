"""The firewall of host and guests."""

from __future__ import annotations

import argparse

from pvenetd.ctl import show
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, get, given, has_errors, has_failed, number, post


def _compile(parser: Takes) -> None:
    parser.add_argument("--backend", choices=("nftables",), default="nftables", help="in whose language")
    parser.add_argument("--vmid", metavar="N", type=number, help="one guest alone")


def _compile_request(found: argparse.Namespace) -> Request:
    return Request("GET", ("firewall", "compile"), given(backend=found.backend, vmid=found.vmid))


COMMANDS = (
    Command(
        ("firewall", "check"),
        "tell all that is wrong with the firewall files",
        get("firewall", "check"),
        show.problems,
        offline=True,
        verdict=has_errors,
    ),
    Command(
        ("firewall", "compile"),
        "print the ruleset as nft(8) takes it",
        _compile_request,
        show.text,
        _compile,
        offline=True,
    ),
    Command(
        ("firewall", "apply"),
        "load the rules of the host and of every guest",
        post("firewall", "apply"),
        show.firewall,
        offline=True,
        verdict=has_failed,
        aside=show.broken_rules,
    ),
    Command(
        ("firewall", "status"),
        "show what is loaded and what differs from the files",
        get("firewall", "status"),
        show.firewall,
    ),
)
