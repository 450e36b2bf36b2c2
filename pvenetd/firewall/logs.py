"""What a firewall writes down: a rule of its own before the one that decides, within a rate of its own.

Source: Proxmox VE's administration guide, chapter "Firewall", "Logging of Firewall Rules".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from pvenetd.firewall.options import rate_limit
from pvenetd.firewall.ruleset import Limit, Log, Rule
from pvenetd.firewall.syntax import Config

Way = Literal["in", "out", "forward"]

LEVELS = {"emerg": 0, "alert": 1, "crit": 2, "err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
"""Numbers of syslog(3); ``nolog`` is none of them."""


def limit_of(cluster: Config) -> Limit | None:
    """Return how often each rule may log, None for always."""
    return _limit(cluster.option("log_ratelimit", "1"))


_limit = lru_cache(maxsize=4)(rate_limit)


@dataclass(frozen=True, slots=True)
class Book:
    """Where the rules of a chain are written down."""

    way: Way
    limit: Limit | None
    vmid: int = 0
    """0 for the host, and for what several guests share."""

    def told(self, rule: Rule, level: str, what: str = "") -> Iterator[Rule]:
        """Yield *rule*, and before it what logs the packets it decides about; *what* is its verdict unless said."""
        if level in LEVELS:
            note = Log(self.vmid, LEVELS[level], self.way, what or rule.verdict.upper())
            yield replace(rule, verdict="log", log=note, limit=self.limit)
        yield rule
