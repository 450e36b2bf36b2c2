"""ifup, ifdown, ifreload, ifquery: ifupdown's and ifupdown2's words for it; the shims of pvenetd-ifupdown call them."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import Any

from pvenetd.ctl.client import NoAnswerError, Request
from pvenetd.ctl.command import Command, Takes
from pvenetd.ctl.page import Block

_INSIDE = "PVENETD_RUNS_THIS"
"""What the daemon tells the commands and scripts that it runs."""


def _common(parser: Takes) -> None:
    parser.add_argument("iface", metavar="IFACE", nargs="*", help="interfaces")
    parser.add_argument("-a", "--all", action="store_true", help="all that are marked auto")
    parser.add_argument("--allow", metavar="CLASS", help="those marked allow-CLASS")
    parser.add_argument(
        "-X", "--exclude", metavar="PATTERN", action="append", default=[], help="but not those that match"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="tell what is done")
    parser.add_argument("-d", "--debug", action="store_true", help="tell what is done")


def _ignored(parser: Takes) -> None:
    """Declare what is accepted, and needs nothing: the kernel is always compared, and nothing depends on order."""
    parser.add_argument("-f", "--force", action="store_true", help="accepted: the kernel is always looked at")
    parser.add_argument("-w", "--with-depends", action="store_true", help="accepted: what belongs to it goes along")
    parser.add_argument("--no-loopback", action="store_true", help="accepted: lo is left up")
    parser.add_argument("--ignore-errors", action="store_true", help="accepted")


def _todo(parser: Takes) -> None:
    _common(parser)
    _ignored(parser)
    parser.add_argument("-n", "--no-act", action="store_true", help="only print what would be done")


def _reload(parser: Takes) -> None:
    _todo(parser)
    parser.add_argument("-c", "--currently-up", action="store_true", help="accepted: what was taken down by hand stays")


def _query(parser: Takes) -> None:
    _common(parser)
    parser.add_argument("-l", "--list", action="store_true", help="only the names")
    parser.add_argument(
        "-c", "--check", action="store_true", help="compare with the kernel; exit status 1 if it differs"
    )
    parser.add_argument("-r", "--running", action="store_true", help="what the kernel has")
    parser.add_argument("--state", action="store_true", help="which are up, as NAME=NAME")
    parser.add_argument("-o", "--format", choices=("native", "json"), default="native", help="how it is printed")
    parser.add_argument("-t", "--interfaces-format", choices=("native",), default="native", help="accepted")


def _which(found: argparse.Namespace) -> dict[str, Any]:
    which = {"names": " ".join(found.iface), "group": found.allow or "", "exclude": " ".join(found.exclude)}
    everything = {"everything": True} if found.all or (found.allow and not found.iface) else {}
    return {name: value for name, value in which.items() if value} | everything


def _post(what: str) -> Any:
    def request(found: argparse.Namespace) -> Request:
        if os.environ.get(_INSIDE):
            raise NoAnswerError(f"{what} within a command or script that pvenetd runs would wait for its own end")
        if not (found.iface or found.all or found.allow or getattr(found, "currently_up", False)):
            raise argparse.ArgumentTypeError(f"{what}: name interfaces, or -a for all that are marked auto")
        dry_run = {"dry_run": True} if found.no_act else {}
        return Request("POST", (what,), {**_which(found), **dry_run})

    return request


def _question(found: argparse.Namespace) -> Request:
    asked = [what for what in ("list", "check", "running", "state") if getattr(found, what)]
    which = _which(found)
    if not which.get("names") and not found.state:
        which["everything"] = True
    return Request("GET", ("ifquery",), {**which, "what": asked[0] if asked else "config"})


def _done(data: dict[str, Any], found: argparse.Namespace) -> Iterator[Block]:
    if found.no_act or found.verbose or found.debug:
        yield from (one["op"] for one in data["ops"])
    yield from (f"error: {reason}" for reason in data["failed"])


def _failed(data: dict[str, Any]) -> int:
    return int(bool(data["failed"]))


def _answer(data: list[Any], found: argparse.Namespace) -> Iterator[Block]:
    if found.state:
        yield from (f"{one['name']}={one['name']}" for one in data if one["up"])
    elif found.list:
        yield from data
    elif found.format == "json":
        yield json.dumps([_json(one) for one in data], indent=4)
    else:
        for one in data:
            yield from _native(one)


def _native(one: dict[str, Any]) -> Iterator[str]:
    head = " ".join(filter(None, ["iface", one["name"], one["family"], one["method"]]))
    verdicts = one.get("config_status")
    if one["auto"]:
        yield f"auto {one['name']}"
    yield head if verdicts is None else f"{head:<60}[{one['status']}]"
    for number, (option, value) in enumerate(one["config"]):
        line = f"\t{option} {value}"
        yield line if verdicts is None else f"{line:<53}[{verdicts[number]}]"
    yield ""


def _json(one: dict[str, Any]) -> dict[str, Any]:
    """Return a stanza with ifupdown2's keys: of an option that stands there twice, a list."""
    config: dict[str, Any] = {}
    verdicts: dict[str, Any] = {}
    for number, (option, value) in enumerate(one["config"]):
        _add(config, option, value)
        if "config_status" in one:
            _add(verdicts, option, one["config_status"][number])
    told = {"name": one["name"], "auto": bool(one["auto"]), "config": config}
    told |= {key: one[name] for key, name in (("addr_family", "family"), ("addr_method", "method")) if one[name]}
    return told | ({"status": one["status"], "config_status": verdicts} if "config_status" in one else {})


def _add(found: dict[str, Any], option: str, value: str) -> None:
    if option not in found:
        found[option] = value
    elif isinstance(found[option], list):
        found[option].append(value)
    else:
        found[option] = [found[option], value]


def _verdict(data: list[Any]) -> int:
    """Return 1 where a line fails, or an interface that was named is not up."""
    records = [one for one in data if isinstance(one, dict)]
    return int(any(one.get("status") == "fail" or one.get("up") == 0 for one in records))


COMMANDS = (
    Command(
        ("ifup",),
        "bring interfaces of the active configuration up, with what they stand on",
        _post("ifup"),
        _done,
        _todo,
        verdict=_failed,
    ),
    Command(
        ("ifdown",),
        "take interfaces down, with what stands on them; they stay so until ifup, ifreload, apply or a boot",
        _post("ifdown"),
        _done,
        _todo,
        verdict=_failed,
    ),
    Command(
        ("ifreload",),
        "apply the active configuration, never the staged one, with every auto interface up",
        _post("ifreload"),
        _done,
        _reload,
        verdict=_failed,
    ),
    Command(
        ("ifquery",),
        "tell the active configuration by interface, or compare it with the kernel",
        _question,
        _answer,
        _query,
        offline=True,
        verdict=_verdict,
    ),
)
