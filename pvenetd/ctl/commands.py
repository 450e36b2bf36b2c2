"""Every command: its words, its arguments, the request it is, and how its answer is shown."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from pvenetd import __version__
from pvenetd.ctl import show, topology
from pvenetd.ctl.client import Request
from pvenetd.ctl.page import Block

HOOK_SECONDS = 10.0
"""What a guest's start waits for its network at most."""
_MOST_SECONDS = 86400


class Takes(Protocol):
    """What arguments are declared to: a parser, or who documents or completes them."""

    def add_argument(self, *names: Any, **facts: Any) -> Any:
        """Declare one."""


class FileRequest(NamedTuple):
    """What is asked of one file: read in this process, by this user."""

    what: str
    """``check``, ``list`` or ``show``."""
    file: str
    nics: str | None
    name: str = ""


def everywhere(parser: Takes) -> None:
    """Declare the options that stand before or after a command."""
    absent = argparse.SUPPRESS
    parser.add_argument("--root", metavar="DIR", default=absent, help="directory that stands for / (PVENETD_ROOT)")
    parser.add_argument("--json", action="store_true", default=absent, help="print one JSON document")
    parser.add_argument("--version", action="version", version=f"pvenetctl {__version__}", help="print the version")


def _none(parser: Takes) -> None:
    del parser


def _done(data: Any) -> int:
    del data
    return 0


def _as_is(status: int) -> int:
    return status


class Command(NamedTuple):
    """One command."""

    words: tuple[str, ...]
    help: str
    request: Callable[[argparse.Namespace], Request | FileRequest]
    show: Callable[[Any, argparse.Namespace], Iterable[Block]]
    arguments: Callable[[Takes], None] = _none
    offline: bool = False
    """Whether it also works with no daemon."""
    verdict: Callable[[Any], int] = _done
    """The exit status, by the answer."""
    failing: Callable[[int], int] = _as_is
    """The exit status, where there is no answer."""


GROUPS = {
    "interfaces": "the host's interfaces: configuration and live state",
    "vm": "guests and their NICs",
    "firewall": "the firewall of host and guests",
    "hook": "for the hooks of other programs",
}


def _get(*path: str) -> Callable[[argparse.Namespace], Request]:
    return lambda _: Request("GET", path)


def _post(*path: str) -> Callable[[argparse.Namespace], Request]:
    return lambda _: Request("POST", path)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


# interfaces


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
    return Request("GET", ("check",), _given(nics=arguments.nics))


def _has_errors(data: dict[str, Any]) -> int:
    return int(any(one["severity"] == "error" for one in data["problems"]))


# apply


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"'{text}' should be 1 to {_MOST_SECONDS} seconds")
    return int(text)


def _apply(parser: Takes) -> None:
    parser.add_argument("--confirm", metavar="SECONDS", type=_seconds, help="roll back unless confirmed in time")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")


def _apply_request(arguments: argparse.Namespace) -> Request:
    dry_run = True if arguments.dry_run else None
    return Request("POST", ("apply",), _given(confirm=arguments.confirm, dry_run=dry_run))


# vm


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 100 <= int(text) <= 999_999_999:
        raise argparse.ArgumentTypeError(f"'{text}' should be a VMID: 100 to 999999999")
    return int(text)


def _vmid(parser: Takes) -> None:
    parser.add_argument("vmid", metavar="VMID", type=_number, help="number of the guest")


def _net(text: str) -> str:
    number = text.removeprefix("net")
    if number == text or number not in map(str, range(32)):
        raise argparse.ArgumentTypeError(f"'{text}' should be net0 to net31")
    return text


def _nic(parser: Takes) -> None:
    _vmid(parser)
    parser.add_argument("nic", metavar="NIC", nargs="?", type=_net, help="net0 to net31; all without it")


def _nic_request(what: str) -> Callable[[argparse.Namespace], Request]:
    return lambda found: Request("POST", ("vms", str(found.vmid), what), _given(nic=found.nic))


# firewall


def _compile(parser: Takes) -> None:
    parser.add_argument("--backend", choices=("nftables",), default="nftables", help="in whose language")
    parser.add_argument("--vmid", metavar="N", type=_number, help="one guest alone")


def _compile_request(found: argparse.Namespace) -> Request:
    return Request("GET", ("firewall", "compile"), _given(backend=found.backend, vmid=found.vmid))


def _has_failed(data: dict[str, Any]) -> int:
    return int(bool(data["failed"]))


# the rest


def _format(parser: Takes) -> None:
    parser.add_argument("--format", choices=("text", "json", "dot"), default="text", help="how it is drawn")


def _tap(parser: Takes) -> None:
    parser.add_argument("ifname", metavar="IFNAME", help="the tap: tap<vmid>i<n>")


def _hook_request(phase: str) -> Callable[[argparse.Namespace], Request]:
    return lambda found: Request("POST", ("hook", "qemu"), {"phase": phase, "ifname": found.ifname}, HOOK_SECONDS)


def _never(status: int) -> int:
    """Return success: a guest that has ended has ended, whatever its network says."""
    del status
    return 0


COMMANDS: tuple[Command, ...] = (
    Command(("status",), "show how everything is, on one screen", _get("status"), show.status),
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
        verdict=_has_errors,
    ),
    Command(("plan",), "print the kernel operations that apply would run", _get("plan"), show.plan, offline=True),
    Command(
        ("apply",),
        "make the staged configuration active and bring the kernel to it",
        _apply_request,
        show.applied,
        _apply,
    ),
    Command(("confirm",), "keep what apply --confirm did", _post("confirm"), show.outcome),
    Command(("rollback",), "return to the configuration before the last apply", _post("rollback"), show.outcome),
    Command(("vm", "list"), "list guests and their NICs", _get("vms"), show.guests),
    Command(
        ("vm", "show"),
        "show one guest's NICs",
        lambda found: Request("GET", ("vms", str(found.vmid))),
        show.guest,
        _vmid,
    ),
    Command(("vm", "plug"), "plug a guest's NICs into the network", _nic_request("plug"), show.done, _nic),
    Command(("vm", "unplug"), "take a guest's NICs out of the network", _nic_request("unplug"), show.done, _nic),
    Command(
        ("firewall", "check"),
        "tell all that is wrong with the firewall files",
        _get("firewall", "check"),
        show.problems,
        offline=True,
        verdict=_has_errors,
    ),
    Command(
        ("firewall", "compile"),
        "print the ruleset as nft(8) takes it",
        _compile_request,
        show.ruleset,
        _compile,
        offline=True,
    ),
    Command(
        ("firewall", "apply"),
        "load the rules of the host and of every guest",
        _post("firewall", "apply"),
        show.loaded,
        offline=True,
        verdict=_has_failed,
    ),
    Command(
        ("firewall", "status"),
        "show what is loaded and what differs from the files",
        _get("firewall", "status"),
        show.firewall,
    ),
    Command(
        ("topology",),
        "draw the network: uplinks, bonds, bridges, taps, guests",
        _get("topology"),
        topology.show,
        _format,
    ),
    Command(("events",), "list what the daemon did and why", _get("events"), show.events),
    Command(
        ("reconcile",),
        "bring firewall and guests to what the files say, after others changed links",
        _post("reconcile"),
        show.reconciled,
        verdict=_has_failed,
    ),
    Command(("hook", "qemu-ifup"), "plug the tap that QEMU has made", _hook_request("up"), show.done, _tap),
    Command(
        ("hook", "qemu-ifdown"),
        "unplug the tap of a guest that ends",
        _hook_request("down"),
        show.done,
        _tap,
        failing=_never,
    ),
)
