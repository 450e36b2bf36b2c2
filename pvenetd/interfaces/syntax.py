"""One file of interfaces(5), parsed without loss: ``str(parse(text)) == text`` for any text, any bytes.

Sources: interfaces(5) of ifupdown 0.8.41, and its ifquery tried where the page is silent; ifupdown2's
interfaces(5) for stanzas without a family and ``vlan``; ifupdown-ng's for ``template``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache, partial
from itertools import chain
from typing import NamedTuple

from pvenetd.errors import Problem
from pvenetd.interfaces.stanza import (
    BLANKS,
    FAMILIES,
    GAP,
    File,
    Iface,
    Line,
    Mapping,
    Option,
    Rename,
    Selection,
    Source,
    Stanza,
    canonical,
)

_PHYSICAL = re.compile(rf"([{BLANKS}]*([^{BLANKS}\n]*)[{BLANKS}]*([^\n]*)\n?)")
"""A line with its end, its first word, and the rest but for the blanks before it; after the last one nothing."""
_OPENING = re.compile(
    rf"^(?:[{BLANKS}]*auto[{BLANKS}][^\n]*\n)*[{BLANKS}]*(?:auto|iface|mapping|no-auto-down|no-scripts|rename|source|source-directory|template|vlan"
    rf"|allow-[^{BLANKS}\n]+)(?=[{BLANKS}\n]|\Z)",
    re.MULTILINE,
)
"""Where a stanza begins, with the auto lines right above it: the words of `_BUILDERS`."""
_BOM = "\ufeff"

_line: Callable[[tuple[str, int, str, str, str, str]], Line] = partial(tuple.__new__, Line)
"""A tuple of its fields → `Line`, in half the time of calling it."""


def parse(text: str | bytes, path: str = "interfaces") -> File:
    """Return *text* as a `File`; nothing is refused, `File.problems` says what is wrong.

    Bytes that are no UTF-8 survive as lone surrogates (PEP 383).
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    blocks = [_block(path, number, block) for number, block in _blocks(text)]
    lines = tuple(chain.from_iterable([block.lines for block in blocks]))
    stanzas = tuple(chain.from_iterable([block.stanzas for block in blocks]))
    problems = [problem for block in blocks for problem in block.problems]
    return File(path, lines, stanzas, tuple(sorted(problems, key=lambda problem: problem.line)))


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield *text* in pieces that can be read by themselves, each from where a stanza begins, with its line number."""
    number, begin = 1, 0
    for found in _OPENING.finditer(text):
        block = text[begin : found.start()]
        if block and not ("\\" in block and block.rstrip("\r\n").endswith("\\")):
            yield number, block
            number, begin = number + block.count("\n"), found.start()
    yield number, text[begin:]


class _Block(NamedTuple):
    """A piece of a file."""

    number: int
    lines: tuple[Line, ...]
    stanzas: tuple[Stanza, ...]
    problems: tuple[Problem, ...]

    def moved(self, number: int) -> _Block:
        """Return it as it is at line *number*."""
        down = number - self.number
        lines = [_line((path, line + down, raw, name, value, key)) for path, line, raw, name, value, key in self.lines]
        at = {old.line: new for old, new in zip(self.lines, lines, strict=True)}
        return _Block(number, tuple(lines), tuple(_moved(stanza, at) for stanza in self.stanzas), ())


def _moved(stanza: Stanza, at: dict[int, Line]) -> Stanza:
    head = at[stanza.line]
    if isinstance(stanza, Selection):
        return Selection(head, stanza.names)
    if not isinstance(stanza, Iface):
        return replace(stanza, head=head)
    options = tuple(at[option.line] for option in stanza.options)
    return Iface(head, stanza.name, stanza.family, stanza.method, stanza.inherits, options)


def _block(path: str, number: int, text: str) -> _Block:
    """Return what *text* says, which begins at line *number*; what stays where it is is the same as before."""
    known = _known(path, text)
    for block in known:
        if block.number == number:
            return block
    block = known[0].moved(number) if known and not known[0].problems else _read(path, number, text)
    known[:] = [block, *known[:1]]
    return block


@lru_cache(maxsize=1 << 13)
def _known(path: str, text: str) -> list[_Block]:
    """Return what *text* was read as last, at two places at most: before an edit and after it."""
    del path, text
    return []


def _read(path: str, number: int, text: str) -> _Block:
    is_plain = "\\" not in text and not (number == 1 and text.startswith(_BOM))
    lines = tuple(_plain(text, path, number) if is_plain else _lines(text, path, number))
    problems = [
        line.problem("a NUL byte", "no command and no environment can carry it")
        for line in (lines if "\0" in text else ())
        if "\0" in line.name + line.value
    ]
    orphans, groups = _groups(lines)
    problems += map(_misplaced, orphans)
    stanzas = tuple(_BUILDERS.get(head.name, _selection)(head, tuple(body), problems) for head, body in groups)
    return _Block(number, lines, stanzas, tuple(problems))


def _plain(text: str, path: str, number: int) -> list[Line]:
    """Split *text*, in which no line continues another, into lines: the first is *number*."""
    return [
        _line((path, at, raw, "", "", ""))
        if name[:1] in ("#", "")
        else _line((path, at, raw, name, value.rstrip(BLANKS), canonical(name)))
        for at, (raw, name, value) in enumerate(_PHYSICAL.findall(text), number)
        if raw
    ]


def _lines(text: str, path: str, number: int) -> Iterator[Line]:
    """Split *text*, which begins at line *number*, into lines and join each with those that continue it.

    The last character before the line end counts (a carriage return is part of the line end);
    a comment is never continued, yet what looks like one may continue an option.
    """
    rows = _PHYSICAL.findall(text)
    at = 0
    while rows[at][0]:
        first = at
        raw, name, value = rows[first]
        at += 1
        if "\\" in raw or (number + first == 1 and raw.startswith(_BOM)):
            content = _joined(rows, first, bom=number + first == 1)
            at = first + len(content)
            raw = "".join(row[0] for row in rows[first:at])
            name, value = [*GAP.split("".join(content).strip(BLANKS), 1), ""][:2]
        if name[:1] == "#":
            name = value = ""
        yield _line((path, number + first, raw, name, value.rstrip(BLANKS), name.replace("_", "-")))


def _joined(rows: list[tuple[str, str, str]], first: int, *, bom: bool) -> list[str]:
    """Return what the rows of the line say that begins at *first*: the last one is not continued."""
    content = rows[first][0].rstrip("\r\n")
    if bom:
        content = content.removeprefix(_BOM)
    if content.lstrip(BLANKS).startswith("#"):
        return [content]
    parts = [content.removesuffix("\\")]
    while content.endswith("\\") and rows[first + len(parts)][0]:
        content = rows[first + len(parts)][0].rstrip("\r\n")
        parts.append(content.removesuffix("\\"))
    return parts


def _groups(lines: tuple[Line, ...]) -> tuple[list[Line], list[tuple[Line, list[Line]]]]:
    """Return the lines before any stanza, and each stanza's first line with its others."""
    orphans: list[Line] = []
    groups: list[tuple[Line, list[Line]]] = []
    body = orphans
    for line in lines:
        if line.name:
            if line.name in _BUILDERS or line.opens_stanza:
                body = []
                groups.append((line, body))
            else:
                body.append(line)
    return orphans, groups


def _misplaced(line: Line) -> Problem:
    close = get_close_matches(line.name, [*_BUILDERS, "allow-hotplug"], 1)
    hint = f"did you mean {close[0]}?" if close else "options stand below an iface line"
    return line.problem(f"option '{line.name}' is outside any iface stanza", hint, option=line.name)


def _iface(head: Line, body: tuple[Line, ...], problems: list[Problem]) -> Iface:
    name, *rest = head.words or ("",)
    if not name:
        problems.append(head.problem(f"{head.name} without a name", f"{head.name} NAME inet METHOD"))
    family, method, inherits, extra = _told(tuple(rest))
    if inherits == "":
        inherits = None
        problems.append(head.problem("inherits without a template", "inherits TEMPLATE", interface=name))
    if extra and family is None and inherits is None and not extra[0].startswith("#"):
        hint = f"iface {name} inet METHOD; families are {', '.join(FAMILIES)}"
        problems.append(head.problem(f"unknown address family '{extra[0]}'", hint, interface=name))
    elif extra:
        message = f"'{' '.join(extra)}' is ignored"
        problems.append(head.problem(message, "comments need lines of their own", severity="warning", interface=name))
    problems += [_without_value(option, name) for option in body if not option.value]
    return Iface(head, name, family, method, inherits, body)


@lru_cache(maxsize=1 << 10)
def _told(words: tuple[str, ...]) -> tuple[str | None, str | None, str | None, tuple[str, ...]]:
    """Return the family, the method, the template (empty where it lacks) and the rest of an iface line's *words*.

    Thousands of stanzas have the same ones.
    """
    family = method = inherits = None
    extra: list[str] = []
    more = iter(words)
    for word in more:
        if word == "inherits" and inherits is None:
            inherits = next(more, "")
        elif family is None and word in FAMILIES:
            family = word
        elif family and method is None and not extra and not word.startswith("#"):
            method = word
        else:
            extra.append(word)
    return family, method, inherits, tuple(extra)


def _without_value(option: Option, interface: str) -> Problem:
    is_list = option.key in ("bridge-ports", "bond-slaves", "ovs-ports")
    hint = "write none for no ports" if is_list else f"{option.name} VALUE, or drop the line"
    return option.problem(f"option '{option.name}' has no value", hint, interface=interface, option=option.name)


def _mapping(head: Line, body: tuple[Line, ...], problems: list[Problem]) -> Mapping:
    scripts = [line for line in body if line.name == "script"]
    if not head.value:
        problems.append(head.problem("mapping without a pattern", "mapping PATTERN"))
    if not scripts or not scripts[0].value:
        problems.append(head.problem("mapping without a script", "script PROGRAM, on a line below"))
    problems += [line.problem("a second script in one mapping", "keep one") for line in scripts[1:]]
    problems += [
        line.problem(f"'{line.name}' does not belong into a mapping", "script and map lines do")
        for line in body
        if line.name not in ("script", "map")
    ]
    maps = tuple(line.value for line in body if line.name == "map")
    return Mapping(head, head.words, scripts[0].value if scripts else "", maps)


def _selection(head: Line, body: tuple[Line, ...], problems: list[Problem]) -> Selection:
    problems += map(_misplaced, body)
    names = head.words
    if not head.value:
        problems.append(head.problem(f"{head.name} names no interface", severity="warning"))
    if "#" in head.value and any(name.startswith("#") for name in names):
        hint = "comments need lines of their own"
        problems.append(head.problem("the words after # are names of interfaces too", hint, severity="warning"))
    return Selection(head, names)


def _rename(head: Line, body: tuple[Line, ...], problems: list[Problem]) -> Rename:
    problems += map(_misplaced, body)
    pairs = tuple((old, new) for old, _, new in (word.partition("=") for word in head.words))
    if not pairs or not all(old and new for old, new in pairs):
        problems.append(head.problem(f"rename cannot read '{head.value}'", "rename CUR=NEW"))
    return Rename(head, tuple((old, new) for old, new in pairs if old and new))


def _source(head: Line, body: tuple[Line, ...], problems: list[Problem]) -> Source:
    problems += map(_misplaced, body)
    try:
        patterns = tuple(shlex.split(head.value))
    except ValueError:
        patterns = ()
        problems.append(head.problem(f"{head.name} has a quote that is not closed", head.value))
    else:
        if not patterns:
            problems.append(head.problem(f"{head.name} without a path", f"{head.name} PATH"))
    return Source(head, patterns)


_BUILDERS: dict[str, Callable[[Line, tuple[Line, ...], list[Problem]], Stanza]] = {
    "auto": _selection,
    "iface": _iface,
    "mapping": _mapping,
    "no-auto-down": _selection,
    "no-scripts": _selection,
    "rename": _rename,
    "source": _source,
    "source-directory": _source,
    "template": _iface,
    "vlan": _iface,
}
"""What a first word opens; ``allow-CLASS`` is a selection like ``auto``."""
