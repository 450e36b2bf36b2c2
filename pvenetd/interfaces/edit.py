"""Text surgery: an option set or dropped, a stanza added or removed, a name taken off a list; all else stays.

Only syntax is known here, no kind of device.  A `Draft` gathers the changes to one `File`; what is
not named keeps every byte: indentation, spelling, blanks, line ends, comments, a missing last newline.
What is undone (set back, dropped again) leaves the text as it was, where words are parted by single
blanks or none are lost on the way: the blanks and continuations around a lost word go with it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence

from pvenetd.interfaces.stanza import BLANKS, File, Iface, Line, Selection, Stanza, canonical
from pvenetd.interfaces.syntax import parse

COMMANDS = ("pre-up", "up", "post-up", "pre-down", "down", "post-down")
"""Options whose blanks count: a shell reads them (interfaces(5))."""
_FIRST = ("address", "netmask", "broadcast", "pointopoint", "gateway", "metric")
"""What stands at the top of a stanza, in this order."""

_BELOW = ("no-auto-down", "no-scripts")
"""Lines that stand right below the stanza they are about."""
_BOM = "\ufeff"
_GAP = rf"(?:[{BLANKS}]|\\\r*\n)"
_WORD = rf"(?:(?!\\\r*\n)[^{BLANKS}\n])"
_PARTS = re.compile(rf"(?P<head>{_GAP}*{_WORD}+)(?P<gap>{_GAP}*)(?P<value>.*?)(?P<tail>{_GAP}*\n?)", re.DOTALL)
_TOKENS = re.compile(rf"{_GAP}+|{_WORD}+")
_BLANKS = re.compile(f"[{BLANKS}]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def stanza_text(
    name: str,
    family: str | None,
    method: str | None,
    options: Iterable[tuple[str, str]],
    *,
    auto: bool = False,
    indent: str = "\t",
    comments: Iterable[str] = (),
) -> str:
    """Return a new stanza as it is written: its ``auto`` line, the iface line, its options, its comments.

    Raises ValueError for what would not be read again as it is meant.
    """
    heads = [f"auto {name}\n"] if auto else []
    head = " ".join(word for word in ("iface", name, family, method) if word)
    body = [f"{indent}{option} {_sound(value)}\n" for option, value in options]
    return "".join([*heads, f"{head}\n", *body, *(f"{indent}#{_line(text)}\n" for text in comments)])


class Draft:
    """A file, and what is to be changed in it; positions are those of the file as it was parsed."""

    def __init__(self, file: File) -> None:
        self._lines = file.lines
        self._raw = [line.raw for line in file.lines]
        self._bom = _BOM if self._raw and self._raw[0].startswith(_BOM) else ""
        if self._bom:
            self._raw[0] = self._raw[0].removeprefix(_BOM)
        self._new: dict[int, list[str]] = {}
        """Lines that come after the one at an index, -1 for the top."""
        self._gone: set[int] = set()
        self._blocks: set[int] = set()
        """Those of `_gone` that take the blank line before them along."""

    def text(self) -> str:
        """Return the changed text."""
        gone = self._gone | set(self._blank_lines_between())
        pieces = list(self._new.get(-1, ()))
        start = 0
        for index in sorted(gone | self._new.keys() - {-1}):
            pieces += self._raw[start : index + (index not in gone)]
            pieces += self._new.get(index, ())
            start = index + 1
        pieces += self._raw[start:]
        if self._raw and not self._raw[-1].endswith("\n") and pieces:
            pieces[:-1] = [piece if piece.endswith("\n") else self._ended(piece) for piece in pieces[:-1]]
            pieces[-1] = pieces[-1].rstrip("\r\n") if pieces[-1].endswith("\n") else pieces[-1]
        return self._bom + "".join(pieces)

    # options

    def set(self, stanza: Iface, name: str, values: Sequence[str], synonyms: Collection[str] = ()) -> None:
        """Give *stanza* the option *name* once for each of *values*; none drops it.

        An option that is there, under *name* or a synonym, keeps its line and its spelling.  Raises ValueError.
        """
        values = [_sound(value) for value in values]
        keys = {canonical(name), *map(canonical, synonyms)}
        there = [option for option in stanza.options if option.key in keys]
        spelled = there[-1].name if there else name
        last = self._index(there[0]) - 1 if there else self._place(stanza, canonical(name))
        new: list[tuple[int, str]] = []
        for old, value in _aligned([option.value for option in there], values):
            if old is None:
                new.append((last, f"{self._indent(stanza)}{spelled} {value}"))
                continue
            last = self._index(there[old])
            if value is None:
                self._gone.add(last)
            elif value != there[old].value:
                self._raw[last] = _revalued(self._raw[last], there[old], value)
        self._insert(new)

    def reword(self, stanza: Stanza, words: Sequence[str]) -> None:
        """Let the first line of *stanza* say *words* after its keyword."""
        if tuple(words) != stanza.head.words:
            index = self._index(stanza.head)
            self._raw[index] = _revalued(self._raw[index], stanza.head, " ".join(words))

    # comments

    def comments(self, stanza: Stanza) -> list[str]:
        """Return the comment lines that belong to *stanza*, without their ``#``."""
        return [_comment(self._raw[index]) or "" for index in self._comment_lines(stanza)]

    def comment(self, stanza: Stanza, texts: Sequence[str]) -> None:
        """Give *stanza* the comment lines *texts*.  Raises ValueError."""
        texts = [_line(text) for text in texts]
        there = self._comment_lines(stanza)
        last = there[0] - 1 if there else self.span(stanza)[1]
        indent = _indentation(self._raw[there[-1]]) if there else self._indent(stanza) or "\t"
        new: list[tuple[int, str]] = []
        for old, text in _aligned(self.comments(stanza), texts):
            if old is None:
                new.append((last, f"{indent}#{text}"))
                continue
            last = there[old]
            if text is None:
                self._gone.add(last)
            else:
                before, _, after = self._raw[last].partition("#")
                self._raw[last] = f"{before}#{text}{_end(after)}"
        self._insert(new)

    # stanzas

    def add(self, text: str, after: Stanza | None = None) -> None:
        """Put the stanza *text* below *after*, or at the end, a blank line between where blank lines part stanzas."""
        end = len(self._raw) - 1
        full = (index for index in range(end, -1, -1) if not self._is_blank(index))
        at = self._below(self.span(after)[1]) if after else next(full, end)
        rows = text.removesuffix("\n").split("\n")
        if at >= 0 and at + 1 < len(self._raw) and not self._is_blank(at + 1):
            rows = [row for row in rows if row]
        elif at >= 0:
            rows.insert(0, "")
        self._insert([(at, row) for row in rows])

    def remove(self, stanza: Stanza) -> None:
        """Remove *stanza* with all that belongs to it, and the blank line that parted it."""
        first, last = self.span(stanza)
        self._gone.update(range(first, last + 1))
        self._blocks.update(range(first, last + 1))

    def put_before(self, stanza: Stanza, row: str) -> None:
        """Put the line *row* directly above *stanza*."""
        self._insert([(self._index(stanza.head) - 1, row)])

    def strike(self, selection: Selection, name: str) -> None:
        """Take *name* off the list of *selection*; the last name takes the line along."""
        left = [word for word in selection.names if word != name]
        if left:
            self.reword(selection, left)
        else:
            self._gone.add(self._index(selection.head))
            self._blocks.add(self._index(selection.head))

    def span(self, stanza: Stanza) -> tuple[int, int]:
        """Return the positions of the first and the last line of *stanza*.

        A comment below its last option is its own, unless it stands at the margin right above what comes next.
        """
        first = last = self._index(stanza.head)
        for index in range(first + 1, len(self._lines)):
            line = self._lines[index]
            if line.opens_stanza:
                break
            if line.name:
                last = index
        own = at = last
        while at + 1 < len(self._lines) and _comment(self._raw[at + 1]) is not None:
            at += 1
            own = at if self._raw[at][0] in BLANKS else own
        if at + 1 == len(self._lines) or not self._lines[at + 1].opens_stanza:
            own = at
        return first, own

    # below: positions and pieces of text

    def _index(self, line: Line) -> int:
        return bisect_left(self._lines, line.line, key=lambda other: other.line)

    def _below(self, at: int) -> int:
        """Return the last of the lines right below the one *at* that belong to it, or *at*."""
        found = at
        while found + 1 < len(self._lines) and self._lines[found + 1].name in _BELOW:
            found += 1
        rest = self._lines[found + 1 :]
        following = next((line for line in rest if line.name), None)
        if rest and _comment(rest[0].raw) is not None:
            return at
        return found if following is None or following.opens_stanza else at

    def _comment_lines(self, stanza: Stanza) -> list[int]:
        first, last = self.span(stanza)
        return [index for index in range(first + 1, last + 1) if _comment(self._raw[index]) is not None]

    def _place(self, stanza: Iface, key: str) -> int:
        """Return below which line a person would put a new option: addressing first, commands last."""
        if key in COMMANDS:
            above = stanza.options
        elif key in _FIRST:
            earlier = _FIRST[: _FIRST.index(key) + 1]
            above = tuple(option for option in stanza.options if option.key in earlier)
        else:
            above = tuple(option for option in stanza.options if option.key not in COMMANDS)
        return self._index(above[-1] if above else stanza.head)

    def _indent(self, stanza: Stanza) -> str:
        """Return the indentation of the options here, or of those nearest above or below."""
        at = self._index(stanza.head)
        own = [self._index(option) for option in stanza.options] if isinstance(stanza, Iface) else []
        for index in (*own, *range(at - 1, -1, -1), *range(at + 1, len(self._lines))):
            line = self._lines[index]
            if line.name and not line.opens_stanza:
                return _indentation(self._raw[index])
        return "\t"

    def _insert(self, rows: Iterable[tuple[int, str]]) -> None:
        for at, row in rows:
            before = self._raw[at] if at >= 0 else ""
            if at >= 0 and before.rstrip("\r\n").endswith("\\") and _comment(before) is None:
                self._raw[at] = before.rstrip("\r\n").removesuffix("\\") + _end(
                    before
                )  # at the very end: continues nothing yet
            self._new.setdefault(at, []).append(f"{row}{_end(before) or self._end()}")

    def _end(self) -> str:
        return (_end(self._raw[0]) if self._raw else "") or "\n"

    def _ended(self, piece: str) -> str:
        return piece + self._end()

    def _is_blank(self, index: int) -> bool:
        return not self._raw[index].strip(f"{BLANKS}\n")

    def _blank_lines_between(self) -> Iterator[int]:
        """Yield one blank line for each removed block that leaves two where one was, or one at an end."""
        taken: set[int] = set()
        for first, last in _runs(sorted(self._blocks)):
            before, after = first - 1, last + 1
            while before in taken or before in self._gone:
                before -= 1
            is_end = after == len(self._raw)
            if before >= 0 and self._is_blank(before) and (is_end or self._is_blank(after)):
                found = before
            elif before < 0 and not is_end and self._is_blank(after):
                found = after
            else:
                continue
            taken.add(found)
            yield found


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for at in range(1, len(indices) + 1):
        if at == len(indices) or indices[at] != indices[at - 1] + 1:
            yield indices[start], indices[at - 1]
            start = at


def _comment(raw: str) -> str | None:
    """Return the text of a comment line, None where it is none."""
    text = raw.lstrip(BLANKS)
    return text[1:].rstrip("\r\n") if text.startswith("#") else None


def _indentation(raw: str) -> str:
    return raw[: len(raw) - len(raw.lstrip(" \t"))]


def _end(raw: str) -> str:
    """Return how a line ends."""
    return raw[len(raw.rstrip("\r\n")) :]


def _line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("a line has no control characters")
    return text


def _sound(value: str) -> str:
    """Return *value* as an option's line holds it.  Raises ValueError where no line can."""
    value = _line(value).strip(BLANKS)
    if not value:
        raise ValueError("an option needs a value")
    if value.endswith("\\"):
        raise ValueError("a backslash at the end would take in the next line")
    return value


def _aligned(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int | None, str | None]]:
    """Yield (position in *old* or None, what stands there in *new* or None): equal beginnings and ends stay."""
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    alike = 0
    while alike < min(len(old), len(new)) - same and old[-1 - alike] == new[-1 - alike]:
        alike += 1
    fresh = list(new[same : len(new) - alike])
    for at in range(len(old)):
        if same <= at < len(old) - alike:
            yield at, fresh.pop(0) if fresh else None
            continue
        if at >= len(old) - alike:
            yield from ((None, text) for text in fresh)
            fresh = []
        yield at, old[at]
    yield from ((None, text) for text in fresh)


def _revalued(raw: str, line: Line, value: str) -> str:
    """Return *raw* with another value: in its words' places where it is continued or not a command, else as a whole."""
    exact = line.key in COMMANDS
    found = _PARTS.fullmatch(raw)
    if found:
        head, gap, old, tail = found.group("head", "gap", "value", "tail")
        start = head + (gap or " ")
        for candidate in (
            *([] if exact and "\n" not in old else [start + _words(old, _BLANKS.split(value)) + tail]),
            start + value + tail,
        ):
            if _says(candidate, line.name, value, exact=exact):
                return candidate
    return f"{_indentation(raw)}{line.name} {value}{_end(raw)}"


def _words(old: str, new: list[str]) -> str:
    """Return *old* with the words *new*; the blanks and continuations around a word that stays stay."""
    tokens = _TOKENS.findall(old)
    words, gaps = tokens[::2], ["", *tokens[1::2]]
    pieces: list[str] = []
    for at, word in _aligned(words, new):
        if word is not None:
            gap = " " if at is None or (pieces and not gaps[at]) else gaps[at]
            pieces += [gap if pieces else "", word]
    return "".join(pieces)


def _says(raw: str, name: str, value: str, *, exact: bool) -> bool:
    lines = parse(raw).lines
    return (
        len(lines) == 1
        and lines[0].name == name
        and (lines[0].value == value or (not exact and lines[0].words == tuple(_BLANKS.split(value))))
    )
