"""What survives a crash: the record of an apply, on disk before its first operation.

A record is JSON: ``touched`` (keys), ``back`` (records of a State: how those were) and ``files``: by name,
content before and after the apply.
"""

from __future__ import annotations

import base64
from typing import Any, Protocol


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
