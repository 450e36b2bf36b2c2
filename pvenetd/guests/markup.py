"""XML as a tree that knows where it stands: lines for messages, bytes for edits that leave the rest as it is.

A document type is refused, and with it every entity but XML's own five: nothing expands, nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

_START_TAG = re.compile(rb"""<[^>"']*(?:"[^"]*"[^>"']*|'[^']*'[^>"']*)*>""")
"""A start tag that expat has found well formed: ``>`` may stand in a value."""
Edit = tuple[int, int, bytes]
"""Bytes from, to, and what is to stand there."""
DEEPEST = 200
"""Elements inside each other; libvirt's own are some ten deep."""


class MarkupError(ValueError):
    """What is no XML, or more than XML: *line* says where."""

    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"line {line}: {reason}")


@dataclass(slots=True)
class Element:
    """An element, and the bytes of the UTF-8 text that it is."""

    tag: str
    """Its local name."""
    space: str
    """The URI of its namespace, empty for none."""
    attributes: Mapping[str, str]
    """Of no namespace, by name."""
    line: int
    start: int
    """Offset of its ``<``."""
    content: int
    """Offset after its start tag."""
    content_end: int = 0
    """Offset of its end tag; where it has none (``<x/>``), `content`."""
    end: int = 0
    """Offset after it."""
    text: str = ""
    """What stands directly in it."""
    children: list[Element] = field(default_factory=list)

    @property
    def is_empty_tag(self) -> bool:
        """Return whether it is written as ``<x/>``."""
        return self.end == self.content

    def all(self, tag: str, space: str = "") -> Iterator[Element]:
        """Yield its children called *tag*."""
        return (child for child in self.children if child.tag == tag and child.space == space)

    def first(self, tag: str, space: str = "") -> Element | None:
        """Return its first child called *tag*."""
        return next(self.all(tag, space), None)

    def value(self, *path: str) -> str | None:
        """Return the attribute *path* leads to, by the tags of elements and last its name; None where it is not."""
        found: Element | None = self
        for tag in path[:-1]:
            found = found.first(tag) if found else None
        return found.attributes.get(path[-1]) if found else None


def encoded(text: str | bytes) -> bytes:
    """Return the bytes that are parsed: UTF-8, whatever the text declares; offsets are offsets in them."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")


def parse(text: str | bytes) -> Element:
    """Return the root element of *text*.  Raises `MarkupError`."""
    data = encoded(text)
    reader = _Reader(data)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise MarkupError(error.lineno, expat.ErrorString(error.code)) from error
    return reader.root


def edited(data: bytes, edits: Iterable[Edit]) -> str:
    """Return the text of *data* with *edits*, which do not overlap."""
    for start, end, piece in sorted(edits, reverse=True):
        data = data[:start] + piece + data[end:]
    return data.decode("utf-8", "replace")


class _Reader:
    """What expat tells, as a tree."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._open: list[Element] = []
        self.root: Element
        self.parser = expat.ParserCreate("utf-8", " ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._finish
        self.parser.CharacterDataHandler = self._characters

    def _doctype(self, *_: object) -> None:
        raise MarkupError(self.parser.CurrentLineNumber, "a document type (<!DOCTYPE) is not read")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= DEEPEST:
            raise MarkupError(self.parser.CurrentLineNumber, f"more than {DEEPEST} elements inside each other")
        space, _, tag = name.rpartition(" ")
        start = self.parser.CurrentByteIndex
        tag_text = _START_TAG.match(self._data, start)
        content = tag_text.end() if tag_text else start
        plain = {key: value for key, value in attributes.items() if " " not in key}
        element = Element(tag, space, plain, self.parser.CurrentLineNumber, start, content)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _finish(self, _: str) -> None:
        element = self._open.pop()
        if self._data[element.content - 2 : element.content] == b"/>":
            element.content_end = element.end = element.content
            return
        element.content_end = self.parser.CurrentByteIndex
        element.end = self._data.index(b">", element.content_end) + 1

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].text += text
