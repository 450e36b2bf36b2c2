"""Masquerade as a modelled object, in two spellings.

The documented Proxmox one, wherever it stands in a stanza, becomes an object instead of a command::

    post-up   iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE
    post-down iptables -t nat -D POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE

Our own is the bridge's option ``nat-masquerade IFACE``: the networks of its addresses, out of IFACE.
A command that says more than this (``--to-ports``, ``!``, a pipe, …) is not recognised, and stays a command.

Sources: Proxmox VE's administration guide, "Masquerading (NAT) with iptables"; iptables(8).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network

from pvenetd.firewall.nft import chains
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.ruleset import Addresses, Chain, Hook, Piece, Rule, Span
from pvenetd.state import INTERFACES, Chains

_PROGRAM = re.compile(r"(?:/usr)?(?:/s?bin/)?(ip6?tables)(?:-nft|-legacy)?")
_IFNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,14}")
_VALUED = {
    "-t": "table",
    "--table": "table",
    "-A": "append",
    "--append": "append",
    "-I": "append",
    "--insert": "append",
    "-D": "delete",
    "--delete": "delete",
    "-s": "source",
    "--source": "source",
    "--src": "source",
    "-o": "out",
    "--out-interface": "out",
    "-j": "jump",
    "--jump": "jump",
}


@dataclass(frozen=True, slots=True)
class Masquerade:
    """What comes from *network* leaves by *out* with *out*'s own address."""

    network: str
    """``10.0.0.0/24``, without host bits."""
    out: str
    origin: str = ""
    """``FILE:LINE``."""


def recognise(command: str, origin: str = "") -> Masquerade | None:
    """Return the masquerade that an iptables command switches on, None when it is anything else."""
    return _parse(command, "append", origin)


def recognise_removal(command: str, origin: str = "") -> Masquerade | None:
    """Return the masquerade that an iptables command switches off, None when it is anything else."""
    return _parse(command, "delete", origin)


def of_option(value: str, addresses: Iterable[str], origin: str = "") -> tuple[Masquerade, ...]:
    """Return what ``nat-masquerade VALUE`` on an interface with *addresses* (``10.0.0.1/24``) asks for.

    Link-local addresses are left out: nothing from them is ever routed.
    """
    if not _IFNAME.fullmatch(value):
        raise ValueError(f"nat-masquerade: '{value}' is not the name of a network interface")
    networks = [ip_interface(address).network for address in addresses]
    return tuple(Masquerade(str(network), value, origin) for network in networks if not network.is_link_local)


def compile_nat(masquerades: Iterable[Masquerade], owner: str = INTERFACES) -> tuple[Chains, ...]:
    """Return the piece ``nat``: each network and way out once, however often it is asked for; nothing without any."""
    wanted: dict[tuple[str, str], Masquerade] = {}
    for one in masquerades:
        wanted.setdefault((one.network, one.out), one)
    if not wanted:
        return ()
    rules = tuple(
        Rule(
            "masquerade",
            source=_addresses(one.network),
            oif=one.out,
            # Staged or active, it is the same line: once applied, the plan has to be empty.
            origin=one.origin.rpartition("/")[2].replace(".new:", ":") or "nat-masquerade",
        )
        for one in wanted.values()
    )
    hook = Hook("nat", "postrouting", "srcnat")
    design: Design = "ct"  # Nothing in it asks for a connection's state, so either will do.
    return (chains(Piece("nat", (Chain("inet", "nat-postrouting", rules, hook),)), design, owner),)


def _parse(command: str, verb: str, origin: str) -> Masquerade | None:
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    program = _PROGRAM.fullmatch(words[0]) if words else None
    values = _values(words[1:])
    if not program or values is None or {"table", "source", "out", "jump", verb} != set(values):
        return None
    if (values["table"], values[verb], values["jump"]) != ("nat", "POSTROUTING", "MASQUERADE"):
        return None
    try:
        network = ip_network(values["source"], strict=False)
    except ValueError:
        return None
    if network.version != (6 if program[1] == "ip6tables" else 4) or not _IFNAME.fullmatch(values["out"]):
        return None
    return Masquerade(str(network), values["out"], origin)


def _values(words: list[str]) -> dict[str, str] | None:
    """Return the value of each option, by what it means; None when there is one we don't know, or one twice."""
    found: dict[str, str] = {}
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word in ("-w", "--wait"):
            at += at < len(words) and words[at].isdigit()
            continue
        name = _VALUED.get(word)
        if name is None or name in found or at == len(words):
            return None
        found[name] = words[at]
        at += 1
        # -I CHAIN RULENUM: where among the rules makes no difference to a masquerade.
        at += word in ("-I", "--insert") and at < len(words) and words[at].isdigit()
    return found


def _addresses(text: str) -> Addresses:
    network = ip_network(text)
    return Addresses(network.version, (Span(int(network.network_address), int(network.broadcast_address)),))
