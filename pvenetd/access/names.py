"""What users and tokens are called, as Proxmox VE calls them: ``USER@REALM``, ``USER@REALM!TOKEN``."""

from __future__ import annotations

import re

REALM = "pam"
"""Users of this host, by PAM: the only realm."""
ROOT = f"root@{REALM}"
_USER = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,63}}@{REALM}")
_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,63}")


def is_user(text: str) -> bool:
    """Return whether *text* may be a user's name, with its realm."""
    return bool(_USER.fullmatch(text))


def is_token(text: str) -> bool:
    """Return whether *text* may be a token's name, without its user's."""
    return bool(_TOKEN.fullmatch(text))


def account(user: str) -> str:
    """Return what a user is called on this host."""
    return user.rpartition("@")[0]
