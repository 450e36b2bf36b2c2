"""The options of interfaces(5) that ask for NAT: their text → the model.

::

    iface vmbr1 inet static
        address 10.10.10.1/24
        nat-masquerade vmbr0
        nat-snat vmbr0 192.0.2.7
        nat-forward tcp 8080 10.10.10.2:80
        nat-forward tcp,udp 192.0.2.8:5000-5010 10.10.10.2 in vmbr0
        nat-one-to-one vmbr0 192.0.2.9 10.10.10.9

They stand in the stanza of the interface that has the private network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network

from pvenetd.firewall.ruleset import Span
from pvenetd.names import is_ifname
from pvenetd.nat.model import MOST_RENUMBERED, PROTOCOLS, Address, Forward, Nat, Network, OneToOne, Outgoing

OPTIONS = {
    "nat-masquerade": (
        "IFACE [NETWORK...]: what comes from the networks of this stanza's addresses, or from those named, and leaves "
        "by IFACE gets the address of IFACE"
    ),
    "nat-snat": "IFACE ADDRESS[-ADDRESS] [NETWORK...]: the same with an address, or any of a range, that is said",
    "nat-forward": (
        "PROTOCOL [ADDRESS:]PORT[-PORT][,...] ADDRESS[:PORT[-PORT]] [in IFACE]: what comes for a port of the host goes "
        "to a guest; tcp, udp, sctp, or several with commas; IPv6 addresses with ports in brackets. Meant is the "
        "first address, or any of the host but this interface's own; with in IFACE, only what comes in there, or from "
        "this interface's guests. Ports stay what they are, or one, or a range of up to 1024, become as many others. "
        "Guests of the same network reach it too; their packets come from the host then"
    ),
    "nat-one-to-one": (
        "IFACE PUBLIC PRIVATE: what comes for the address PUBLIC goes to PRIVATE, on all ports that no nat-forward "
        "has, and what PRIVATE sends out by IFACE comes from PUBLIC"
    ),
}
"""Option → what it takes, and what it means."""

OF_THE_STANZA = frozenset({"nat-masquerade", "nat-snat"})
"""Options that are about the addresses of the stanza they stand in, and not about all of its interface."""


class Wrong(ValueError):
    """What is wrong with a value: the code and the hint beside the words."""

    def __init__(self, message: str, hint: str = "", code: str = "unknown-value") -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


def read(option: str, value: str, iface: str, addresses: Sequence[str] = (), origin: str = "") -> tuple[Nat, ...]:
    """Return what *option* *value* on *iface*, which has *addresses* (``10.0.0.1/24``), asks for.  Raises `Wrong`."""
    return _READERS[option](value.split(), iface, addresses, origin)


def _masquerade(words: list[str], iface: str, addresses: Sequence[str], origin: str) -> tuple[Nat, ...]:
    if not words:
        raise Wrong("IFACE is missing", "the interface it leaves by")
    out = _ifname(words[0])
    return tuple(
        Outgoing(network, out, None, None, _own(network, out, iface), network.version, iface, origin)
        for network in _networks(words[1:], addresses)
    )


def _snat(words: list[str], iface: str, addresses: Sequence[str], origin: str) -> tuple[Nat, ...]:
    if len(words) < 2:
        raise Wrong("wants IFACE ADDRESS", "the interface it leaves by, and the address it has then")
    out, to = _ifname(words[0]), _range(words[1])
    version = to[0].version
    networks = _networks(words[2:], addresses)
    if other := next((network for network in networks if network.version != version and words[2:]), None):
        raise Wrong(f"{other} is not of {to[0]}'s family", "one line a family", "nat-family")
    networks = [network for network in networks if network.version == version]
    if addresses and not networks:
        raise Wrong(f"{iface} has no network of {to[0]}'s family", "name one behind the address", "nat-family")
    return tuple(
        Outgoing(network, out, to, None, _own(network, out, iface), version, iface, origin) for network in networks
    )


def _own(network: Network, out: str, iface: str) -> Network | None:
    """Return what is not to be translated: the network itself, where it is on the interface that it leaves by."""
    return network if out == iface else None


def _forward(words: list[str], iface: str, addresses: Sequence[str], origin: str) -> tuple[Nat, ...]:
    way = ""
    if len(words) == 5 and words[3] == "in":
        way, words = _ifname(words[4]), words[:3]
        _ifname(iface)
    if len(words) != 3:
        raise Wrong("wants PROTOCOL PORT ADDRESS:PORT", "tcp 8080 10.10.10.2:80, and in IFACE behind it")
    protocols = words[0].split(",")
    if unknown := [name for name in protocols if name not in PROTOCOLS]:
        raise Wrong(f"'{unknown[0]}' has no ports to forward", f"one of {', '.join(PROTOCOLS)}")
    head, *more = words[1].split(",")
    public, first = endpoint(head)
    to, to_ports = endpoint(words[2])
    if first is None:
        raise Wrong(f"'{words[1]}' names no port", f"{words[1]}:80; nat-one-to-one is for all of them")
    if to is None:
        raise Wrong(f"'{words[2]}' names no address", "the guest's address, and a port behind it")
    if public is not None and public.version != to.version:
        raise Wrong(f"{public} and {to} are of two families", "NAT does not change the family", "nat-family")
    if more and to_ports:
        raise Wrong(f"'{words[1]}' are several, and cannot become others in one line", "a line each", "nat-ports")
    _fitting(first, to_ports)
    own = tuple(ip_interface(address).ip for address in addresses)
    return tuple(
        Forward(
            PROTOCOLS[name],
            ports,
            to,
            None if to_ports == first else to_ports,
            ip_network(public) if public is not None else None,
            tuple(address for address in own if address.version == to.version),
            way,
            iface=iface,
            origin=origin,
        )
        for name in dict.fromkeys(protocols)
        for ports in dict.fromkeys((first, *map(ports_of, more)))
    )


def _fitting(ports: Span, others: Span | None) -> None:
    if others is None or others == ports:
        return
    asked, given = ports.last - ports.first + 1, others.last - others.first + 1
    if asked != given:
        raise Wrong(f"{asked} ports cannot become {given}", "as many of the guest's", "nat-ports")
    if asked > MOST_RENUMBERED:
        hint = f"without ports for the guest they stay what they are; {MOST_RENUMBERED} can become others"
        raise Wrong(f"{asked} ports are to become others", hint, "nat-ports")


def _one_to_one(words: list[str], iface: str, addresses: Sequence[str], origin: str) -> tuple[Nat, ...]:
    del addresses
    if len(words) != 3:
        raise Wrong("wants IFACE PUBLIC PRIVATE", "the interface it leaves by, its address there, the guest's own")
    out, public, private = _ifname(words[0]), _address(words[1]), _address(words[2])
    if public.version != private.version:
        raise Wrong(f"{public} and {private} are of two families", "NAT does not change the family", "nat-family")
    if public == private:
        raise Wrong(f"{public} would become itself", "the public address, then the guest's own")
    return (OneToOne(public, private, out, iface=iface, origin=origin),)


_READERS: dict[str, Callable[[list[str], str, Sequence[str], str], tuple[Nat, ...]]] = {
    "nat-masquerade": _masquerade,
    "nat-snat": _snat,
    "nat-forward": _forward,
    "nat-one-to-one": _one_to_one,
}


def endpoint(text: str) -> tuple[Address | None, Span | None]:
    """Return the address and the ports of ``8080``, ``192.0.2.1:80-90`` or ``[2001:db8::1]:80``.  Raises `Wrong`."""
    if found := re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text):
        return _address(found[1], 6), None if found[2] is None else ports_of(found[2])
    if re.fullmatch(r"[0-9]+(-.*)?", text):
        return None, ports_of(text)
    if text.count(":") == 1:
        address, _, ports = text.partition(":")
        return _address(address, 4), ports_of(ports)
    return _address(text), None


def ports_of(text: str) -> Span:
    """Return the ports of ``80`` or ``80-90``.  Raises `Wrong`."""
    found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise Wrong(f"'{text}' is neither a port nor a range of them", "1 to 65535, 5000-5010", "nat-ports")
    return Span(first, last)


def _address(text: str, version: int | None = None) -> Address:
    """Return an address that one host can have.  Raises `Wrong`."""
    try:
        address = ip_address(text)
    except ValueError:
        raise Wrong(f"'{text}' is no address", "192.0.2.1, 2001:db8::1; with a port [2001:db8::1]:80") from None
    if version not in (None, address.version):
        raise Wrong(f"'{text}' is no IPv{version} address", "IPv6 addresses with ports stand in brackets")
    if address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local:
        raise Wrong(f"{address} is no address that packets are routed to")
    if isinstance(address, IPv6Address) and address.scope_id:
        raise Wrong(f"'{text}' is of one link alone", "without %")
    return address


def _range(text: str) -> tuple[Address, Address]:
    first, dash, last = text.partition("-")
    found = _address(first), _address(last if dash else first)
    if found[0].version != found[1].version:
        raise Wrong(f"'{text}' has two families", "", "nat-family")
    if int(found[0]) > int(found[1]):
        raise Wrong(f"'{text}' ends before it begins")
    return found


def _networks(words: Sequence[str], addresses: Sequence[str]) -> list[Network]:
    """Return those that are named, or those of an interface's addresses, but for link-local ones: none is routed."""
    if not words:
        found = [ip_interface(address).network for address in addresses]
        return [network for network in dict.fromkeys(found) if not network.is_link_local]
    try:
        return [ip_network(word) for word in words]
    except ValueError as error:
        raise Wrong(str(error), "10.10.20.0/24, without bits behind the prefix") from None


def _ifname(word: str) -> str:
    if not is_ifname(word) or not re.fullmatch(r"[A-Za-z0-9][\w.@-]*", word, re.ASCII):
        raise Wrong(f"'{word}' is not the name of a network interface")
    return word
