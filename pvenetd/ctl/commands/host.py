"""The host as a whole: status, topology, reconcile."""

from __future__ import annotations

from pvenetd.ctl import show, topology
from pvenetd.ctl.command import Command, Takes, get, has_failed, post


def _format(parser: Takes) -> None:
    parser.add_argument("--format", choices=("text", "json", "dot"), default="text", help="how it is drawn")


COMMANDS = (
    Command(("status",), "show how everything is, on one screen", get("status"), show.status, live=True),
    Command(
        ("topology",),
        "draw the network: uplinks, bonds, bridges, taps, guests",
        get("topology"),
        topology.show,
        _format,
        live=True,
    ),
    Command(
        ("reconcile",),
        "bring firewall and guests to what the files say, after others changed links",
        post("reconcile"),
        show.reconciled,
        verdict=has_failed,
    ),
)
