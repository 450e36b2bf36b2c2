"""cluster.fw, host.fw and VMID.fw: text ⇄ options and rules, each with its line.

Read as Proxmox's Perl reads them, with one difference: what Perl skips is an error here, because
a skipped DROP, or ``enable: yes`` taken for "off", opens what its author closed.

Source: Proxmox VE's administration guide, chapter "Firewall".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pvenetd.errors import ConfigError, Problem, Severity
from pvenetd.firewall.options import OPTIONS, Scope, idle, wrong
from pvenetd.firewall.rule import RuleLine, parse_rule
from pvenetd.firewall.values import Unsupported

_LATER = {"aliases", "ipset", "group"}
"""Sections this version refuses: rules that use them would not do what they say."""


@dataclass(frozen=True, slots=True)
class OptionLine:
    """``key: value``, with its key in lower case."""

    line: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Config:
    """A firewall file; ``"".join(lines)`` is its text."""

    path: str
    scope: Scope
    lines: tuple[str, ...] = ()
    options: Mapping[str, OptionLine] | None = None
    rules: tuple[RuleLine, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def broken(self) -> bool:
        """Return whether it must not be used: one error, and the whole file is refused."""
        return any(problem.severity == "error" for problem in self.problems)

    def require(self) -> Config:
        """Return it, or raise every problem of it as one `ConfigError`."""
        if self.broken:
            raise ConfigError(self.problems)
        return self

    def option(self, name: str, default: str) -> str:
        """Return the value of an option, or *default*."""
        found = (self.options or {}).get(name)
        return found.value if found else default

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a 0/1 option as a bool."""
        return self.option(name, str(int(default))) == "1"


@lru_cache(maxsize=4)
def parse_cluster(text: str, path: str = "cluster.fw") -> Config:
    """Return the whole cluster's file."""
    return _Parser("cluster", path).parse(text)


@lru_cache(maxsize=4)
def parse_host(text: str, path: str = "host.fw") -> Config:
    """Return one host's file."""
    return _Parser("host", path).parse(text)


def parse_guest(text: str, path: str) -> Config:
    """Return one guest's file."""
    return _Parser("guest", path).parse(text)


class _Parser:
    """Reads one file from top to bottom; `problems` grows with every line that is wrong."""

    def __init__(self, scope: Scope, path: str) -> None:
        self.scope: Scope = scope
        self.path = path
        self.problems: list[Problem] = []
        self.options: dict[str, OptionLine] = {}
        self.rules: list[RuleLine] = []
        self.section = ""

    def parse(self, text: str) -> Config:
        lines = tuple(re.findall(r"[^\n]*\n|[^\n]+", text))
        for number, raw in enumerate(lines, 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                self._header(number, line)
            elif self.section == "options":
                self._option(number, line)
            elif self.section == "rules":
                self._rule(number, line)
            elif not self.section:
                self._say(number, "syntax", f"'{line}' stands before the first section, like [OPTIONS] or [RULES]")
        return Config(self.path, self.scope, lines, self.options, tuple(self.rules), tuple(self.problems))

    def _say(self, line: int, code: str, message: str, severity: Severity = "error", hint: str = "") -> None:
        self.problems.append(Problem(self.path, line, code, message, severity, hint))

    def _header(self, number: int, line: str) -> None:
        found = re.fullmatch(r"\[\s*(\S+?)(?:\s+\S+)?\s*\]\s*(?:#.*)?", line)
        name = found[1].lower() if found else ""
        self.section = name if name in ("options", "rules") else "unknown"
        if name in _LATER:
            self._say(number, "unsupported", f"section {line} is not supported by this version")
        elif self.section == "unknown":
            self._say(number, "syntax", f"unknown section {line}", hint="[OPTIONS] or [RULES]")

    def _option(self, number: int, line: str) -> None:
        key, colon, value = line.partition(":")
        name, value, known = key.strip().lower(), value.strip(), OPTIONS[self.scope]
        if not colon:
            self._say(number, "syntax", f"'{line}' is not KEY: VALUE")
        elif name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else ""
            self._say(number, "unknown-option", f"unknown option '{name}'", hint=hint)
        elif message := wrong(known[name], value):
            self._say(number, "unknown-value", f"{name}: {message}")
        else:
            if name in self.options:
                was = self.options[name].line
                self._say(number, "syntax", f"{name} is set in line {was} already; this one counts", "warning")
            if not idle(known[name], value):
                self._say(number, "unsupported", f"{name}: has no effect in this version", "warning")
            self.options[name] = OptionLine(number, name, value)

    def _rule(self, number: int, line: str) -> None:
        enabled = not line.startswith("|")
        try:
            rule = parse_rule(number, line.removeprefix("|").strip(), self.scope, enabled=enabled)
        except Unsupported as error:
            self._say(number, "unsupported", f"{error} is not supported by this version", _weight(enabled=enabled))
        except ValueError as error:
            self._say(number, "syntax", str(error), _weight(enabled=enabled))
        else:
            if rule.log not in ("", "nolog"):
                self._say(number, "unsupported", "-log: has no effect in this version", "warning")
            self.rules.append(rule)


def _weight(*, enabled: bool) -> Severity:
    """Return how bad a wrong rule is: one that is switched off harms nobody."""
    return "error" if enabled else "warning"
