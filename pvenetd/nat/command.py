"""iptables commands that ask for NAT: recognised, they become objects of the model instead of commands.

The shapes are those that Proxmox VE documents and generates, wherever they stand in a stanza::

    post-up   iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE
    post-down iptables -t nat -D POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE
    post-up   iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j SNAT --to-source 192.0.2.7
    post-up   iptables -t nat -A PREROUTING -i vmbr0 -p tcp --dport 8080 -j DNAT --to-destination 10.10.10.2:80
    post-up   iptables -t raw -I PREROUTING -i fwbr+ -j CT --zone 1

The last one keeps Proxmox VE's firewall bridges from settling a connection's NAT too early.  Here are no such
bridges, so it is not run.  A command that says more than these (another match, a pipe, …) stays a command.

Sources: Proxmox VE's administration guide, "Masquerading (NAT) with iptables"; iptables(8), iptables-extensions(8).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network

from pvenetd.firewall.ruleset import Span
from pvenetd.nat.model import PROTOCOLS, Address, Forward, Nat, Network, Outgoing

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
    "-d": "dest",
    "--destination": "dest",
    "--dst": "dest",
    "-i": "way",
    "--in-interface": "way",
    "-o": "out",
    "--out-interface": "out",
    "-p": "protocol",
    "--protocol": "protocol",
    "--dport": "dport",
    "--destination-port": "dport",
    "--dports": "dports",
    "--destination-ports": "dports",
    "--comment": "comment",
    "-j": "jump",
    "--jump": "jump",
    "--to-source": "to",
    "--to-destination": "to",
    "--to": "to",
    "--zone": "zone",
}
_ADDS, _REMOVES = ("pre-up", "up", "post-up"), ("pre-down", "down", "post-down")
_ALWAYS = {"table", "jump"}
_IMPLIED = frozenset({*PROTOCOLS, "comment", "multiport"})
"""Matches that say nothing beside the options which belong to them."""

Words = Mapping[str, str]
"""What a command says, by what it means; ``!dest`` for what stands behind an exclamation mark."""


def recognise(command: str, origin: str = "", iface: str = "") -> tuple[Nat, ...]:
    """Return what an iptables command switches on, nothing when it is anything else."""
    return _parse(command, "append", origin, iface)


def recognise_removal(command: str, origin: str = "") -> tuple[Nat, ...]:
    """Return what an iptables command switches off, nothing when it is anything else."""
    return _parse(command, "delete", origin, "")


def is_needless(command: str) -> bool:
    """Return whether a command puts the packets of firewall bridges into a zone: there are none of these here."""
    said = _said(command)
    if said is None:
        return False
    words = dict(said[1])
    chain = words.pop("append", "") or words.pop("delete", "")
    zone = words.pop("zone", "")
    return (chain, words) == ("PREROUTING", {"table": "raw", "way": "fwbr+", "jump": "CT"}) and zone.isdigit()


def is_modelled(phase: str, command: str) -> bool:
    """Return whether *command*, of a stanza's *phase*, is not run because the model does what it asks for."""
    if is_needless(command):
        return True
    return bool((phase in _ADDS and recognise(command)) or (phase in _REMOVES and recognise_removal(command)))


def wanted(phase: str, command: str, origin: str, iface: str) -> tuple[Nat, ...]:
    """Return what *command*, of *iface*'s stanza, asks for where its *phase* is one that switches on."""
    return recognise(command, origin, iface) if phase in _ADDS else ()


def _parse(command: str, verb: str, origin: str, iface: str) -> tuple[Nat, ...]:
    said = _said(command)
    if said is None or said[1].get("table") != "nat" or verb not in said[1]:
        return ()
    version, words = said
    read = _READERS.get((words[verb], words.get("jump", "")))
    rest = {name: value for name, value in words.items() if name not in (*_ALWAYS, verb, "comment")}
    try:
        return tuple(read(rest, version, origin, iface)) if read else ()
    except ValueError:
        return ()


def _masquerade(words: Words, version: int, origin: str, iface: str) -> Iterator[Nat]:
    return _outgoing(words, None, version, origin, iface)


def _snat(words: Words, version: int, origin: str, iface: str) -> Iterator[Nat]:
    first, dash, last = words.get("to", "").partition("-")
    to = (_address(first, version), _address(last if dash else first, version))
    if int(to[0]) > int(to[1]):
        return iter(())
    return _outgoing({name: value for name, value in words.items() if name != "to"}, to, version, origin, iface)


def _outgoing(
    words: Words, to: tuple[Address, Address] | None, version: int, origin: str, iface: str
) -> Iterator[Outgoing]:
    if not words.keys() <= {"source", "out", "dest", "!dest"} or "source" not in words:
        return
    if not words.keys() & {"out", "!dest"}:
        return  # even what goes from one of the host's bridges to another
    source, dest, other = (_network(words.get(name), version) for name in ("source", "dest", "!dest"))
    yield Outgoing(source, _ifname(words.get("out", "")), to, dest, other, version, iface, origin)


def _dnat(words: Words, version: int, origin: str, iface: str) -> Iterator[Nat]:
    if not words.keys() <= {"source", "dest", "way", "protocol", "dport", "dports", "to"}:
        return
    asked = [_ports(words["dport"], ":")] if "dport" in words else []
    asked += [_ports(text, ":") for text in words["dports"].split(",")] if "dports" in words else []
    protocol = PROTOCOLS.get(words.get("protocol", ""))
    address, others = _target(words.get("to", ""), version)
    if not words.keys() & {"dest", "way"} or ("protocol" in words) != bool(asked) or (asked and protocol is None):
        return
    if others and (len(asked) != 1 or others.last - others.first not in (0, asked[0].last - asked[0].first)):
        return
    if others and others.first != others.last and others != asked[0]:
        return  # iptables takes any of them, in no order
    source, dest = (_network(words.get(name), version) for name in ("source", "dest"))
    way = _ifname(words.get("way", ""))
    several: list[Span | None] = [*asked] or [None]
    for ports in several:
        to = None if others == ports else others
        yield Forward(protocol, ports, address, to, dest, (), way, source, as_written=True, iface=iface, origin=origin)


_READERS: dict[tuple[str, str], Callable[[Words, int, str, str], Iterator[Nat]]] = {
    ("POSTROUTING", "MASQUERADE"): _masquerade,
    ("POSTROUTING", "SNAT"): _snat,
    ("PREROUTING", "DNAT"): _dnat,
}


def _target(text: str, version: int) -> tuple[Address, Span | None]:
    """Return the address and the ports of ``10.0.0.2:80``, ``10.0.0.2`` or ``[2001:db8::2]:80``.  Raises ValueError."""
    if version == 4:
        address, colon, ports = text.partition(":")
        return _address(address, 4), _ports(ports, "-") if colon else None
    if found := re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text):
        return _address(found[1], 6), None if found[2] is None else _ports(found[2], "-")
    return _address(text, 6), None


def _ports(text: str, dash: str) -> Span:
    found = re.fullmatch(f"([0-9]{{1,5}})(?:{dash}([0-9]{{1,5}}))?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise ValueError(text)
    return Span(first, last)


def _address(text: str, version: int) -> Address:
    address = ip_address(text)
    if address.version != version or getattr(address, "scope_id", None):
        raise ValueError(text)
    return address


def _network(text: str | None, version: int) -> Network | None:
    if text is None:
        return None
    network = ip_network(text, strict=False)
    if network.version != version:
        raise ValueError(text)
    return network


def _ifname(text: str) -> str:
    if text and not _IFNAME.fullmatch(text):
        raise ValueError(text)
    return text


@lru_cache(maxsize=1 << 10)
def _said(command: str) -> tuple[int, Words] | None:
    """Return the family of an iptables command, and what it says; None where it is none, or says what we don't know."""
    if "tables" not in command:
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    program = _PROGRAM.fullmatch(words[0]) if words else None
    values = _values(words[1:])
    if not program or values is None:
        return None
    return 6 if program[1] == "ip6tables" else 4, values


def _values(words: list[str]) -> dict[str, str] | None:
    """Return the value of each option, by what it means; None when there is one we don't know, or one twice."""
    found: dict[str, str] = {}
    at = 0
    while at < len(words):
        no = words[at] == "!"
        at += no
        word = words[at] if at < len(words) else ""
        at += 1
        if word in ("-w", "--wait"):
            at += at < len(words) and words[at].isdigit()
            continue
        if word in ("-m", "--match") and at < len(words) and words[at] in _IMPLIED and not no:
            at += 1
            continue
        name = _VALUED.get(word)
        if name is None or at == len(words) or (no and name != "dest"):
            return None
        name = f"!{name}" if no else name
        if name in found:
            return None
        found[name] = words[at]
        at += 1
        # -I CHAIN RULENUM: among our rules it stands where its line does.
        at += word in ("-I", "--insert") and at < len(words) and words[at].isdigit()
    return found
