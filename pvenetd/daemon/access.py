"""Who may come by the network, and with which rights: passwords, tickets, tokens; users and groups are the host's."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from pvenetd.access import tokens as kept
from pvenetd.access.attempts import Attempts
from pvenetd.access.names import REALM, ROOT, account, is_token, is_user
from pvenetd.access.tickets import KEY_BYTES, Tickets
from pvenetd.access.tokens import Token
from pvenetd.daemon.staging import Files
from pvenetd.errors import Conflict, EditError, NotFound, NotKnown, TooMany, Unavailable

log = logging.getLogger("pvenetd.access")

KEY = "var/lib/pvenetd/ticket.key"
TOKENS = "var/lib/pvenetd/tokens.json"
GROUP = "pvenetd"
"""Whose members may do everything, as root may."""
_FRESH = 5.0
"""Seconds for which a user's groups are not asked for again."""
_AT_ONCE = 4
"""Passwords that are asked about at the same time."""
_WAITING = 32
"""More logins than these are turned away."""
_ODD_NAME = "should be a letter, then one or more letters, digits, '.', '_' or '-'"
_INVALID = "permission denied - invalid PVE ticket"
"""Proxmox VE's words, by which its clients know that they have to log in again."""
_WRONG = "authentication failure"
"""One text for all that is wrong with a login: which users there are is nobody's business."""


class Accounts(Protocol):
    """The host's users; both may take seconds, and are called in a thread."""

    def groups(self, name: str) -> frozenset[str] | None:
        """Return the groups a user is in, None where there is no such user."""

    def login(self, name: str, password: str, address: str) -> bool:
        """Return whether it is the user's password, and the user may log in.  Raises `Unavailable`."""


class Nobody:
    """Where there are no users to ask."""

    def groups(self, name: str) -> frozenset[str] | None:
        """Return that there is no such user."""
        del name
        return None

    def login(self, name: str, password: str, address: str) -> bool:
        """Raise `Unavailable`."""
        del name, password, address
        raise Unavailable("nobody can log in here: there is no PAM")


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who is known."""

    name: str
    may_write: bool


class Access:
    """Says who somebody is, by what he has to show for it."""

    def __init__(
        self,
        files: Files,
        others: Literal["none", "read"],
        clock: Callable[[], float] = time.time,
        ticking: Callable[[], float] = time.monotonic,
    ) -> None:
        self.accounts: Accounts = Nobody()
        self._files = files
        self._others = others
        self._clock, self._ticking = clock, ticking
        self._attempts = Attempts()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._signer: Tickets | None = None
        self._groups: dict[str, tuple[float, frozenset[str] | None]] = {}

    async def login(self, user: str, password: str, where: str) -> str:
        """Return a ticket for who knows *user*'s password, or has a ticket that still holds.

        Raises `NotKnown`, `TooMany`, `Unavailable`.
        """
        named = user if is_user(user) else f"?@{REALM}"
        if wait := self._attempts.wait(named, where, self._ticking()):
            log.warning("login of %s from %s: turned away for %.0f s", named, where, wait)
            raise TooMany("too many logins have failed", wait)
        self._attempts.begin(named, where, self._ticking())
        try:
            known = is_user(user) and await self._is_right(user, password, where)
        except Unavailable:
            self._attempts.undo(named, where)
            raise
        if not known or await self.rights(user) is None:
            log.warning("login of %s from %s: failed", named, where)
            raise NotKnown(_WRONG)
        self._attempts.succeed(named, where)
        log.info("login of %s from %s", named, where)
        return self._tickets().issue(user, self._clock())

    async def _is_right(self, user: str, password: str, where: str) -> bool:
        if password.startswith("PVE:"):
            return self._tickets().user(password, self._clock()) == user
        if not password:
            return False
        if self._waiting >= _WAITING:
            raise Unavailable("too many logins at once: try again")
        self._waiting += 1
        try:
            async with self._room:
                return await asyncio.to_thread(self.accounts.login, account(user), password, where)
        finally:
            self._waiting -= 1

    async def by_ticket(self, ticket: str) -> Who:
        """Return whose *ticket* it is.  Raises `NotKnown`."""
        user = self._tickets().user(ticket, self._clock())
        may_write = await self.rights(user) if user else None
        if not user or may_write is None:
            raise NotKnown(f"{_INVALID}\nit does not hold, or holds no more: log in again")
        return Who(user, may_write)

    def guard(self, ticket: str) -> str:
        """Return the CSRFPreventionToken that goes with *ticket*."""
        return self._tickets().guard(ticket)

    def guards(self, ticket: str, guard: str) -> bool:
        """Return whether *guard* goes with *ticket*, which holds."""
        return self._tickets().guards(ticket, guard)

    async def by_token(self, name: str, secret: str) -> Who:
        """Return who has a token: with its user's rights at most.  Raises `NotKnown`."""
        token = self._tokens().get(name)
        right = (token or Token("", "0" * 64)).opens(secret)
        if not token or not right:
            raise NotKnown("no such token, or not its secret")
        if token.has_expired(self._clock()):
            raise NotKnown("the token has expired")
        may_write = await self.rights(token.user)
        if may_write is None:
            raise NotKnown("the token's user has no rights here any more")
        return Who(name, may_write and token.may_write)

    async def rights(self, user: str) -> bool | None:
        """Return whether *user* may write, None where nothing is allowed."""
        if user == ROOT:
            return True
        groups = await self._groups_of(account(user))
        if groups is None:
            return None
        if GROUP in groups:
            return True
        return False if self._others == "read" else None

    async def _groups_of(self, name: str) -> frozenset[str] | None:
        asked, groups = self._groups.get(name, (float("-inf"), None))
        now = self._ticking()
        if now - asked >= _FRESH:
            groups = await asyncio.to_thread(self.accounts.groups, name)
            if len(self._groups) > _WAITING:
                self._groups.clear()
            self._groups[name] = (now, groups)
        return groups

    def tokens(self, user: str | None = None) -> list[Token]:
        """Return the tokens there are, of one user or all."""
        return [token for token in self._tokens().values() if user in (None, token.user)]

    def token(self, user: str, token_id: str) -> Token:
        """Return one token.  Raises `NotFound`."""
        found = self._tokens().get(f"{user}!{token_id}")
        if not found:
            raise NotFound(f"no such token '{token_id}' for user '{user}'")
        return found

    async def create(self, wanted: Token) -> str:
        """Keep a new token and return its secret, which nobody is told again.  Raises `EditError`, `Conflict`."""
        wrong = {} if is_token(wanted.id) else {"tokenid": _ODD_NAME}
        if not is_user(wanted.user) or await self.rights(wanted.user) is None:
            wrong["userid"] = "is no user that has rights here: root@pam, or a member of the group pvenetd"
        if wrong:
            raise EditError(wrong)
        there = self._tokens()
        if wanted.name in there:
            raise Conflict(f"token '{wanted.name}' is there already")
        token, secret = kept.made(wanted)
        self._keep({**there, token.name: token})
        return secret

    def change(self, user: str, token_id: str, **changes: str | int | bool) -> Token:
        """Keep a token with *changes*, and the secret it has.  Raises `NotFound`."""
        token = replace(self.token(user, token_id), **changes)  # type: ignore[arg-type]
        self._keep({**self._tokens(), token.name: token})
        return token

    def delete(self, user: str, token_id: str) -> None:
        """Forget a token.  Raises `NotFound`."""
        name = self.token(user, token_id).name
        self._keep({other: token for other, token in self._tokens().items() if other != name})

    def _tokens(self) -> dict[str, Token]:
        data = self._files.read_secret(TOKENS)
        return kept.of_json(json.loads(data)) if data else {}

    def _keep(self, tokens: dict[str, Token]) -> None:
        self._files.write_secret(TOKENS, json.dumps(kept.to_json(tokens), indent=1).encode())

    def _tickets(self) -> Tickets:
        if self._signer is None:
            key = self._files.read_secret(KEY)
            if key is None or len(key) < KEY_BYTES:
                key = secrets.token_bytes(KEY_BYTES)
                self._files.write_secret(KEY, key)
            self._signer = Tickets(key)
        return self._signer
