"""Connection tracking: the helpers that find a protocol's further connections, and the kernel's limits.

Sources: Proxmox VE's administration guide, chapter "Firewall", "Host Specific Configuration"; IANA's port numbers;
the kernel's Documentation/networking/nf_conntrack-sysctl.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pvenetd.firewall.logs import LEVELS, Way
from pvenetd.firewall.options import helpers
from pvenetd.firewall.ruleset import IP, TCP, UDP, Chain, Hook, Log, Rule, Span, Table
from pvenetd.firewall.syntax import Config

_BOTH, _FOUR = (), (IP,)
_HELPERS: dict[str, tuple[tuple[int, ...], int, tuple[int, ...]]] = {
    "amanda": (_BOTH, UDP, (10080,)),
    "ftp": (_BOTH, TCP, (21,)),
    "irc": (_FOUR, TCP, (6667,)),
    "netbios-ns": (_FOUR, UDP, (137,)),
    "pptp": (_FOUR, TCP, (1723,)),
    "sane": (_BOTH, TCP, (6566,)),
    "sip": (_BOTH, UDP, (5060,)),
    "snmp": (_FOUR, UDP, (161,)),
    "tftp": (_BOTH, UDP, (69,)),
}
"""Name → families, protocol and port of the connections it reads; of four the kernel has no IPv6."""

_AFTER_TRACKING = "-150"
"""A helper is given to a connection that is known (-200), before NAT gives it other ends (-100)."""


def connection_logs(host: Config) -> Iterator[Chain]:
    """Yield the chains that write down every connection that begins, with ``log_nf_conntrack``.

    What a bridge forwards, where it tracks connections, passes the host's hooks no more.
    """
    if host.flag("log_nf_conntrack", default=False):
        yield _log("inet", "host-connections", "prerouting", "in")
        yield _log("inet", "host-connections-own", "output", "out")
        yield _log("bridge", "host-connections", "forward", "forward")


def _log(table: Table, name: str, hook: Literal["prerouting", "output", "forward"], way: Way) -> Chain:
    note = Log(0, LEVELS["info"], way, "conntrack NEW")
    rule = Rule("log", state=("new",), log=note, origin="log_nf_conntrack")
    return Chain(table, name, (rule,), Hook("filter", hook, _AFTER_TRACKING))


_MAX, _BUCKETS = "net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_buckets"
_TIMEOUTS = ("nf_conntrack_tcp_timeout_established", "nf_conntrack_tcp_timeout_syn_recv")


def helper_chains(host: Config) -> Iterator[Chain]:
    """Yield the chains that give connections their helper: those that come in, the host's own, those in bridges."""
    rules = tuple(_rule(name) for name in sorted(helpers(host.option("nf_conntrack_helpers", ""))))
    if rules:
        yield Chain("inet", "host-helpers", rules, Hook("filter", "prerouting", _AFTER_TRACKING))
        yield Chain("inet", "host-helpers-own", rules, Hook("filter", "output", _AFTER_TRACKING))
        yield Chain("bridge", "host-helpers", rules, Hook("filter", "prerouting", _AFTER_TRACKING))


def asked(host: Config) -> dict[str, str]:
    """Return the helpers that host.fw asks for, by the abilities of the kernel that they are: ``helper ftp tcp``."""
    rules = map(_rule, helpers(host.option("nf_conntrack_helpers", "")))
    return {f"helper {rule.helper} {'tcp' if rule.protocol == TCP else 'udp'}": rule.helper for rule in rules}


def _rule(name: str) -> Rule:
    families, protocol, ports = _HELPERS[name]
    dport = tuple(Span(port, port) for port in ports)
    return Rule(
        "helper", ethertypes=families, protocol=protocol, dport=dport, helper=name, origin="nf_conntrack_helpers"
    )


def host_sysctls(host: Config) -> dict[str, str]:
    """Return the kernel settings that host.fw asks for, by their names below /proc/sys.

    Of ``nf_conntrack_max`` and the ``buckets`` that go with it, only what is more than there is takes effect.
    """
    found: dict[str, str] = {}
    if most := host.option("nf_conntrack_max", ""):
        rounded = -(-int(most) // 8192) * 8192
        found |= {_MAX: str(rounded), _BUCKETS: str(rounded // 4)}
    for name in _TIMEOUTS:
        if seconds := host.option(name, ""):
            found[f"net/netfilter/{name}"] = seconds
    return found


RAISED = frozenset({_MAX, _BUCKETS})
"""The settings that are never lowered."""
