"""How often somebody may ask: a bucket of requests each, filled again as time passes.

Times are seconds of a clock that nobody sets.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

BURST = 5.0
"""Seconds of requests that may come at once."""
STRANGERS = 0.1
"""What those may ask of whom it is not known who they are, beside others."""
_MOST = 10_000
"""Buckets that are kept; the one used longest ago is forgotten first, and full again by then."""


@dataclass
class Rate:
    """So many requests a second, of each who asks; 0 for no limit."""

    most: float
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    """Who → requests in the bucket, and when that was."""

    def wait(self, who: str, now: float, share: float = 1.0) -> float:
        """Take a request from the bucket of *who*, which holds a *share* of others'; return 0 where there was one.

        Else the seconds until there is.
        """
        if not self.most:
            return 0.0
        rate = self.most * share
        full = max(rate * BURST, 1.0)
        left, since = self._left.get(who, (full, now))
        left = min(left + (now - since) * rate, full)
        is_there = left >= 1
        self._left[who] = (left - is_there, now)
        self._left.move_to_end(who)
        if len(self._left) > _MOST:
            self._left.popitem(last=False)
        return 0.0 if is_there else (1 - left) / rate
