"""What the hooks of other programs run."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from pvenetd.ctl import show
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes

HOOK_SECONDS = 10.0
"""What a guest's start waits for its network at most."""


def _tap(parser: Takes) -> None:
    parser.add_argument("ifname", metavar="IFNAME", help="the tap: tap<vmid>i<n>")


def _request(phase: str) -> Callable[[argparse.Namespace], Request]:
    return lambda found: Request("POST", ("hook", "qemu"), {"phase": phase, "ifname": found.ifname}, HOOK_SECONDS)


def _never(status: int) -> int:
    """Return success: a guest that has ended has ended, whatever its network says."""
    del status
    return 0


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
)
