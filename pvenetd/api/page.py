"""What is answered and is no record: bytes of some kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Page:
    """Bytes of some kind."""

    kind: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
