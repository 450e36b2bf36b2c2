"""Tickets, and the tokens against forged requests that go with them: signed, with their time (RFC 2104, FIPS 180-4).

They look as Proxmox VE's do (``PVE:root@pam:6920A3B0::SIGNATURE``), as some clients look at them.  Nothing is kept of
a ticket: whoever has the key knows whether it holds.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode

from pvenetd.access.names import is_user

LIFETIME = 2 * 3600
"""Seconds that a ticket holds, as with Proxmox VE; it may be given as a password for a new one until then."""
SKEW = 300
"""Seconds that a ticket may come from the future: a clock that was set back."""
KEY_BYTES = 32
_TICKET = re.compile(r"PVE:([^:\s]{1,80}):([0-9A-F]{8}):(:[A-Za-z0-9_-]{43})")


class Tickets:
    """Makes and verifies them with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Tickets()"

    def issue(self, user: str, now: float) -> str:
        """Return a ticket of *user*, from *now* on (seconds since 1970)."""
        plain = f"PVE:{user}:{int(now):08X}:"
        return f"{plain}:{self._signature(plain)}"

    def user(self, ticket: str, now: float) -> str | None:
        """Return whose ticket it is; None where it was not issued here, or holds no more."""
        found = _TICKET.fullmatch(ticket)
        if not found or not is_user(found[1]):
            return None
        signed = hmac.compare_digest(found[3][1:], self._signature(f"PVE:{found[1]}:{found[2]}:"))
        return found[1] if signed and -SKEW <= now - int(found[2], 16) < LIFETIME else None

    def guard(self, ticket: str) -> str:
        """Return what a request that changes something has to carry beside *ticket* (CSRFPreventionToken)."""
        issued = ticket.split(":", 3)[2]
        return f"{issued}:{self._signature(f'CSRF:{ticket}')}"

    def guards(self, ticket: str, guard: str) -> bool:
        """Return whether *guard* goes with *ticket*, which holds."""
        return hmac.compare_digest(guard.encode(), self.guard(ticket).encode())

    def _signature(self, text: str) -> str:
        digest = hmac.digest(self._key, text.encode(), "sha256")
        return urlsafe_b64encode(digest).decode().rstrip("=")
