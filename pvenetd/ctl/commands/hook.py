"""What the hooks of other programs run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pvenetd.ctl import show
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, number
from pvenetd.ctl.page import Block

HOOK_SECONDS = 10.0
"""What a guest's start waits for its network at most."""


def _tap(parser: Takes) -> None:
    parser.add_argument("ifname", metavar="IFNAME", help="the tap: tap<vmid>i<n>")


def _request(phase: str) -> Callable[[argparse.Namespace], Request]:
    def request(found: argparse.Namespace) -> Request:
        given = {"phase": phase, "ifname": found.ifname}
        return Request("POST", ("hook", "qemu"), given, HOOK_SECONDS, patient=phase == "up")

    return request


def _never(status: int, arguments: argparse.Namespace, *, answered: bool) -> int:
    """Return success: a guest that has ended has ended, whatever its network says."""
    del status, arguments, answered
    return 0


# Proxmox VE

_PHASES = ("pre-start", "post-start", "pre-stop", "post-stop")


def _phase(parser: Takes) -> None:
    parser.add_argument("vmid", metavar="VMID", type=number, help="number of the guest")
    parser.add_argument("phase", choices=_PHASES, metavar="PHASE", help=", ".join(_PHASES))


def _phase_request(found: argparse.Namespace) -> Request:
    given = {"vmid": found.vmid, "phase": found.phase}
    return Request("POST", ("hook", "pve"), given, HOOK_SECONDS, patient=found.phase == "pre-start")


# libvirt

_MOST_XML = 1 << 19
"""Bytes of a domain's XML that are passed on; a domain with a hundred devices has a tenth of it."""
_STARTING = ("prepare", "start")
"""The operations that a guest's start waits for, and that may refuse it."""
_TELLING_SECONDS = 3.0
"""What any other waits: a hanging daemon would hold up libvirt for every guest that ends, or is found again."""


def _domain(parser: Takes) -> None:
    parser.add_argument("domain", metavar="DOMAIN", help="the domain's name")
    parser.add_argument("operation", metavar="OPERATION", help="prepare, start, started, stopped, release, ...")
    parser.add_argument("extra", metavar="EXTRA", nargs="*", help="begin or end, and what else libvirt says")


def _domain_request(found: argparse.Namespace) -> Request:
    """Return what asks for a domain, whose XML is on standard input.

    For one that names pvenetd a start waits until the daemon is there, and is refused where it does not come.
    """
    from pvenetd.guests.wiring import names_us

    xml = sys.stdin.buffer.read(_MOST_XML).decode(errors="replace")
    found.fatal = found.operation in _STARTING and names_us(xml)
    told = {"domain": found.domain, "operation": found.operation, "sub": "".join(found.extra[:1]), "xml": xml}
    seconds = HOOK_SECONDS if found.operation in _STARTING else _TELLING_SECONDS
    return Request("POST", ("hook", "libvirt"), told, seconds, patient=found.fatal)


def _if_starting(status: int, arguments: argparse.Namespace, *, answered: bool) -> int:
    """Return failure where a guest of ours is not to start; any other operation goes on whatever happens here."""
    return status if arguments.fatal or (answered and arguments.operation in _STARTING) else 0


def _silent(data: Any, found: argparse.Namespace) -> Iterator[Block]:
    """Print nothing: of some operations, libvirt takes what is printed for the domain's new XML."""
    del data, found
    yield from ()


# LXC


def _words(parser: Takes) -> None:
    parser.add_argument(
        "told",
        metavar="WORD",
        nargs="*",
        help="as LXC gives them: CONTAINER net up|down veth [BRIDGE] IFNAME; or it has put them into the environment",
    )


def _container_request(found: argparse.Namespace) -> Request:
    """Return what asks for a NIC that LXC tells of, in either of its ways (lxc.container.conf(5), hook.version)."""
    told: list[str] = found.told
    if len(told) >= 5:
        container, _, phase, *_, ifname = told
    else:
        container, phase, ifname = (os.environ.get(f"LXC_{name}", "") for name in ("NAME", "HOOK_TYPE", "NET_PEER"))
    found.phase = phase
    values = {"container": container, "phase": phase, "ifname": ifname}
    return Request("POST", ("hook", "lxc"), values, HOOK_SECONDS, patient=phase != "down")


def _unless_down(status: int, arguments: argparse.Namespace, *, answered: bool) -> int:
    """Return failure where the container is not to start; one that has ended has ended."""
    del answered
    return 0 if arguments.phase == "down" else status


COMMANDS = (
    Command(("hook", "qemu-ifup"), "plug the tap that QEMU has made", _request("up"), show.done, _tap),
    Command(
        ("hook", "qemu-ifdown"),
        "unplug the tap of a guest that ends",
        _request("down"),
        show.done,
        _tap,
        failing=_never,
    ),
    Command(("hook", "pve"), "follow a guest of Proxmox VE's, as its hookscript", _phase_request, show.done, _phase),
    Command(
        ("hook", "libvirt-qemu"),
        "follow a domain of libvirt's, whose XML is on standard input",
        _domain_request,
        _silent,
        _domain,
        failing=_if_starting,
    ),
    Command(
        ("hook", "lxc"),
        "plug a container's NIC, or let it go: LXC's script.up and script.down",
        _container_request,
        show.done,
        _words,
        failing=_unless_down,
    ),
)
