"""What survives a crash: the record of an apply, on disk before its first operation.

A record is JSON: ``id``, ``touched`` (keys), ``back`` (records of a State: how those were), ``order`` (of a
link's IPv4 addresses) and ``files``: by name, content before and after the apply.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from pvenetd.resource import Key, Resource
from pvenetd.state import State, from_json, to_json


class Journal(Protocol):
    """What survives a crash."""

    def begin(self, record: dict[str, Any]) -> None:
        """Keep *record*, then bring the files to how they are after the apply."""

    def pending(self) -> dict[str, Any] | None:
        """Return the record of an apply that was neither committed nor undone."""

    def previous(self) -> dict[str, Any] | None:
        """Return the record of the last committed apply."""

    def commit(self) -> None:
        """Keep the pending record as the one to return to later."""

    def undo(self, record: dict[str, Any]) -> None:
        """Bring the files back, then forget *record*."""


def versions(before: bytes | None, after: bytes | None) -> list[str | None]:
    """Return a file's content before and after an apply, as a journal's record holds it."""
    return [None if data is None else base64.b64encode(data).decode() for data in (before, after)]


def content(text: str | None) -> bytes | None:
    """Return what `versions` was given."""
    return None if text is None else base64.b64decode(text)


def record(
    apply: str,
    touched: Collection[Key],
    back: State,
    files: Mapping[str, list[str | None]],
    order: Mapping[str, list[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the record of *apply*, which touches those keys and is undone by planning for *back*."""
    return {
        "id": apply,
        "touched": [list(key) for key in sorted({*touched, *back})],
        "back": to_json(back),
        "order": dict(order),
        "files": dict(files),
    }


def merged(first: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """Return the record of *then* and of *first*, in whose place it comes: undone, it leads back to before both."""
    old, new = from_json(first["back"]), from_json(then["back"])
    touched = {tuple(key) for key in first["touched"]}
    back = {key: _older(old[key], new.get(key)) for key in old}
    back |= {key: resource for key, resource in new.items() if key not in touched}
    files = {**first["files"], **then["files"]}
    for name in first["files"].keys() & then["files"].keys():
        files[name] = [first["files"][name][0], then["files"][name][1]]
    order = {**then.get("order", {}), **first.get("order", {})}
    return record(then["id"], touched | {tuple(key) for key in then["touched"]}, back, files, order)


def _older(old: Resource, new: Resource | None) -> Resource:
    """Return *old*, and what only *new* tells: of a link that was changed, a record has the changed fields alone."""
    known = {name: value for name, value in new or () if name in old.silent or getattr(old, name) is None}
    return old.model_copy(update=known) if known else old
