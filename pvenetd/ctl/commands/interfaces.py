"""The host's interfaces: list, show, check, create, set, delete, diff, revert."""

from __future__ import annotations

import argparse
from typing import Any

from pvenetd.ctl import show
from pvenetd.ctl.client import HOST, Request
from pvenetd.ctl.command import Command, FileRequest, Takes, get, given, has_errors


def _file(parser: Takes) -> None:
    parser.add_argument("--file", metavar="FILE", help="read this file alone")
    parser.add_argument("--nics", metavar="A,B", help="physical NICs to assume instead of the kernel's")


def _iface(parser: Takes) -> None:
    parser.add_argument("iface", metavar="IFACE", help="name of the interface")
    _file(parser)


def _check(parser: Takes) -> None:
    parser.add_argument("given", metavar="FILE", nargs="?", help="file to check instead of what would be applied")
    _file(parser)


def _list_request(arguments: argparse.Namespace) -> Request | FileRequest:
    if arguments.file or arguments.nics is not None:
        return FileRequest("list", arguments.file or "", arguments.nics)
    return Request("GET", ("interfaces",))


def _show_request(arguments: argparse.Namespace) -> Request | FileRequest:
    if arguments.file or arguments.nics is not None:
        return FileRequest("show", arguments.file or "", arguments.nics, arguments.iface)
    return Request("GET", ("interfaces", arguments.iface))


def _check_request(arguments: argparse.Namespace) -> Request | FileRequest:
    file = arguments.file if arguments.given is None else arguments.given
    if file is not None:
        return FileRequest("check", file, arguments.nics)
    return Request("GET", ("check",), given(nics=arguments.nics))


def _pin(parser: Takes) -> None:
    parser.add_argument("ifaces", metavar="IFACE", nargs="*", help="name of a NIC; all that are there without")
    parser.add_argument("--remove", action="store_true", help="take it back")


def _pin_request(arguments: argparse.Namespace) -> Request:
    return Request("POST", ("pin",), given(ifaces=",".join(arguments.ifaces) or None, remove=arguments.remove or None))


# edits


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"'{text}' should be KEY=VALUE")
    return key, value


def _edited(parser: Takes) -> None:
    parser.add_argument("iface", metavar="IFACE", help="name of the interface")


def _edited_file(parser: Takes) -> None:
    parser.add_argument("--file", metavar="FILE", help="edit this file in place, and stage nothing")
    parser.add_argument("--nics", metavar="A,B", help="with --file: NICs to assume instead of the kernel's")


def _create(parser: Takes) -> None:
    _edited(parser)
    parser.add_argument(
        "values",
        metavar="KEY=VALUE",
        nargs="*",
        type=_key_value,
        help="a key of the API or an option of interfaces(5); given again for an option with several values",
    )
    _edited_file(parser)


def _set(parser: Takes) -> None:
    _create(parser)
    parser.add_argument("--delete", metavar="KEY", action="append", help="drop what KEY sets")


def _delete(parser: Takes) -> None:
    _edited(parser)
    _edited_file(parser)


def _values(found: argparse.Namespace) -> dict[str, Any]:
    """Return what was typed as the API takes it: a list for a key that was given several times."""
    several: dict[str, list[str]] = {}
    for key, value in found.values:
        several.setdefault(key, []).append(value)
    values: dict[str, Any] = {key: texts[0] if len(texts) == 1 else texts for key, texts in several.items()}
    return {**values, "delete": found.delete} if getattr(found, "delete", None) else values


def _create_request(found: argparse.Namespace) -> Request | FileRequest:
    if found.file:
        return FileRequest("create", found.file, found.nics, found.iface, _values(found))
    return Request("POST", ("network",), {"iface": found.iface, **_values(found)}, below=HOST)


def _set_request(found: argparse.Namespace) -> Request | FileRequest:
    if found.file:
        return FileRequest("set", found.file, found.nics, found.iface, _values(found))
    return Request("PUT", ("network", found.iface), _values(found), below=HOST)


def _delete_request(found: argparse.Namespace) -> Request | FileRequest:
    if found.file:
        return FileRequest("delete", found.file, found.nics, found.iface)
    return Request("DELETE", ("network", found.iface), below=HOST)


def _revert_request(found: argparse.Namespace) -> Request:
    del found
    return Request("DELETE", ("network",), below=HOST)


COMMANDS = (
    Command(
        ("interfaces", "list"),
        "list the configured interfaces beside their live state",
        _list_request,
        show.interfaces,
        _file,
        offline=True,
    ),
    Command(
        ("interfaces", "show"),
        "show one interface, configured and live",
        _show_request,
        show.interface,
        _iface,
        offline=True,
    ),
    Command(
        ("interfaces", "check"),
        "tell all that is wrong with the configuration that would be applied, or with FILE",
        _check_request,
        show.problems,
        _check,
        offline=True,
        verdict=has_errors,
    ),
    Command(("interfaces", "create"), "stage a new interface", _create_request, show.edited, _create, offline=True),
    Command(
        ("interfaces", "set"),
        "stage a change of an interface: only what is named changes",
        _set_request,
        show.edited,
        _set,
        offline=True,
    ),
    Command(
        ("interfaces", "delete"),
        "stage that an interface goes",
        _delete_request,
        show.edited,
        _delete,
        offline=True,
    ),
    Command(
        ("interfaces", "diff"),
        "print what is staged against what is active",
        get("diff"),
        show.difference,
        offline=True,
    ),
    Command(
        ("interfaces", "revert"),
        "drop what is staged",
        _revert_request,
        show.reverted,
        offline=True,
    ),
    Command(
        ("interfaces", "pin"),
        "have NICs keep their names, or get back those they had, from the next boot on",
        _pin_request,
        show.pinned,
        _pin,
        offline=True,
    ),
)
