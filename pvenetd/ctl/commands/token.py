"""API tokens: for programs that come by the network."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, get
from pvenetd.ctl.page import Block, Table

_ROOT = "root@pam"
_BELOW = "/api2/json"
_DAY = 86400
_MOST_DAYS = 36500


def _name(text: str) -> tuple[str, str]:
    """Return user and name of a token; without its user, it is root's.  Raises ArgumentTypeError."""
    user, mark, name = text.rpartition("!")
    if not name or (mark and not user):
        raise argparse.ArgumentTypeError(f"'{text}' should be USER@REALM!ID, or ID for one of {_ROOT}")
    return user or _ROOT, name


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"'{text}' should be 1 to {_MOST_DAYS} days")
    return int(text)


def _one(parser: Takes) -> None:
    parser.add_argument("token", metavar="TOKEN", type=_name, help=f"USER@REALM!ID; ID alone is one of {_ROOT}")


def _new(parser: Takes) -> None:
    _one(parser)
    text = "read: look at everything, the default; admin: do what its user may"
    parser.add_argument("--role", choices=("read", "admin"), default="read", help=text)
    parser.add_argument("--days", metavar="DAYS", type=_days, help="how long it holds; for ever without it")
    parser.add_argument("--comment", metavar="TEXT", help="what it is for")


def _path(found: argparse.Namespace) -> tuple[str, ...]:
    user, name = found.token
    return "access", "users", user, "token", name


def _creation(found: argparse.Namespace) -> Request:
    params: dict[str, Any] = {"privsep": int(found.role == "read")}
    if found.days:
        params["expire"] = int(time.time()) + found.days * _DAY
    if found.comment:
        params["comment"] = found.comment
    return Request("POST", _path(found), params, below=_BELOW)


def _created(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    name, secret = data["full-tokenid"], data["value"]
    yield f"{name}: {_role(data['info'])}, {_end(data['info'])}"
    yield f"secret {secret}"
    yield "It is not shown again. A request has the header"
    yield f"Authorization: PVEAPIToken={name}={secret}"


def _listed(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    rows = [
        (f"{one['userid']}!{one['tokenid']}", _role(one), _end(one), one.get("comment", ""))
        for one in sorted(data, key=lambda one: (one["userid"], one["tokenid"]))
    ]
    if not rows:
        yield "no tokens (pvenetctl token create)"
    yield Table(("token", "role", "end", "comment"), rows)


def _deleted(_: None, found: argparse.Namespace) -> Iterator[Block]:
    yield f"{'!'.join(found.token)} opens nothing any more"


def _role(record: dict[str, Any]) -> str:
    return "read" if record["privsep"] else "admin"


def _end(record: dict[str, Any]) -> str:
    if not record["expire"]:
        return "never"
    end = time.strftime("%Y-%m-%d %H:%M", time.localtime(record["expire"]))
    return f"expired {end}" if record["expire"] <= time.time() else end


COMMANDS = (
    Command(
        ("token", "create"),
        "make an API token, and show its secret this once",
        _creation,
        _created,
        _new,
        offline=True,
    ),
    Command(("token", "list"), "list API tokens", get("tokens"), _listed, offline=True),
    Command(
        ("token", "delete"),
        "forget an API token: it opens nothing any more",
        lambda found: Request("DELETE", _path(found), below=_BELOW),
        _deleted,
        _one,
        offline=True,
    ),
)
