"""What a firewall file says, by the API's keys and as it is written: lines that cannot be read as far as they can.

Source: Proxmox VE's API, ``/cluster/firewall``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pvenetd.errors import NotFound
from pvenetd.firewall.fields import RuleText
from pvenetd.firewall.sheet import Sheet

OPTION = re.compile(r"(\s*[^:\s]+\s*:[ \t]*)(.*?)(\s*)", re.DOTALL)
ENTRY = re.compile(r"(?P<lead>\s*)(?P<not>!?\s*)(?P<value>[^\s#]+)(?P<rest>.*)", re.DOTALL)
ALIAS = re.compile(r"(?P<lead>\s*)(?P<name>[^\s#]+)(?P<gap>\s+)(?P<value>[^\s#]+)(?P<rest>.*)", re.DOTALL)


class Reader:
    """A firewall file, read by its sections; positions are those of the text as it is now."""

    def __init__(self, text: str) -> None:
        self._sheet = Sheet(text)

    def text(self) -> str:
        """Return the text."""
        return self._sheet.text()

    def digest(self, kind: str, name: str = "") -> str:
        """Return the SHA-1 of all sections of a kind, or of the one with this name: a second editor runs into it."""
        return self._sheet.digest(kind, name)

    def options(self) -> dict[str, str]:
        """Return the options, their names in lower case; of one that is set twice the last counts."""
        found = [OPTION.fullmatch(self._sheet.lines[row]) for row in self._sheet.rows("options")]
        return {one[1].partition(":")[0].strip().lower(): one[2] for one in found if one}

    def rules(self, group: str = "") -> list[dict[str, str]]:
        """Return the rules.  Raises `NotFound` for the group."""
        return [RuleText(self._sheet.lines[row]).fields() for row in self.rule_rows(group)]

    def rule_rows(self, group: str = "") -> list[int]:
        """Return the rows of the rules, 0 the first line's.  Raises `NotFound` for the group."""
        if group:
            self._sheet.section("group", group)
        return self._sheet.rows("group", group) if group else self._sheet.rows("rules")

    def named(self, kind: Literal["ipset", "group"]) -> list[dict[str, str]]:
        """Return the sets, or the groups: ``name`` and ``comment``; one with several headers once."""
        found: dict[str, dict[str, str]] = {}
        for one in self._sheet.sections(kind):
            if one.name:
                found.setdefault(one.name.lower(), {"name": one.name} | _said(one.comment))
        return [*found.values()]

    def entries(self, name: str) -> list[dict[str, str]]:
        """Return the entries of a set: ``cidr``, ``comment``, ``nomatch``.  Raises `NotFound`."""
        self._sheet.section("ipset", name)
        return [
            {"cidr": one["value"]} | ({"nomatch": "1"} if one["not"] else {}) | _said(one["rest"].partition("#")[2])
            for one in self._matches("ipset", ENTRY, name)
        ]

    def aliases(self) -> list[dict[str, str]]:
        """Return the aliases: ``name``, ``cidr``, ``comment``."""
        return [
            {"name": one["name"], "cidr": one["value"]} | _said(one["rest"].partition("#")[2])
            for one in self._matches("aliases", ALIAS)
        ]

    def alias(self, name: str) -> dict[str, str]:
        """Return one alias.  Raises `NotFound`."""
        for one in self.aliases():
            if one["name"].lower() == name.lower():
                return one
        raise NotFound(f"no alias {name}")

    def _matches(self, kind: str, pattern: re.Pattern[str], name: str = "") -> Iterator[re.Match[str]]:
        for row in self._sheet.rows(kind, name):
            if found := pattern.fullmatch(self._sheet.lines[row]):
                yield found


def _said(comment: str) -> dict[str, str]:
    return {"comment": comment.strip()} if comment.strip() else {}
