"""Kernel settings of an interface that its stanza asks for: forwarding, router advertisements, and the like.

Sources: interfaces(5), ifupdown2's ifupdown-addons-interfaces(5), the kernel's ip-sysctl.rst and mpls-sysctl.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pvenetd.errors import Problem
from pvenetd.interfaces.stanza import Iface, Line
from pvenetd.state import INTERFACES, Sysctl

_YES_NO = {"yes": "1", "on": "1", "1": "1", "true": "1", "no": "0", "off": "0", "0": "0", "false": "0"}
_INVERTED = {word: "0" if value == "1" else "1" for word, value in _YES_NO.items()}
_TO_TWO = {**_YES_NO, "2": "2"}


@dataclass(frozen=True, slots=True)
class Setting:
    """An option, and what it sets."""

    path: str
    """Below /proc/sys, with the interface's name for ``{}``."""
    values: Mapping[str, str]
    """What is written → what the kernel is told."""
    about: str


OPTIONS = {
    "ip-forward": Setting("net/ipv4/conf/{}/forwarding", _YES_NO, "route IPv4 packets that come in here"),
    "ip6-forward": Setting("net/ipv6/conf/{}/forwarding", _YES_NO, "route IPv6 packets that come in here"),
    "arp-accept": Setting("net/ipv4/conf/{}/arp_accept", _YES_NO, "learn neighbours from ARP nobody has asked for"),
    "disable-ipv6": Setting("net/ipv6/conf/{}/disable_ipv6", _YES_NO, "no IPv6 on this interface"),
    "disable-ip6": Setting("net/ipv6/conf/{}/disable_ipv6", _YES_NO, "the same as disable-ipv6"),
    "ipv6-addrgen": Setting(
        "net/ipv6/conf/{}/addr_gen_mode", _INVERTED, "whether the kernel makes IPv6 link-local addresses"
    ),
    "accept-ra": Setting("net/ipv6/conf/{}/accept_ra", _TO_TWO, "heed router advertisements; 2: a router, too"),
    "autoconf": Setting("net/ipv6/conf/{}/autoconf", _YES_NO, "make addresses of advertised prefixes"),
    "privext": Setting("net/ipv6/conf/{}/use_tempaddr", _TO_TWO, "temporary addresses (RFC 8981); 2: prefer them"),
    "mpls-enable": Setting("net/mpls/conf/{}/input", _YES_NO, "take MPLS packets, where the kernel knows MPLS"),
}
_IMPLIED = {("inet6", "auto"): {"accept-ra": "2", "autoconf": "1"}}
"""What a method sets where its stanza does not say (interfaces(5))."""


def read(name: str, stanzas: Iterable[Iface], problems: list[Problem]) -> tuple[Sysctl, ...]:
    """Return the settings of the interface *name*; of two lines for one the last stands."""
    found: dict[str, Sysctl] = {}
    for stanza in stanzas:
        implied = _IMPLIED.get((stanza.family or "", stanza.method or ""), {})
        for option, value in implied.items():
            sysctl = _sysctl(name, OPTIONS[option], value, stanza.head.origin)
            found.setdefault(sysctl.name, sysctl)
        for line in stanza.options:
            setting = OPTIONS.get(line.key)
            if setting is None or not line.value:
                continue
            if (value := setting.values.get(line.value.lower(), "")) == "":
                problems.append(_refused(line, setting, name))
                continue
            sysctl = _sysctl(name, setting, value, line.origin)
            found[sysctl.name] = sysctl
    return tuple(found.values())


def _sysctl(name: str, setting: Setting, value: str, origin: str) -> Sysctl:
    dev = name.partition(":")[0]
    return Sysctl(name=setting.path.format(dev), value=value, dev=dev, owner=INTERFACES, origin=origin)


def _refused(line: Line, setting: Setting, name: str) -> Problem:
    words = "0, 1 or 2" if "2" in setting.values else "yes or no"
    message = f"{line.name}: '{line.value}' should be {words}"
    return Problem(line.path, line.line, "unknown-value", message, "error", "", name, line.name)
