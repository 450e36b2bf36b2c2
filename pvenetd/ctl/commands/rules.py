"""Edits of the firewall's files: rules, options, security groups, IP sets, aliases, by the API's keys."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

from pvenetd.ctl import show_rules
from pvenetd.ctl.client import HOST, Request
from pvenetd.ctl.command import Command, Takes, number

CLUSTER = HOST.replace("/nodes/localhost", "/cluster")


class Scope(NamedTuple):
    """Whose file, or group, it is."""

    below: str
    path: tuple[str, ...]
    kind: str


def scope(text: str) -> Scope:
    """Return what ``cluster``, ``host``, ``vm/100``, ``bridge/vmbr0`` or ``group/web`` names.

    Raises ArgumentTypeError.
    """
    kind, slash, name = text.partition("/")
    if text == "cluster":
        return Scope(CLUSTER, ("firewall",), kind)
    if text == "host":
        return Scope(HOST, ("firewall",), kind)
    if kind in ("vm", "ct") and slash:
        return Scope(HOST, ("pvenetd", "firewall", "guest", str(number(name))), kind)
    if kind == "bridge" and name:
        return Scope(HOST, ("pvenetd", "firewall", "bridge", name), kind)
    if kind == "group" and name:
        return Scope(CLUSTER, ("firewall", "groups", name), kind)
    raise argparse.ArgumentTypeError(f"'{text}' should be cluster, host, vm/VMID, bridge/NAME or group/NAME")


def _file(text: str) -> Scope:
    found = scope(text)
    if found.kind == "group":
        raise argparse.ArgumentTypeError(f"'{text}' is a group, and has rules alone")
    return found


def _with_names(text: str) -> Scope:
    found = scope(text)
    if found.kind not in ("cluster", "vm", "ct"):
        raise argparse.ArgumentTypeError(f"'{text}' has no sets and aliases of its own: cluster, or vm/VMID")
    return found


def key_value(text: str) -> tuple[str, str]:
    """Return the two sides of KEY=VALUE.  Raises ArgumentTypeError."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"'{text}' should be KEY=VALUE")
    return key, value


def _position(text: str) -> str:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"'{text}' should be a position: 0 is the first rule")
    return text


_PLACES: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "rules": ("SCOPE", scope, "cluster, host, vm/VMID, bridge/NAME or group/NAME"),
    "file": ("SCOPE", _file, "cluster, host, vm/VMID or bridge/NAME"),
    "names": ("SCOPE", _with_names, "cluster or vm/VMID"),
    "pos": ("POS", _position, "position of the rule: 0 is the first"),
    "to": ("TO", _position, "before the rule that is at this position now; behind the last where there is none"),
    "name": ("NAME", str, "its name"),
    "cidr": ("CIDR", str, "an address, a network, or an alias"),
}
"""Argument → how it is shown, read and explained; the first three are all ``scope``."""


def _takes(*places: str, values: str = "", delete: bool = False, force: bool = False) -> Callable[[Takes], None]:
    """Return what declares the arguments of a command; *values* says which keys it takes."""

    def declare(parser: Takes) -> None:
        for place in places:
            metavar, kind, text = _PLACES[place]
            name = "scope" if metavar == "SCOPE" else place
            parser.add_argument(name, metavar=metavar, type=kind, help=text)
        if values:
            parser.add_argument("values", metavar="KEY=VALUE", nargs="*", type=key_value, help=values)
        if delete:
            parser.add_argument("--delete", metavar="KEY", action="append", help="drop what KEY sets")
        if force:
            parser.add_argument("--force", action="store_true", help="with all that is in it")

    return declare


def _asks(method: str, *path: str, more: Callable[[argparse.Namespace], dict[str, Any]] | None = None) -> Any:
    """Return what asks for *path* below a scope; ``{pos}`` in it is the argument of that name."""

    def request(found: argparse.Namespace) -> Request:
        where: Scope = getattr(found, "scope", None) or scope("cluster")
        parts = [str(getattr(found, part[1:-1])) if part.startswith("{") else part for part in path]
        parts = parts[1:] if where.kind == "group" else parts  # its rules stand below its name
        values = dict(getattr(found, "values", ()))
        if getattr(found, "delete", None):
            values["delete"] = ",".join(found.delete)
        return Request(method, (*where.path, *parts), {**values, **(more(found) if more else {})}, below=where.below)

    return request


def _new_rule(found: argparse.Namespace) -> dict[str, Any]:
    """Return that a rule is on unless somebody says otherwise: the API has it off; and where it is to stand."""
    values = dict(found.values)
    place = {"before": values["pos"]} if "pos" in values else {}
    return place if "enable" in values else {"enable": 1, **place}


def _options(found: argparse.Namespace) -> Request:
    method = "PUT" if found.values or found.delete else "GET"
    asked: Request = _asks(method, "options")(found)
    return asked


def _named(key: str) -> Callable[[argparse.Namespace], dict[str, Any]]:
    """Return what makes of NAME and rename=NEW what the API takes: the new name, and the old as ``rename``."""

    def values(found: argparse.Namespace) -> dict[str, Any]:
        new = dict(found.values).get("rename", found.name)
        return {key: new, "rename": found.name}

    return values


_RULE = "type, action, macro, source, dest, proto, sport, dport, icmp-type, iface, log, enable, comment"
_ROWS: tuple[tuple[tuple[str, ...], str, Any, Any, Callable[[Takes], None]], ...] = (
    (
        ("rule", "list"),
        "list the rules of a file or a group, with their positions",
        _asks("GET", "rules"),
        show_rules.rules,
        _takes("rules"),
    ),
    (
        ("rule", "add"),
        "add a rule, as the first unless pos=N says before which one",
        _asks("POST", "rules", more=_new_rule),
        show_rules.edited,
        _takes("rules", values=f"{_RULE}, pos; digest"),
    ),
    (
        ("rule", "set"),
        "change a rule: only what is named changes",
        _asks("PUT", "rules", "{pos}"),
        show_rules.edited,
        _takes("rules", "pos", values=f"{_RULE}; digest", delete=True),
    ),
    (
        ("rule", "move"),
        "move a rule",
        _asks("PUT", "rules", "{pos}", more=lambda found: {"moveto": found.to}),
        show_rules.edited,
        _takes("rules", "pos", "to"),
    ),
    (("rule", "delete"), "delete a rule", _asks("DELETE", "rules", "{pos}"), show_rules.edited, _takes("rules", "pos")),
    (
        ("options",),
        "show the options of a file, or set and drop some",
        _options,
        show_rules.options,
        _takes("file", values="options by their names, pvenetd-firewall(5)", delete=True),
    ),
    (("group", "list"), "list the security groups", _asks("GET", "groups"), show_rules.groups, _takes()),
    (
        ("group", "create"),
        "make a security group",
        _asks("POST", "groups", more=lambda found: {"group": found.name}),
        show_rules.edited,
        _takes("name", values="comment"),
    ),
    (
        ("group", "set"),
        "change a security group: its name, which all that use it follow, or its comment",
        _asks("POST", "groups", more=_named("group")),
        show_rules.edited,
        _takes("name", values="rename, comment"),
    ),
    (
        ("group", "delete"),
        "delete a security group that is empty and not used",
        _asks("DELETE", "groups", "{name}"),
        show_rules.edited,
        _takes("name"),
    ),
    (("ipset", "list"), "list the IP sets", _asks("GET", "ipset"), show_rules.named, _takes("names")),
    (
        ("ipset", "show"),
        "show what is in an IP set",
        _asks("GET", "ipset", "{name}"),
        show_rules.entries,
        _takes("names", "name"),
    ),
    (
        ("ipset", "create"),
        "make an IP set",
        _asks("POST", "ipset", more=lambda found: {"name": found.name}),
        show_rules.edited,
        _takes("names", "name", values="comment"),
    ),
    (
        ("ipset", "set"),
        "change an IP set: its name, which all that use it follow, or its comment",
        _asks("POST", "ipset", more=_named("name")),
        show_rules.edited,
        _takes("names", "name", values="rename, comment"),
    ),
    (
        ("ipset", "delete"),
        "delete an IP set that is not used",
        _asks("DELETE", "ipset", "{name}", more=lambda found: {"force": 1} if found.force else {}),
        show_rules.edited,
        _takes("names", "name", force=True),
    ),
    (
        ("ipset", "add"),
        "add an address, a network or an alias to an IP set",
        _asks("POST", "ipset", "{name}", more=lambda found: {"cidr": found.cidr}),
        show_rules.edited,
        _takes("names", "name", "cidr", values="nomatch, comment"),
    ),
    (
        ("ipset", "change"),
        "change an entry of an IP set: only what is named changes",
        _asks("PUT", "ipset", "{name}", "{cidr}"),
        show_rules.edited,
        _takes("names", "name", "cidr", values="nomatch, comment"),
    ),
    (
        ("ipset", "remove"),
        "take an entry out of an IP set",
        _asks("DELETE", "ipset", "{name}", "{cidr}"),
        show_rules.edited,
        _takes("names", "name", "cidr"),
    ),
    (("alias", "list"), "list the aliases", _asks("GET", "aliases"), show_rules.named, _takes("names")),
    (
        ("alias", "create"),
        "give addresses a name",
        _asks("POST", "aliases", more=lambda found: {"name": found.name, "cidr": found.cidr}),
        show_rules.edited,
        _takes("names", "name", "cidr", values="comment"),
    ),
    (
        ("alias", "set"),
        "change an alias: its addresses, its comment, its name, which all that use it follow",
        _asks("PUT", "aliases", "{name}"),
        show_rules.edited,
        _takes("names", "name", values="cidr, rename, comment"),
    ),
    (
        ("alias", "delete"),
        "delete an alias that is not used",
        _asks("DELETE", "aliases", "{name}"),
        show_rules.edited,
        _takes("names", "name"),
    ),
)

COMMANDS = tuple(
    Command(("firewall", *words), text, request, show, arguments, offline=True)
    for words, text, request, show, arguments in _ROWS
)
