"""What this kernel lacks, told to the admin: what that means, and which of his lines ask for it.

Sources: the kernel's net/netfilter/Kconfig, net/bridge/netfilter/Kconfig; nft(8).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from pvenetd.errors import Problem
from pvenetd.firewall.abilities import ANSWERS, BRIDGE, CONNTRACK, modules
from pvenetd.firewall.logs import LEVELS
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.rule import RuleLine
from pvenetd.firewall.syntax import Config
from pvenetd.firewall.tracking import asked as helped

_MEANS = {
    CONNTRACK: "no connections on bridges: br_netfilter has IP track them, and guests' rules see what NAT made",
    BRIDGE: "no question for a frame's bridge: devices that nobody has announced are stopped on every bridge",
    "queue": "no queues: what ips would have looked at is let in unseen",
    "log": "no logs: nothing that rules log is written down",
    "fib": "no look-ups of addresses: nosmurfs knows the broadcast address of no network",
    ANSWERS: "no chains where the host sends: REJECT of what it sends, or routes, to a guest is DROP",
}


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that the kernel cannot do."""

    ability: str
    modules: str
    """What would bring it: names of modules, or of options the kernel is built with."""
    means: str
    lines: tuple[Problem, ...] = ()
    """The lines that ask for it, each as a warning."""


def abilities(design: Design, configs: Iterable[Config]) -> list[str]:
    """Return what rules of this *design* may need, helpers only where one of *configs* asks for them."""
    if design == "iptables":
        return [BRIDGE]
    asked = dict.fromkeys(ability for config in configs if config.scope == "host" for ability in helped(config))
    return [*_MEANS, *asked]


def lacks(lacking: Collection[str], configs: Collection[Config]) -> tuple[Lack, ...]:
    """Return what is *lacking*, with the lines of *configs* that ask for it."""
    return tuple(_lack(ability, configs) for ability in lacking)


def _lack(ability: str, configs: Collection[Config]) -> Lack:
    means = _MEANS.get(ability) or f"no {ability}: connections that belong to its own are not known"
    needs = modules(ability)
    told = f"this kernel has {means} ({needs})"
    lines = tuple(
        Problem(config.path, line, "kernel", told, "warning")
        for config in configs
        for line in sorted({*_asking(ability, config)})
    )
    return Lack(ability, needs, means, lines)


def names(lack: Lack) -> list[str]:
    """Return the lines that ask for what is lacking, as rules' origins are told: ``100.fw:5``."""
    return [f"{PurePath(one.path).name}:{one.line}" for one in lack.lines]


def _asking(ability: str, config: Config) -> Iterator[int]:
    """Yield the lines of *config* that ask for *ability*."""
    rules = [*config.rules, *(rule for group in config.groups.values() for rule in group.rules)]
    options = [one for one in (config.options or {}).values() if _asks(ability, config, one.name, one.value)]
    yield from (one.line for one in options)
    yield from (rule.line for rule in rules if rule.enabled and _is_asked(ability, config, rule))


def _asks(ability: str, config: Config, name: str, value: str) -> bool:
    match ability:
        case "queue":
            return name == "ips" and value == "1"
        case "log":
            return ("log_level" in name and value in LEVELS) or (name == "log_nf_conntrack" and value == "1")
        case "fib":
            return name == "nosmurfs" and value == "1"
        case "answers":
            return config.scope == "guest" and name == "policy_in" and value == "REJECT"
    return name == "nf_conntrack_helpers" and ability in helped(config)


def _is_asked(ability: str, config: Config, rule: RuleLine) -> bool:
    if ability == "log":
        return rule.log in LEVELS
    into_guests = rule.direction == "in" and (config.scope == "guest" or rule not in config.rules)
    return ability == ANSWERS and rule.action == "REJECT" and into_guests
