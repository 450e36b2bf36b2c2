"""The options of a firewall file: which exist where, what each takes, and what takes effect here.

Source: Proxmox VE's administration guide, chapter "Firewall", sections of cluster.fw, host.fw and VMID.fw.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from pvenetd.firewall.ethertypes import ethertypes
from pvenetd.firewall.ruleset import Limit, Span
from pvenetd.firewall.values import Wrong, near

Scope = Literal["cluster", "host", "guest", "bridge"]

HELPERS = ("amanda", "ftp", "irc", "netbios-ns", "pptp", "sane", "sip", "snmp", "tftp")
LEVELS = ("nolog", "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_PERIODS = ("second", "minute", "hour", "day")


@dataclass(frozen=True, slots=True)
class Option:
    """One option: the values it takes, and the one under which it asks for nothing we don't do."""

    takes: str
    """What it takes, in words."""
    choices: tuple[str, ...] = ()
    """All values it takes, in any case; they are kept as they stand here."""
    check: Callable[[str], object] | None = None
    """Raises `Wrong` for a value that it does not take; without *choices*."""
    idle: str | None = None
    """None: takes effect here.  Otherwise the values (a regular expression) that need no warning."""

    @property
    def is_flag(self) -> bool:
        """Return whether it takes 0 or 1 alone."""
        return self.takes == _FLAG

    @property
    def is_number(self) -> bool:
        """Return whether what it takes is a number."""
        return self.is_flag or self.takes.startswith(_NUMBER)


_FLAG = "0 or 1"
_NUMBER = "a number"


def flag(idle: str | None = None) -> Option:
    """Return an option that takes 0 or 1."""
    return Option(_FLAG, ("0", "1"), idle=idle)


def number(least: int, most: int = 2**31 - 1) -> Option:
    """Return an option that takes a number."""
    takes = f"{_NUMBER}, {least} to {most}" if most < 2**31 - 1 else f"{_NUMBER}, at least {least}"

    def check(value: str) -> None:
        if not re.fullmatch("[0-9]{1,10}", value) or not least <= int(value) <= most:
            raise Wrong(f"'{value}' is not {takes}")

    return Option(takes, check=check)


def rate_limit(value: str) -> Limit | None:
    """Return what ``log_ratelimit`` says, None where it is off.  Raises `Wrong`."""
    parts: dict[str, str] = {}
    for at, part in enumerate(value.split(",")):
        key, given, text = part.partition("=")
        if not given and at == 0:
            key, text = "enable", part
        if key.strip() in parts or key.strip() not in ("enable", "rate", "burst"):
            raise Wrong(f"'{part.strip()}' is not enable=0 or 1, rate=N/PERIOD or burst=N")
        parts[key.strip()] = text.strip()
    found = re.fullmatch(rf"([1-9][0-9]{{0,6}})/({'|'.join(_PERIODS)})", parts.get("rate", "1/second"))
    burst = re.fullmatch("[0-9]{1,6}", parts.get("burst", "5"))
    if parts.get("enable", "1") not in ("0", "1"):
        raise Wrong(f"enable={parts['enable']}: not 0 or 1")
    if not found:
        raise Wrong(f"rate={parts['rate']}: not N/second, N/minute, N/hour or N/day")
    if not burst:
        raise Wrong(f"burst={parts['burst']}: not a number")
    if parts.get("enable", "1") == "0":
        return None
    return Limit(int(found[1]), cast('Literal["second", "minute", "hour", "day"]', found[2]), int(burst[0]))


def queues(value: str) -> Span:
    """Return the NFQUEUE numbers of ``ips_queues``: ``N`` or ``N:M``.  Raises `Wrong`."""
    found = re.fullmatch("([0-9]{1,5})(?::([0-9]{1,5}))?", value)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not first <= last <= 65535:
        raise Wrong(f"'{value}' is not N or N:M, 0 to 65535")
    return Span(first, last)


def helpers(value: str) -> tuple[str, ...]:
    """Return the names in ``nf_conntrack_helpers``.  Raises `Wrong`."""
    found = tuple(dict.fromkeys(word.lower() for word in re.split(r"[,; ]+", value) if word))
    for word in found:
        if word not in HELPERS:
            raise Wrong(f"unknown conntrack helper '{word}'", near(word, HELPERS) or ", ".join(HELPERS))
    return found


def _switch(value: str) -> None:
    if re.fullmatch("[0-9]{1,20}", value) and int(value) > 1:
        raise Wrong(
            f"'{value}' is not 0 or 1", "for a trial that ends by itself: pvenetctl firewall apply --confirm SECONDS"
        )
    _choice(flag(), value)


POLICY = Option("ACCEPT, DROP or REJECT", ("ACCEPT", "DROP", "REJECT"))
LEVEL = Option(f"one of {', '.join(LEVELS)}", LEVELS)

OPTIONS: dict[Scope, dict[str, Option]] = {
    "cluster": {
        # Proxmox takes a number above 1 for the time of a trial of 60 s: "on for ever" is not meant by it.
        "enable": Option(_FLAG, check=_switch),
        "ebtables": flag(),
        "policy_in": POLICY,
        "policy_out": POLICY,
        "policy_forward": POLICY,
        "log_ratelimit": Option("enable=…,rate=…,burst=…", check=rate_limit),
    },
    "host": {
        "enable": flag(),
        "ndp": flag(),
        "log_level_in": LEVEL,
        "log_level_out": LEVEL,
        "log_level_forward": LEVEL,
        "tcp_flags_log_level": LEVEL,
        "smurf_log_level": LEVEL,
        "nosmurfs": flag(),
        "tcpflags": flag(),
        "nf_conntrack_max": number(32768),
        "nf_conntrack_tcp_timeout_established": number(7875),
        "nf_conntrack_tcp_timeout_syn_recv": number(30, 60),
        "nf_conntrack_allow_invalid": flag(),
        "nf_conntrack_helpers": Option("a list of conntrack helpers", check=helpers),
        "protection_synflood": flag(),
        "protection_synflood_rate": number(1),
        "protection_synflood_burst": number(1),
        "protection_limit": flag("0"),
        "log_nf_conntrack": flag(),
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
        "ipfilter": flag(),
        "ipfilter_learn": flag(),
        "connection_limit": flag(),
        "log_level_in": LEVEL,
        "log_level_out": LEVEL,
        "ips": flag(),
        "ips_queues": Option("N or N:M", check=queues),
        "layer2_protocols": Option("a list of /etc/ethertypes", check=ethertypes),
    },
    "bridge": {
        "enable": flag(),
        "policy_forward": Option("ACCEPT or DROP", ("ACCEPT", "DROP")),
        "log_level_forward": LEVEL,
    },
}


def checked(option: Option, value: str) -> str:
    """Return *value* as it is spelled.  Raises `Wrong`."""
    if option.check:
        option.check(value)
        return value
    return _choice(option, value)


def _choice(option: Option, value: str) -> str:
    for choice in option.choices:
        if choice.lower() == value.lower():
            return choice
    hint = near(value, option.choices)
    if meant := _MEANT.get(value.lower()):
        hint = f"did you mean {meant}?" if meant in option.choices else ""
    raise Wrong(f"'{value}' is not {option.takes}", hint)


_MEANT = {"yes": "1", "true": "1", "on": "1", "no": "0", "false": "0", "off": "0", "deny": "DROP"}


def idle(option: Option, value: str) -> bool:
    """Return whether *value* asks for nothing that this version does not do."""
    return option.idle is None or re.fullmatch(option.idle, value) is not None
