"""One rule as the API has it, key by key ⇄ its line; what is not named of a line keeps every byte.

A key's value is one word in the file; only ``comment`` is the rest of the line.
Source: Proxmox VE's API, ``/cluster/firewall/rules``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from pvenetd.errors import EditError
from pvenetd.firewall.rule import option_name

OPTIONS = ("iface", "source", "dest", "proto", "dport", "sport", "icmp-type", "log")
"""Keys that are options of a rule, in the order they are written."""
KEYS = ("type", "action", "macro", "enable", *OPTIONS, "comment")
_SPELLED = {"iface": "-i", "proto": "-p"}
_KEY_OF = {"i": "iface", "p": "proto"}
_TOKENS = re.compile(r"\s+|[^\s]+")
_UNSOUND = re.compile(r"[\s#\x00-\x1f\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class RuleText:
    """The line of a rule, taken to pieces: ``"".join`` of them is the line."""

    def __init__(self, raw: str) -> None:
        content = raw.rstrip("\r\n")
        self._end = raw[len(content) :]
        body, sign, comment = content.partition("#")
        self._comment = sign + comment
        lead = re.match(r"\s*", body)
        self._lead = lead[0] if lead else ""
        body = body[len(self._lead) :]
        self._bar = "|" if body.startswith("|") else ""
        self._tokens: list[str] = _TOKENS.findall(body.removeprefix("|"))

    def __str__(self) -> str:
        """Return the line."""
        return "".join([self._lead, self._bar, *self._tokens, self._comment, self._end])

    def fields(self) -> dict[str, str]:
        """Return what the line says by the API's keys, as far as it can be read."""
        words = [word for word in self._tokens if not word.isspace()]
        found = {"enable": "0" if self._bar else "1"}
        if words:
            found["type"] = words[0].lower()
        if len(words) > 1:
            name, paren, action = words[1].partition("(")
            found |= {"macro": name, "action": action.rstrip(")")} if paren else {"action": name}
        found |= {key: self._tokens[at] for key, _, at in self._options()}
        if comment := self._comment.removeprefix("#").strip():
            found["comment"] = comment
        return found

    def change(self, values: Mapping[str, str], delete: Collection[str] = ()) -> None:
        """Let the line say *values*, and no more what is in *delete*.  Raises `EditError`."""
        before = self.fields()
        new = {key: value for key, value in checked(values).items() if value != before.get(key)}
        if "enable" in new:
            self._bar = "" if new["enable"] == "1" else "|"
        if "type" in new:
            self._put(0, new["type"].upper())
        if "action" in new or "macro" in new or "macro" in delete:
            macro = "" if "macro" in delete else new.get("macro", before.get("macro", ""))
            self._put(1, _verdict(macro, new.get("action", before.get("action", ""))))
        if len(self._words()) < 2 and new.keys() & set(OPTIONS):
            raise EditError({"action": "the line in the file has none"})
        for key in OPTIONS:
            if key in new:
                self._set(key, new[key])
            elif key in delete:
                self._drop(key)
        if "comment" in new or "comment" in delete:
            self._say("" if "comment" in delete else new["comment"])

    def values(self) -> Iterator[tuple[str, int]]:
        """Yield (key, position) of every value, for `replace`; a group's name is its ``action``."""
        at = self._words()
        if len(at) > 1:
            yield "action", at[1]
        for key, _, position in self._options():
            yield key, position

    def word(self, at: int) -> str:
        """Return the word at a position."""
        return self._tokens[at]

    def replace(self, at: int, word: str) -> None:
        """Put *word* at a position."""
        self._tokens[at] = word

    def _words(self) -> list[int]:
        return [at for at, token in enumerate(self._tokens) if not token.isspace()]

    def _options(self) -> Iterator[tuple[str, int, int]]:
        """Yield key, position of the name, position of the value."""
        at = self._words()[2:]
        for name, value in zip(at[::2], at[1::2], strict=False):
            if known := option_name(self._tokens[name]):
                yield _KEY_OF.get(known, known), name, value

    def _put(self, number: int, word: str) -> None:
        """Put *word* in place of the word with this number, or after the last."""
        at = self._words()
        if number < len(at):
            self._tokens[at[number]] = word
        else:
            self._append(word)

    def _append(self, *words: str) -> None:
        last = max(self._words(), default=-1) + 1
        self._tokens[last:last] = [part for word in words for part in ((" ", word) if last else (word,))]

    def _set(self, key: str, value: str) -> None:
        for found, _, at in self._options():
            if found == key:
                self._tokens[at] = value
                return
        self._append(_SPELLED.get(key, f"-{key}"), value)

    def _drop(self, key: str) -> None:
        """Drop an option with the blanks before it."""
        for found, name, value in [*self._options()][::-1]:
            if found == key:
                del self._tokens[name - 1 : value + 1]

    def _say(self, comment: str) -> None:
        if not comment:
            self._comment = ""
            if self._tokens and self._tokens[-1].isspace():
                self._tokens[-1] = self._tokens[-1][:-1]
        elif self._comment:
            was = self._comment.removeprefix("#")
            head, tail = was[: len(was) - len(was.lstrip())], was[len(was.rstrip()) :]
            self._comment = f"#{head if was.strip() else ' '}{comment}{tail if was.strip() else ''}"
        else:
            self._tokens.append(" ")
            self._comment = f"# {comment}"


def rule_text(values: Mapping[str, str]) -> str:
    """Return a new rule's line, without its end.  Raises `EditError`."""
    values = checked(values)
    if missing := [key for key in ("type", "action") if not values.get(key)]:
        raise EditError(dict.fromkeys(missing, "property is missing and it is not optional"))
    parts = [values["type"].upper(), _verdict(values.get("macro", ""), values["action"])]
    for key in OPTIONS:
        if values.get(key):
            parts += [_SPELLED.get(key, f"-{key}"), values[key]]
    comment = f" # {values['comment']}" if values.get("comment") else ""
    return f"{'|' if values.get('enable') == '0' else ''}{' '.join(parts)}{comment}"


def checked(values: Mapping[str, str]) -> dict[str, str]:
    """Return *values* as a line can hold them.  Raises `EditError`."""
    errors = {key: "property is not defined in schema" for key in values if key not in KEYS}
    found = {key: value.strip() if key == "comment" else value for key, value in values.items()}
    for key, value in found.items():
        if key == "comment" and _CONTROL.search(value):
            errors[key] = "a comment is one line"
        elif key == "enable" and value not in ("0", "1"):
            errors[key] = "0 or 1"
        elif key not in ("comment", "enable") and (not value or _UNSOUND.search(value)):
            errors[key] = "a value is one word, without blanks and #"
    if errors:
        raise EditError(errors)
    return found


def _verdict(macro: str, action: str) -> str:
    return f"{macro}({action})" if macro else action
