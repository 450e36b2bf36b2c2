"""cluster.fw, host.fw, VMID.fw and BRIDGE.fw: text ⇄ options, names and rules, each with its line.

Read as Proxmox's Perl reads them, with one difference: what Perl skips is an error here, because
a skipped DROP, or ``enable: yes`` taken for "off", opens what its author closed.  Names are folded
to lower case wherever they stand.

Source: Proxmox VE's administration guide, chapter "Firewall".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from pvenetd.errors import ConfigError, Problem, Severity
from pvenetd.firewall.options import OPTIONS, Option, Scope, checked, idle
from pvenetd.firewall.rule import Place, RuleLine, group_name, parse_rule
from pvenetd.firewall.ruleset import Addresses
from pvenetd.firewall.sections import Section, sections, split
from pvenetd.firewall.values import Ref, Wrong, addresses, near, operand

_SECTIONS: dict[Scope, tuple[str, ...]] = {
    "cluster": ("options", "aliases", "ipset", "rules", "group"),
    "host": ("options", "rules"),
    "guest": ("options", "aliases", "ipset", "rules"),
    "bridge": ("options", "rules"),
}
_HEADERS = {
    "options": "[OPTIONS]",
    "aliases": "[ALIASES]",
    "ipset": "[IPSET name]",
    "rules": "[RULES]",
    "group": "[group name]",
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,63}")
"""Of a set or an alias."""


@dataclass(frozen=True, slots=True)
class OptionLine:
    """``key: value``, with its key in lower case."""

    line: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for addresses of one family."""

    line: int
    name: str
    addresses: Addresses
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a set; of two entries that hold an address, the one with the smaller network decides."""

    line: int
    excluded: bool
    value: Addresses | Ref
    comment: str = ""


@dataclass(frozen=True, slots=True)
class IpSet:
    """A set of addresses of both families."""

    line: int
    name: str
    entries: tuple[Entry, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A security group: rules that others refer to."""

    line: int
    name: str
    rules: tuple[RuleLine, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """A firewall file; ``"".join(lines)`` is its text."""

    path: str
    scope: Scope
    lines: tuple[str, ...] = ()
    options: Mapping[str, OptionLine] | None = None
    rules: tuple[RuleLine, ...] = ()
    problems: tuple[Problem, ...] = ()
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    sets: Mapping[str, IpSet] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)

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


def parse_bridge(text: str, path: str) -> Config:
    """Return the file of what is forwarded in one bridge."""
    return _Parser("bridge", path).parse(text)


class _Parser:
    """Reads one file from top to bottom; `problems` grows with every line that is wrong."""

    def __init__(self, scope: Scope, path: str) -> None:
        self.scope: Scope = scope
        self.path = path
        self.problems: list[Problem] = []
        self.options: dict[str, OptionLine] = {}
        self.rules: list[RuleLine] = []
        self.aliases: dict[str, Alias] = {}
        self.sets: dict[str, IpSet] = {}
        self.groups: dict[str, Group] = {}

    def parse(self, text: str) -> Config:
        lines = split(text)
        for section in sections(lines):
            self._section(section)
        return Config(
            self.path,
            self.scope,
            lines,
            self.options,
            tuple(self.rules),
            tuple(self.problems),
            self.aliases,
            self.sets,
            self.groups,
        )

    def _say(self, line: int, code: str, message: str, severity: Severity = "error", hint: str = "") -> None:
        self.problems.append(Problem(self.path, line, code, message, severity, hint))

    def _wrong(self, line: int, error: Wrong, severity: Severity = "error") -> None:
        self._say(line, "syntax", str(error), severity, error.hint)

    def _section(self, section: Section) -> None:
        if not self._opened(section):
            return
        if section.kind == "options":
            for number, line in section.body:
                self._option(number, line)
        elif section.kind == "aliases":
            for number, line in section.body:
                self._alias(number, line)
        elif section.kind == "rules":
            self.rules += self._rules(section, self.scope)
        elif section.kind == "ipset":
            self._set(section)
        else:
            self._group(section)

    def _opened(self, section: Section) -> bool:
        """Return whether the section can be read, and say what is wrong with its header."""
        allowed = _SECTIONS[self.scope]
        if not section.line:
            for number, line in section.body:
                self._say(number, "syntax", f"'{line}' stands before the first section", hint="[OPTIONS] or [RULES]")
        elif section.kind not in allowed:
            headers, is_known = [_HEADERS[kind] for kind in allowed], section.kind in _HEADERS
            what = f"{section.text} cannot stand here" if is_known else f"unknown section {section.text}"
            hint = "" if is_known else near(f"[{section.kind}]", headers)
            self._say(section.line, "syntax", what, hint=hint or ", ".join(headers))
        elif bool(section.name) != (section.kind in ("ipset", "group")):
            self._say(section.line, "syntax", f"unknown section {section.text}", hint=_HEADERS[section.kind])
        else:
            return True
        return False

    def _option(self, number: int, line: str) -> None:
        key, colon, value = line.partition(":")
        name, value, known = key.strip().lower(), value.strip(), OPTIONS[self.scope]
        if not colon:
            self._say(number, "syntax", f"'{line}' is not KEY: VALUE")
        elif name not in known:
            self._say(number, "unknown-option", f"unknown option '{name}'", hint=near(name, known))
        else:
            self._value(number, name, value, known[name])

    def _value(self, number: int, name: str, text: str, option: Option) -> None:
        try:
            value = checked(option, text)
        except Wrong as error:
            self._say(number, "unknown-value", f"{name}: {error}", hint=error.hint)
            return
        if name in self.options:
            was = self.options[name].line
            self._say(number, "syntax", f"{name} is set in line {was} already; this one counts", "warning")
        if not idle(option, value):
            self._say(number, "unsupported", f"{name}: has no effect in this version", "warning")
        self.options[name] = OptionLine(number, name, value)

    def _rules(self, section: Section, place: Place) -> list[RuleLine]:
        found = []
        for number, line in section.body:
            enabled = not line.startswith("|")
            try:
                found.append(parse_rule(number, line.removeprefix("|"), place, enabled=enabled))
            except Wrong as error:
                # One that is switched off harms nobody.
                self._wrong(number, error, "error" if enabled else "warning")
        return found

    def _alias(self, number: int, line: str) -> None:
        body, _, comment = line.partition("#")
        try:
            name, value = _two(body)
            alias = Alias(number, _named(name, "alias"), _plain(value), comment.strip())
        except Wrong as error:
            self._wrong(number, error)
            return
        was = self.aliases.get(alias.name)
        if was and was.addresses != alias.addresses:
            self._say(number, "syntax", f"alias '{name}' is other addresses in line {was.line}")
        elif was:
            self._say(number, "syntax", f"alias '{name}' stands in line {was.line} already", "warning")
        self.aliases.setdefault(alias.name, alias)

    def _set(self, section: Section) -> None:
        found: dict[Addresses | Ref, Entry] = {}
        for number, line in section.body:
            try:
                entry = self._entry(number, line)
            except Wrong as error:
                self._wrong(number, error)
                continue
            was = found.setdefault(entry.value, entry)
            if was.excluded != entry.excluded:
                self._say(number, "syntax", f"'{line}' contradicts line {was.line}")
            elif was is not entry:
                self._say(number, "syntax", f"'{line}' stands in line {was.line} already", "warning")
        try:
            name = _named(section.name, "IP set")
        except Wrong as error:
            self._wrong(section.line, error)
            return
        if was_set := self.sets.get(name):
            self._say(section.line, "syntax", f"IP set '{name}' begins in line {was_set.line} already")
        self.sets.setdefault(name, IpSet(section.line, name, tuple(found.values()), section.comment))

    def _entry(self, number: int, line: str) -> Entry:
        body, _, comment = line.partition("#")
        text = body.strip()
        excluded = text.startswith("!")
        text = text.removeprefix("!").strip()
        if "," in text:
            raise Wrong(f"'{text}': a line holds one address or network")
        value = operand(text)
        if isinstance(value, Ref) and value.kind == "set":
            raise Wrong(f"'{text}': a set holds no other set")
        if isinstance(value, Ref) and value.scope not in ("", "dc", self.scope):
            raise Wrong(f"'{text}': {value.scope}/ means nothing in this file")
        if isinstance(value, Addresses) and value.is_all:
            raise Wrong(f"'{text}': a set does not hold all addresses", "leave -source or -dest out of the rule")
        return Entry(number, excluded, value, comment.strip())

    def _group(self, section: Section) -> None:
        rules = self._rules(section, "group")
        try:
            name = group_name(section.name)
        except Wrong as error:
            self._wrong(section.line, error)
            return
        if was := self.groups.get(name):
            self._say(section.line, "syntax", f"group '{name}' begins in line {was.line} already")
        self.groups.setdefault(name, Group(section.line, name, tuple(rules), section.comment))


def _two(text: str) -> tuple[str, str]:
    words = text.split()
    if len(words) != 2:
        raise Wrong(f"'{text.strip()}' is not NAME ADDRESS")
    return words[0], words[1]


def _named(text: str, what: str) -> str:
    if not _NAME.fullmatch(text):
        raise Wrong(f"'{text}' is not the name of an {what}", "2 to 64 letters, digits, - and _, a letter first")
    return text.lower()


def _plain(text: str) -> Addresses:
    if "," in text:
        raise Wrong(f"'{text}': an alias is one address or network", "[IPSET name] holds several")
    return addresses(text)
