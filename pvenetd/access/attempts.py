"""How often a password may be wrong: after a few, each one more doubles the wait, for its user and for its address.

An attempt counts as wrong from its beginning, until it has turned out right, so that many at once gain nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

FREE = 5
"""Wrong passwords without a wait: people mistype."""
LONGEST_USER = 30.0
"""Seconds to wait for a user's next one, however many were wrong: nobody else locks him out for long."""
LONGEST_ADDRESS = 600.0
"""Seconds to wait for the next one from an address."""
FORGOTTEN = 3600.0
"""Seconds without an attempt after which none is held against anybody."""
_MOST = 10_000
"""Users and addresses that are remembered; the oldest is forgotten first."""
_SITE = 64
"""Bits of an IPv6 address that its holder does not choose."""


@dataclass(slots=True)
class _Count:
    wrong: int = 0
    last: float = 0.0


class Attempts:
    """Counts what was wrong; times are seconds of a clock that nobody sets."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def wait(self, user: str, address: str, now: float) -> float:
        """Return how many seconds are to pass before another attempt; 0 where one may be made."""
        return max(self._left(f"user {user}", LONGEST_USER, now), self._left(site(address), LONGEST_ADDRESS, now))

    def begin(self, user: str, address: str, now: float) -> None:
        """Count an attempt, as if it were wrong."""
        for key in (f"user {user}", site(address)):
            count = self._counts.setdefault(key, _Count())
            if now - count.last > FORGOTTEN:
                count.wrong = 0
            count.wrong += 1
            count.last = now
            self._counts.move_to_end(key)
        while len(self._counts) > _MOST:
            self._counts.popitem(last=False)

    def undo(self, user: str, address: str) -> None:
        """Take an attempt back: nobody could tell whether it was right."""
        for key in (f"user {user}", site(address)):
            if count := self._counts.get(key):
                count.wrong = max(count.wrong - 1, 0)

    def succeed(self, user: str, address: str) -> None:
        """Forget what was wrong before: the password is known there."""
        for key in (f"user {user}", site(address)):
            self._counts.pop(key, None)

    def _left(self, key: str, longest: float, now: float) -> float:
        count = self._counts.get(key)
        if not count or count.wrong < FREE or now - count.last > FORGOTTEN:
            return 0.0
        wait = min(2.0 ** min(count.wrong - FREE, 30), longest)
        return max(count.last + wait - now, 0.0)


def site(address: str) -> str:
    """Return whose *address* is: of an IPv6 address, its network."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return f"at {address}"
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    if isinstance(found, IPv6Address):
        return f"at {int(found) >> 128 - _SITE:x}::/{_SITE}"
    return f"at {found}"
