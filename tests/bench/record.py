"""What a bench tells: us beside the peer, as `make bench` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any


def record(bench: str, ours: Sequence[float], theirs: Sequence[float], unit: str = "ms", **more: Any) -> dict[str, Any]:
    """Return medians and their ratio; *n* is how often the one that ran less ran."""
    mine, peer = median(ours), median(theirs)
    return {
        "bench": bench,
        "ours": round(mine, 2),
        "peer": round(peer, 2),
        "unit": unit,
        "ratio": round(mine / peer, 3),
        "n": min(len(ours), len(theirs)),
        **more,
    }
