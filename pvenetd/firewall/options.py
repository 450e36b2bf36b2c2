"""The options of a firewall file: which exist where, what each takes, and what takes effect here.

Source: Proxmox VE's administration guide, chapter "Firewall", sections of cluster.fw, host.fw and VMID.fw.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Scope = Literal["cluster", "host", "guest"]

HELPER = "(amanda|ftp|irc|netbios-ns|pptp|sane|sip|snmp|tftp)"
LEVELS = ("nolog", "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


@dataclass(frozen=True, slots=True)
class Option:
    """One option: the values it takes, and the one under which it asks for nothing we don't do."""

    pattern: str
    """Regular expression of all of a right value."""
    takes: str
    """The same in words."""
    idle: str | None = None
    """None: takes effect here.  Otherwise the values (a regular expression) that need no warning."""
    least: int = 0
    """The smallest number it takes."""


def flag(idle: str | None = None) -> Option:
    """Return an option that takes 0 or 1."""
    return Option("[01]", "0 or 1", idle)


def number(least: int) -> Option:
    """Return an option that takes a number, and has no effect yet."""
    return Option("[0-9]{1,10}", f"a number, at least {least}", "", least)


POLICY = Option("ACCEPT|DROP|REJECT", "ACCEPT, DROP or REJECT")
LEVEL = Option("|".join(LEVELS), f"one of {', '.join(LEVELS)}", "nolog")

OPTIONS: dict[Scope, dict[str, Option]] = {
    "cluster": {
        # A number above 1 is a time until which upstream's firewall is on: `pvenetctl apply --confirm` does that.
        "enable": flag(),
        "ebtables": flag("1"),
        "policy_in": POLICY,
        "policy_out": POLICY,
        "policy_forward": Option(POLICY.pattern, POLICY.takes, "ACCEPT"),
        "log_ratelimit": Option(r"\S+", "enable=…,rate=…,burst=…", ""),
    },
    "host": {
        "enable": flag(),
        "ndp": flag(),
        "log_level_in": LEVEL,
        "log_level_out": LEVEL,
        "log_level_forward": LEVEL,
        "tcp_flags_log_level": LEVEL,
        "smurf_log_level": LEVEL,
        "nosmurfs": flag("0"),
        "tcpflags": flag("0"),
        "nf_conntrack_max": number(32768),
        "nf_conntrack_tcp_timeout_established": number(7875),
        "nf_conntrack_tcp_timeout_syn_recv": Option("[3-5][0-9]|60", "30 to 60", ""),
        "nf_conntrack_allow_invalid": flag("0"),
        "nf_conntrack_helpers": Option(f"{HELPER}([,; ]+{HELPER})*", "a list of conntrack helpers", ""),
        "protection_synflood": flag("0"),
        "protection_synflood_rate": number(0),
        "protection_synflood_burst": number(0),
        "protection_limit": flag("0"),
        "log_nf_conntrack": flag("0"),
        "nftables": flag("[01]"),
    },
    "guest": {
        "enable": flag(),
        "policy_in": POLICY,
        "policy_out": POLICY,
        "dhcp": flag(),
        "ndp": flag(),
        "radv": flag(),
        "macfilter": flag(),
        "ipfilter": flag("0"),
        "log_level_in": LEVEL,
        "log_level_out": LEVEL,
        "ips": flag("0"),
        "ips_queues": Option("[0-9]+(:[0-9]+)?", "N or N:M", ""),
        "layer2_protocols": Option(r"\S+", "a list of /etc/ethertypes", ""),
    },
}


def wrong(option: Option, value: str) -> str:
    """Return what is wrong with *value*, nothing if it is right."""
    if re.fullmatch(option.pattern, value) and (not option.least or int(value) >= option.least):
        return ""
    return f"'{value}' is not {option.takes}"


def idle(option: Option, value: str) -> bool:
    """Return whether *value* asks for nothing that this version does not do."""
    return option.idle is None or re.fullmatch(option.idle, value) is not None
