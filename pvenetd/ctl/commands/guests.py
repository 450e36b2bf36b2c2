"""Guests and their NICs."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from pvenetd.ctl import show
from pvenetd.ctl.client import Request
from pvenetd.ctl.command import Command, Takes, get, given, number


def _vmid(parser: Takes) -> None:
    parser.add_argument("vmid", metavar="VMID", type=number, help="number of the guest")


def _net(text: str) -> str:
    index = text.removeprefix("net")
    if index == text or index not in map(str, range(32)):
        raise argparse.ArgumentTypeError(f"'{text}' should be net0 to net31")
    return text


def _nic(parser: Takes) -> None:
    _vmid(parser)
    parser.add_argument("nic", metavar="NIC", nargs="?", type=_net, help="net0 to net31; all without it")


def _nic_request(what: str) -> Callable[[argparse.Namespace], Request]:
    return lambda found: Request("POST", ("vms", str(found.vmid), what), given(nic=found.nic))


def _adopt(parser: Takes) -> None:
    parser.add_argument("domain", metavar="DOMAIN", help="a domain of libvirt's")
    parser.add_argument("--vmid", metavar="N", type=number, help="number it is to have; without it, what tells its own")


def _adopt_request(found: argparse.Namespace) -> Request:
    return Request("POST", ("adopt",), given(domain=found.domain, vmid=found.vmid))


COMMANDS = (
    Command(("vm", "list"), "list guests and their NICs", get("vms"), show.guests),
    Command(
        ("vm", "show"),
        "show one guest's NICs",
        lambda found: Request("GET", ("vms", str(found.vmid))),
        show.guest,
        _vmid,
    ),
    Command(
        ("vm", "lxc-config"),
        "print the lines that LXC's own configuration of a container needs",
        lambda found: Request("GET", ("vms", str(found.vmid), "lxc-config")),
        show.text,
        _vmid,
        offline=True,
    ),
    Command(("vm", "plug"), "plug a guest's NICs into the network", _nic_request("plug"), show.done, _nic),
    Command(("vm", "unplug"), "take a guest's NICs out of the network", _nic_request("unplug"), show.done, _nic),
    Command(
        ("vm", "adopt"),
        "wire the NICs of a libvirt domain to pvenetd, and show what has changed",
        _adopt_request,
        show.adopted,
        _adopt,
    ),
)
