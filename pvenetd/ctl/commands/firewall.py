"""The firewall of host and guests."""

from __future__ import annotations

import argparse

from pvenetd.ctl import show
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, get, given, has_errors, has_failed, number, seconds
from pvenetd.ctl.show_simulation import simulation


def _apply(parser: Takes) -> None:
    parser.add_argument("--confirm", metavar="SECONDS", type=seconds, help="roll back unless confirmed in time")
    parser.add_argument(
        "--cut", action="store_const", const=1, help="cut connections that the rules would not let begin any more"
    )


def _compile(parser: Takes) -> None:
    parser.add_argument(
        "--backend", choices=("iptables", "nftables"), help="in whose language; else in that of the one that is set"
    )
    parser.add_argument("--vmid", metavar="N", type=number, help="one guest alone")


def _compile_request(found: argparse.Namespace) -> Request:
    return Request("GET", ("firewall", "compile"), given(backend=found.backend, vmid=found.vmid))


def _simulate(parser: Takes) -> None:
    zone = "outside (the uplink), host, vm/VMID, vm/VMID/netN or bridge/NAME"
    parser.add_argument("--from", dest="start", metavar="ZONE", required=True, help=zone)
    parser.add_argument("--to", metavar="ZONE", required=True, help="the same")
    parser.add_argument("--proto", metavar="P", help="tcp, udp, icmp, a number, …; tcp6, udp6, icmp6 are over IPv6")
    parser.add_argument("--source", metavar="ADDRESS", help="where it says it comes from")
    parser.add_argument("--dest", metavar="ADDRESS", help="where it is to go")
    parser.add_argument("--sport", metavar="PORT", help="source port")
    parser.add_argument("--dport", metavar="PORT", help="destination port; of ICMP its type")
    parser.add_argument("--icmp-type", metavar="TYPE", help="name or number; echo-request without")
    parser.add_argument("--mac", metavar="MAC", help="the frame's source, where it is not the guest's own")
    parser.add_argument("--family", choices=("4", "6"), help="IP version, where no address tells it; 4 without")
    parser.add_argument("--state", choices=("new", "established"), default="new", help="of its connection")


def _simulate_request(found: argparse.Namespace) -> Request:
    names = ("to", "proto", "source", "dest", "sport", "dport", "mac", "family", "state")
    values = {"from": found.start, "icmp-type": found.icmp_type, **{name: getattr(found, name) for name in names}}
    return Request("GET", ("firewall", "simulate"), given(**values))


COMMANDS = (
    Command(
        ("firewall", "check"),
        "tell all that is wrong with the firewall files",
        get("firewall", "check"),
        show.problems,
        offline=True,
        verdict=has_errors,
    ),
    Command(
        ("firewall", "compile"),
        "print the ruleset as nft(8), or ipset(8) and iptables-restore(8), take it",
        _compile_request,
        show.text,
        _compile,
        offline=True,
    ),
    Command(
        ("firewall", "simulate"),
        "tell what would become of a packet, and by which rules",
        _simulate_request,
        simulation,
        _simulate,
        offline=True,
    ),
    Command(
        ("firewall", "apply"),
        "load the rules of the host and of every guest",
        lambda found: Request("POST", ("firewall", "apply"), given(confirm=found.confirm, cut=found.cut)),
        show.firewall,
        _apply,
        offline=True,
        verdict=has_failed,
        aside=show.broken_rules,
    ),
    Command(
        ("firewall", "status"),
        "show what is loaded and what differs from the files",
        get("firewall", "status"),
        show.firewall,
    ),
)
