"""API tokens: a name, a role, a time, and the digest of a secret that nobody keeps.

A secret is a random UUID (122 bits), so that one SHA-256 holds off whoever reads the digest: nobody tries them all,
and a request need not wait for a slow one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NotRequired

from typing_extensions import TypedDict

from pvenetd.option import ZeroOne

_GIVEN = re.compile(r"PVEAPIToken=([^!=\s]+![^!=\s]+)=([0-9a-fA-F-]{36})")
"""What the header Authorization has: ``PVEAPIToken=USER@REALM!ID=SECRET``."""


class TokenFacts(TypedDict):
    """A token, with Proxmox VE's keys."""

    expire: int
    """When it ends, in seconds since 1970; 0 is never."""
    privsep: ZeroOne
    """0 has its user's rights, 1 reads."""
    comment: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token."""

    name: str
    """``USER@REALM!ID``."""
    digest: str
    may_write: bool = False
    """Whether it has its user's rights; without, it reads."""
    expire: int = 0
    """When it ends, in seconds since 1970; 0 is never."""
    comment: str = ""

    @property
    def user(self) -> str:
        """Return whose it is."""
        return self.name.partition("!")[0]

    @property
    def id(self) -> str:
        """Return its name among those of its user."""
        return self.name.partition("!")[2]

    def has_expired(self, now: float) -> bool:
        """Return whether it has ended at *now*."""
        return bool(self.expire) and self.expire <= now

    def opens(self, secret: str) -> bool:
        """Return whether *secret* is its own."""
        return hmac.compare_digest(self.digest, digest_of(self.name, secret))

    def record(self) -> TokenFacts:
        """Return what may be told of it."""
        told: TokenFacts = {"expire": self.expire, "privsep": 0 if self.may_write else 1}
        if self.comment:
            told["comment"] = self.comment
        return told


def made(token: Token) -> tuple[Token, str]:
    """Return *token* with a new secret, and the secret: it is told once."""
    secret = str(uuid.uuid4())
    return replace(token, digest=digest_of(token.name, secret)), secret


def digest_of(name: str, secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(f"{name}:{secret.lower()}".encode()).hexdigest()


def given(header: str) -> tuple[str, str] | None:
    """Return name and secret of the token in a header, None where there is none."""
    found = _GIVEN.fullmatch(header)
    return (found[1], found[2]) if found else None


def to_json(tokens: Mapping[str, Token]) -> list[dict[str, Any]]:
    """Return *tokens* as their file holds them."""
    return [
        {"name": one.name, "digest": one.digest, "write": one.may_write, "expire": one.expire, "comment": one.comment}
        for one in tokens.values()
    ]


def of_json(records: list[dict[str, Any]]) -> dict[str, Token]:
    """Return the tokens of a file, by name."""
    return {
        one["name"]: Token(one["name"], one["digest"], one["write"], one["expire"], one["comment"]) for one in records
    }
