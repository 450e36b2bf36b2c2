"""Plan, apply, confirm, roll back."""

from __future__ import annotations

import argparse

from pvenetd.ctl import show
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, get, given, post

_MOST_SECONDS = 86400


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"'{text}' should be 1 to {_MOST_SECONDS} seconds")
    return int(text)


def _apply(parser: Takes) -> None:
    parser.add_argument("--confirm", metavar="SECONDS", type=_seconds, help="roll back unless confirmed in time")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")


def _apply_request(arguments: argparse.Namespace) -> Request:
    dry_run = True if arguments.dry_run else None
    return Request("POST", ("apply",), given(confirm=arguments.confirm, dry_run=dry_run))


COMMANDS = (
    Command(("plan",), "print the kernel operations that apply would run", get("plan"), show.plan, offline=True),
    Command(
        ("apply",),
        "make the staged configuration active and bring the kernel to it",
        _apply_request,
        show.applied,
        _apply,
    ),
    Command(("confirm",), "keep what apply --confirm did", post("confirm"), show.outcome),
    Command(("rollback",), "return to the configuration before the last apply", post("rollback"), show.outcome),
)
