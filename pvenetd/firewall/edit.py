"""Text surgery on firewall files: options, rules by position, aliases, sets, groups; every other byte stays.

What is undone leaves the text as it was: a rule inserted and deleted, moved and moved back, a name
changed and changed back.  A comment directly above a rule moves with it.  Only where lines stand is
known here; whether the text is right is for who parses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from pvenetd.errors import EditError, NotFound
from pvenetd.firewall.fields import RuleText, rule_text
from pvenetd.firewall.options import Scope
from pvenetd.firewall.reader import ALIAS, ENTRY, OPTION, Reader
from pvenetd.firewall.sheet import is_blank
from pvenetd.firewall.values import Ref, Wrong, operand

Kind = Literal["aliases", "ipset", "group"]
_REST = re.compile(r"(?P<gap>[^#]*?)(?P<comment>[ \t]*#.*?)?(?P<end>\s*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSOUND = re.compile(r"[\s#\[\]\x00-\x1f\x7f]")


class Draft(Reader):
    """A firewall file that is being changed; positions are those of the text as it is now."""

    def set_option(self, name: str, value: str | None) -> None:
        """Set an option, None drops it.  Raises `EditError`."""
        rows = [row for row in self._sheet.rows("options") if _key(self._sheet.lines[row]) == name.lower()]
        if value is None:
            self._sheet.delete(rows)
            return
        value = _line(value, name)
        if rows:
            found = OPTION.fullmatch(self._sheet.lines[rows[-1]])
            if found and found[2] != value:
                self._sheet.lines[rows[-1]] = found[1] + value + found[3]
        else:
            self._sheet.append("options", "", f"{name}: {value}")

    def insert_rule(self, at: int, values: Mapping[str, str], group: str = "") -> None:
        """Put a rule at a position, past the last at the end.  Raises `EditError`, `NotFound` for the group."""
        rows, text = self.rule_rows(group), rule_text(values)
        if not rows or at >= len(rows):
            self._sheet.append("group" if group else "rules", group, text)
        elif at <= 0:
            self._sheet.insert(self._sheet.above(rows[0]), text)
        else:
            self._sheet.insert(rows[at - 1] + 1, text)

    def change_rule(self, at: int, values: Mapping[str, str], delete: Collection[str] = (), group: str = "") -> None:
        """Let the rule at a position say *values*, and no more what is in *delete*.  Raises `EditError`, `NotFound`."""
        row = self._rule_row(at, group)
        rule = RuleText(self._sheet.lines[row])
        rule.change(values, delete)
        self._sheet.lines[row] = str(rule)

    def delete_rule(self, at: int, group: str = "") -> None:
        """Delete the rule at a position.  Raises `NotFound`."""
        self._sheet.delete([self._rule_row(at, group)])

    def move_rule(self, at: int, to: int, group: str = "") -> None:
        """Put the rule at a position before the one at *to*, past the last at the end.  Raises `NotFound`.

        What stands between rules, blank lines and comments apart from them, stays where it is.
        """
        self._rule_row(at, group)  # raises where there is none
        places = [slice(self._sheet.above(one), one + 1) for one in self.rule_rows(group)]
        blocks = [self._sheet.ended(self._sheet.lines[place]) for place in places]
        moved = blocks.pop(at)
        blocks.insert(max(0, to - 1 if to > at else to), moved)
        for place, block in [*zip(places, blocks, strict=True)][::-1]:
            self._sheet.lines[place] = block

    def put_alias(self, name: str, value: str | None = None, comment: str | None = None) -> None:
        """Make an alias, or change what is given of it; an empty comment drops it.  Raises `EditError`."""
        row = self._alias_row(name)
        if row is None:
            note = f" # {_line(comment, 'comment')}" if comment else ""
            self._sheet.append("aliases", "", f"{_word(name, 'name')} {_word(value or '', 'cidr')}{note}")
        else:
            found = _matched(ALIAS, self._sheet.lines[row])
            new = found["value"] if value is None else _word(value, "cidr")
            self._sheet.lines[row] = (
                f"{found['lead']}{found['name']}{found['gap']}{new}{_noted(found['rest'], comment)}"
            )

    def delete_alias(self, name: str) -> None:
        """Delete an alias.  Raises `NotFound`."""
        row = self._alias_row(name)
        if row is None:
            raise NotFound(f"no alias {name}")
        self._sheet.delete([row])

    def put_entry(self, name: str, value: str, *, excluded: bool | None = None, comment: str | None = None) -> None:
        """Add an entry to a set, or change what is given of it.  Raises `EditError`, `NotFound` for the set."""
        row = self._entry_row(name, value)
        if row is None:
            note = f" # {_line(comment, 'comment')}" if comment else ""
            self._sheet.append("ipset", name, f"{'!' if excluded else ''}{_word(value, 'cidr')}{note}")
        else:
            found = _matched(ENTRY, self._sheet.lines[row])
            sign = found["not"] if excluded in (None, bool(found["not"])) else "!" if excluded else ""
            self._sheet.lines[row] = f"{found['lead']}{sign}{found['value']}{_noted(found['rest'], comment)}"

    def delete_entry(self, name: str, value: str) -> None:
        """Delete an entry of a set.  Raises `NotFound`."""
        row = self._entry_row(name, value)
        if row is None:
            raise NotFound(f"no {value} in IP set {name}")
        self._sheet.delete([row])

    def create(self, kind: Literal["ipset", "group"], name: str, comment: str = "") -> None:
        """Make an empty set or group.  Raises `EditError` where there is one."""
        if self._sheet.sections(kind, name):
            raise EditError({"name": f"{kind} '{name}' already exists"})
        self._sheet.open(kind, _word(name, "name"), _line(comment, "comment"))

    def describe(self, kind: Literal["ipset", "group"], name: str, comment: str) -> None:
        """Give a set or a group a comment, an empty one drops it.  Raises `EditError`, `NotFound`."""
        row = self._sheet.section(kind, name).line - 1
        head, bracket, rest = self._sheet.lines[row].partition("]")
        self._sheet.lines[row] = head + bracket + _noted(rest, comment)

    def delete(self, kind: Literal["ipset", "group"], name: str) -> None:
        """Delete a set or a group with all that is in it.  Raises `NotFound`."""
        first = self._sheet.section(kind, name).line - 1
        last = self._sheet.after(first)
        if (
            last == len(self._sheet.lines)
            and not is_blank(self._sheet.lines[last - 1])
            and first
            and is_blank(self._sheet.lines[first - 1])
        ):
            first -= 1
        del self._sheet.lines[first:last]

    def rename(self, kind: Kind, old: str, new: str, scope: Scope) -> None:
        """Rename an alias, a set or a group, and let the rules and sets of this file, one of *scope*, follow.

        Raises `EditError` where *new* is there already, `NotFound`.
        """
        new = _word(new, "rename")
        if old.lower() != new.lower() and new.lower() in self._named(kind):
            raise EditError({"rename": f"{kind} '{new}' already exists"})
        if kind == "aliases":
            row = self._alias_row(old)
            if row is None:
                raise NotFound(f"no alias {old}")
            found = _matched(ALIAS, self._sheet.lines[row])
            self._sheet.lines[row] = f"{found['lead']}{new}{found['gap']}{found['value']}{found['rest']}"
        else:
            self._sheet.section(kind, old)  # raises where there is none
            for section in self._sheet.sections(kind, old):
                row = section.line - 1
                head, bracket, rest = self._sheet.lines[row].partition("]")
                self._sheet.lines[row] = re.sub(r"\S+(\s*)$", lambda tail: new + tail[1], head) + bracket + rest
        home = "guest" if scope == "guest" else "dc"
        if home == "guest" and kind != "group":  # what meant the cluster's until now still does
            self._follow(kind, new, lambda ref: None if ref else f"dc/{new}")
        self._follow(kind, old, lambda ref: new if ref in ("", home) else None)

    def follow(self, kind: Kind, old: str, new: str) -> None:
        """Let a file follow a name of cluster.fw's that is another now; its own name of that kind is not meant."""
        own = self._named(kind)

        def renamed(scope: str) -> str | None:
            if scope == "dc":
                return new
            if scope or old.lower() in own:
                return None
            return f"dc/{new}" if new.lower() in own else new

        self._follow(kind, old, renamed)

    def _follow(self, kind: Kind, old: str, renamed: Callable[[str], str | None]) -> None:
        """Put in every place that names *old* what *renamed* makes of the scope it is named with."""
        for row in [*self._sheet.rows("rules"), *self._sheet.rows("group")]:
            rule = RuleText(self._sheet.lines[row])
            is_group = rule.fields().get("type") == "group"
            for key, at in [*rule.values()]:
                word = rule.word(at)
                if kind == "group":
                    new = renamed("") if is_group and key == "action" and word.lower() == old.lower() else None
                else:
                    new = _reworded(word, kind, old, renamed) if key in ("source", "dest") else None
                if new:
                    rule.replace(at, new)
            self._sheet.lines[row] = str(rule)
        for row in self._sheet.rows("ipset") if kind == "aliases" else ():
            found = ENTRY.fullmatch(self._sheet.lines[row])
            new = _reworded(found["value"], kind, old, renamed) if found else None
            if found and new:
                self._sheet.lines[row] = f"{found['lead']}{found['not']}{new}{found['rest']}"

    def _rule_row(self, at: int, group: str) -> int:
        rows = self.rule_rows(group)
        if not 0 <= at < len(rows):
            raise NotFound(f"no rule at position {at}")
        return rows[at]

    def _named(self, kind: Kind) -> set[str]:
        if kind == "aliases":
            found = [ALIAS.fullmatch(self._sheet.lines[row]) for row in self._sheet.rows("aliases")]
            return {one["name"].lower() for one in found if one}
        return {section.name.lower() for section in self._sheet.sections(kind)}

    def _alias_row(self, name: str) -> int | None:
        for row in self._sheet.rows("aliases"):
            found = ALIAS.fullmatch(self._sheet.lines[row])
            if found and found["name"].lower() == name.lower():
                return row
        return None

    def _entry_row(self, name: str, value: str) -> int | None:
        self._sheet.section("ipset", name)
        for row in self._sheet.rows("ipset", name):
            found = ENTRY.fullmatch(self._sheet.lines[row])
            if found and same_address(found["value"], value):
                return row
        return None


def _key(raw: str) -> str:
    """Return the name of the option in a line, nothing where it is none."""
    name, colon, _ = raw.partition(":")
    return name.strip().lower() if colon else ""


def _word(text: str, key: str) -> str:
    if not text or _UNSOUND.search(text):
        raise EditError({key: "one word, without blanks, brackets and #"})
    return text


def _line(text: str, key: str) -> str:
    if _CONTROL.search(text):
        raise EditError({key: "one line"})
    return text.strip()


def _matched(pattern: re.Pattern[str], raw: str) -> re.Match[str]:
    found = pattern.fullmatch(raw)
    if not found:
        raise NotFound(raw.strip())
    return found


def _noted(rest: str, comment: str | None) -> str:
    """Return what stands behind a value, with another comment: None keeps it, an empty one drops it."""
    if comment is None:
        return rest
    found, comment = _matched(_REST, rest), _line(comment, "comment")
    if not comment:
        return found["gap"] + found["end"]
    sign = re.match(r"[ \t]*#[ \t]*", found["comment"] or "")
    return f"{found['gap']}{sign[0] if sign else ' # '}{comment}{found['end']}"


def same_address(one: str, other: str) -> bool:
    """Return whether two entries of a set are the same."""
    try:
        return operand(one) == operand(other)
    except Wrong:
        return one == other


def _reworded(word: str, kind: Kind, old: str, renamed: Callable[[str], str | None]) -> str | None:
    """Return a reference with another name, None where it is not to *old*."""
    try:
        found = operand(word)
    except Wrong:
        return None
    if not isinstance(found, Ref) or found.name != old.lower() or (found.kind == "set") != (kind == "ipset"):
        return None
    new = renamed(found.scope)
    if new is None:
        return None
    scope = word[: word.index("/") + 1] if found.scope and "/" not in new else ""
    return f"{'+' if found.kind == 'set' else ''}{scope.removeprefix('+')}{new}"
