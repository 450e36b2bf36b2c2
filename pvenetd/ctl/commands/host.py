"""The host as a whole: status, topology, ports, who is behind them, reconcile."""

from __future__ import annotations

from pvenetd.ctl import show, show_ports, topology
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, get, given, has_failed, post


def _format(parser: Takes) -> None:
    parser.add_argument("--format", choices=("text", "json", "dot"), default="text", help="how it is drawn")


def _bridge(parser: Takes) -> None:
    parser.add_argument("bridge", metavar="BRIDGE", nargs="?", help="one bridge's table alone")


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
    Command(("ports",), "list every port with what it has counted", get("ports"), show_ports.ports, live=True),
    Command(
        ("fdb",),
        "list who is behind which port",
        lambda found: Request("GET", ("fdb",), given(bridge=found.bridge)),
        show_ports.forwarding,
        _bridge,
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
