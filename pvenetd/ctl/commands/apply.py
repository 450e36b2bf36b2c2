"""Plan, apply, confirm, roll back."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pvenetd.ctl import page, show
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, given, post, seconds
from pvenetd.ctl.session import session


def _plan(parser: Takes) -> None:
    parser.add_argument(
        "--drift",
        action="store_true",
        help="print what would bring back what differs from the active configuration though nobody edited it",
    )


def _apply(parser: Takes) -> None:
    parser.add_argument("--confirm", metavar="SECONDS", type=seconds, help="roll back unless confirmed in time")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument("--replace", action="store_true", help="take the place of an apply that waits to be confirmed")
    parser.add_argument("--yes", action="store_true", help="do not ask, even if your own session may be cut off")
    parser.add_argument("--no-probe", action="store_true", help="do not ask who answered before whether he does after")


def _apply_request(arguments: argparse.Namespace) -> Request:
    found = {name: True for name in ("dry_run", "replace", "yes", "no_probe") if getattr(arguments, name)}
    return Request("POST", ("apply",), given(confirm=arguments.confirm, session=session(), **found))


def _apply_anyway(body: dict[str, Any], arguments: argparse.Namespace) -> Request | None:
    """Ask, where somebody is there to answer, whether to do what would cut the session off."""
    if "losses" not in body or arguments.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    lines = ["This apply changes what your own session stands on:", *(f"  {one}" for one in body["losses"])]
    page.write(
        [*lines, "", "Apply it nevertheless? It would not be rolled back by itself (--confirm). [y/N]"], sys.stderr
    )
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        return None
    arguments.yes = True
    return _apply_request(arguments)


def _confirm(parser: Takes) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", help="the apply that is meant; without it, whichever waits")
    parser.add_argument("--extend", metavar="SECONDS", type=seconds, help="do not confirm it: let it wait longer")


def _confirm_request(arguments: argparse.Namespace) -> Request:
    return Request("POST", ("confirm",), given(id=arguments.id, extend=arguments.extend))


COMMANDS = (
    Command(
        ("plan",),
        "print the kernel operations that apply would run",
        lambda found: Request("GET", ("drift" if found.drift else "plan",)),
        show.plan,
        _plan,
        offline=True,
    ),
    Command(
        ("apply",),
        "make the staged configuration active and bring the kernel to it",
        _apply_request,
        show.applied,
        _apply,
        again=_apply_anyway,
    ),
    Command(
        ("confirm",),
        "keep what apply --confirm did, from whatever session",
        _confirm_request,
        show.outcome,
        _confirm,
    ),
    Command(("rollback",), "return to the configuration before the last apply", post("rollback"), show.outcome),
)
