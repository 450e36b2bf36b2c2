"""The host's interfaces: list, show, check."""

from __future__ import annotations

import argparse

from pvenetd.ctl import show
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, FileRequest, Takes, given, has_errors


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
    if file := arguments.given or arguments.file:
        return FileRequest("check", file, arguments.nics)
    return Request("GET", ("check",), given(nics=arguments.nics))


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
)
