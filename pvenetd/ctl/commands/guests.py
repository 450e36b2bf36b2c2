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


def _string(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' should be netN=STRING")
    return _net(key), value


def _change(parser: Takes) -> None:
    _vmid(parser)
    text = "a NIC and all it is to have: net0=virtio=MAC,bridge=vmbr0,tag=5"
    parser.add_argument("values", metavar="netN=STRING", nargs="*", type=_string, help=text)
    parser.add_argument("--delete", metavar="netN", action="append", type=_net, help="drop a NIC")


def _change_request(found: argparse.Namespace) -> Request:
    """Return what asks for the change.  Raises ArgumentTypeError where a NIC is given twice."""
    values = dict(found.values)
    if len(values) < len(found.values):
        raise argparse.ArgumentTypeError("a NIC has one netN=STRING")
    if not values and not found.delete:
        raise argparse.ArgumentTypeError("netN=STRING, or --delete netN, is missing")
    return Request("PUT", ("vms", str(found.vmid)), given(**values, delete=found.delete))


COMMANDS = (
    Command(("vm", "list"), "list guests and their NICs", get("vms"), show.guests, live=True),
    Command(
        ("vm", "show"),
        "show one guest's NICs",
        lambda found: Request("GET", ("vms", str(found.vmid))),
        show.guest,
        _vmid,
        live=True,
    ),
    Command(
        ("vm", "lxc-config"),
        "print the lines that LXC's own configuration of a container needs",
        lambda found: Request("GET", ("vms", str(found.vmid), "lxc-config")),
        show.text,
        _vmid,
        offline=True,
    ),
    Command(("vm", "set"), "change a guest's NICs, live if it runs", _change_request, show.done, _change),
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
