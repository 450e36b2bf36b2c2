"""A user's rules → `Rule`: names resolved, macros spread, devices filled in, and what is written down before each.

Source: Proxmox VE's administration guide, chapter "Firewall", "Firewall Rules" and "Security Groups".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from pvenetd.firewall.logs import LEVELS, Book, Way
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.rule import RuleLine
from pvenetd.firewall.ruleset import IP, IP6, Rule, Verdict
from pvenetd.firewall.syntax import Config

Place = Callable[[str], tuple[str, str] | None]
"""An interface as a rule names it → the devices a packet comes in and goes out by; None where nothing ever does."""

VERDICTS: dict[str, Verdict] = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject"}
_FAMILIES: dict[int | None, tuple[int, ...]] = {4: (IP,), 6: (IP6,), None: ()}


def nowhere(iface: str) -> None:
    """Return the place of a rule that names an interface where rules name none: a group's, a bridge's."""


def group_chain(name: str, way: Way) -> str:
    """Return the chain of a security group."""
    return f"group-{name}-{way}"


@dataclass(frozen=True, slots=True)
class Writer:
    """What turns rules of one file into those of one chain."""

    file: str
    """Its name, as `Rule.origin` has it: ``100.fw``."""
    names: Names
    book: Book
    place: Place
    group: Callable[[str, Way], str] = group_chain

    def rules(self, lines: Iterable[RuleLine]) -> Iterator[Rule]:
        """Yield the rules of the chain's way."""
        way = self.book.way
        for line in lines:
            if line.enabled and (line.direction == way or line.group):
                devices = self.place(line.iface) if line.iface else ("", "")
                if devices:
                    yield from self._rules(line, *devices)

    def _rules(self, line: RuleLine, iif: str, oif: str) -> Iterator[Rule]:
        origin = f"{self.file}:{line.line}"
        if line.group:
            yield Rule("jump", iif=iif, oif=oif, target=self.group(line.group, self.book.way), origin=origin)
            return
        for match in self.names.expand(line):
            rule = Rule(
                VERDICTS[line.action],
                ethertypes=_FAMILIES[match.version],
                iif=iif,
                oif=oif,
                protocol=match.proto,
                source=match.source,
                dest=match.dest,
                sport=match.sport,
                dport=match.dport,
                icmp=match.icmp,
                origin=origin,
            )
            if line.log in LEVELS:
                yield from self.book.told(rule, line.log)
            else:
                yield rule


def file_name(config: Config) -> str:
    """Return a file's name as rules' origins have it."""
    return PurePath(config.path).name


def closing(config: Config, book: Book, default: str, level: str, noise: str = "") -> Iterator[Rule]:
    """Yield the end of a chain: its policy, for everything, IP or not, and what is written down of it.

    *level* is the log level.  What everybody hears all day long is stopped before that, in chains called *noise*.
    """
    name = f"policy_{book.way}"
    policy = config.option(name, default)
    verdict = VERDICTS[policy]
    if verdict == "accept":
        yield Rule(verdict, origin=name)
        return
    if noise and (verdict == "reject" or level in LEVELS):
        yield Rule("jump", target=f"{noise}-{verdict}-{book.way}", origin="noise")
    yield from book.told(Rule(verdict, origin=name), level, f"policy {policy}")
