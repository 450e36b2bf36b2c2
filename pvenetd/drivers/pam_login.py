"""Asks PAM whether a password is a user's: a program of its own, as modules of PAM may do anything to a process.

Standard input has four lines: service, user, address, password.  Exit status: 0 it is, 1 it is not, 2 nobody can tell.
It runs by itself, without the rest of the package, and on what every Python has (ctypes, pam(3)).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_size_t, c_uint, c_void_p
from typing import Any

RIGHT, WRONG, UNKNOWN = 0, 1, 2
_SUCCESS, _CONV_ERR, _BUF_ERR = 0, 19, 5
_PROMPT_ECHO_OFF, _ERROR_MSG, _TEXT_INFO = 1, 3, 4
_RHOST, _FAIL_DELAY = 4, 10
_SILENT, _DISALLOW_NULL_AUTHTOK = 0x8000, 0x1
_TROUBLE = frozenset({1, 2, 3, 4, 5, 9, 19, 26, 28})
"""PAM_OPEN_ERR, SYMBOL_ERR, SERVICE_ERR, SYSTEM_ERR, BUF_ERR, AUTHINFO_UNAVAIL, CONV_ERR, ... (security/_pam_types.h):
not the user's fault."""


class Message(ctypes.Structure):
    """pam_message."""

    _fields_ = (("style", c_int), ("text", c_char_p))


class Response(ctypes.Structure):
    """pam_response; libpam frees both."""

    _fields_ = (("text", c_void_p), ("code", c_int))


_Talk = CFUNCTYPE(c_int, c_int, POINTER(POINTER(Message)), POINTER(POINTER(Response)), c_void_p)
_Delay = CFUNCTYPE(None, c_int, c_uint, c_void_p)


class Conversation(ctypes.Structure):
    """pam_conv."""

    _fields_ = (("talk", _Talk), ("data", c_void_p))


def main() -> int:
    """Answer what standard input asks."""
    service, user, address, password = sys.stdin.buffer.read().split(b"\n")[:4]
    return login(service, user, address, password)


def login(service: bytes, user: bytes, address: bytes, password: bytes) -> int:
    """Return whether *password* is *user*'s, who may log in now."""
    try:
        pam = ctypes.CDLL("libpam.so.0")
    except OSError:
        return UNKNOWN
    pam.pam_set_item.argtypes = (c_void_p, c_int, c_void_p)
    for name in ("pam_authenticate", "pam_acct_mgmt", "pam_end"):
        getattr(pam, name).argtypes = (c_void_p, c_int)
    handle, conversation, no_delay = c_void_p(), Conversation(_Talk(_answering(password)), None), _Delay(_at_once)
    if pam.pam_start(service, user, ctypes.byref(conversation), ctypes.byref(handle)) != _SUCCESS:
        return UNKNOWN
    pam.pam_set_item(handle, _RHOST, ctypes.cast(c_char_p(address), c_void_p))
    pam.pam_set_item(handle, _FAIL_DELAY, ctypes.cast(no_delay, c_void_p))
    status = pam.pam_authenticate(handle, _SILENT | _DISALLOW_NULL_AUTHTOK)
    if status == _SUCCESS:
        status = pam.pam_acct_mgmt(handle, _SILENT | _DISALLOW_NULL_AUTHTOK)
    pam.pam_end(handle, status)
    if status == _SUCCESS:
        return RIGHT
    return UNKNOWN if status in _TROUBLE else WRONG


def _answering(password: bytes) -> Callable[[int, Any, Any, Any], int]:
    """Return what answers every question that is not echoed with *password*; nothing else is known."""
    libc = ctypes.CDLL(None)
    libc.calloc.restype, libc.calloc.argtypes = c_void_p, (c_size_t, c_size_t)
    libc.strdup.restype, libc.strdup.argtypes = c_void_p, (c_char_p,)

    def talk(count: int, messages: Any, responses: Any, data: Any) -> int:
        del data
        made = ctypes.cast(libc.calloc(count, ctypes.sizeof(Response)), POINTER(Response))
        if not made:
            return _BUF_ERR
        for at in range(count):
            style = messages[at].contents.style
            if style == _PROMPT_ECHO_OFF:
                made[at].text = libc.strdup(password)
            elif style not in (_ERROR_MSG, _TEXT_INFO):
                return _CONV_ERR
        responses[0] = made
        return _SUCCESS

    return talk


def _at_once(status: int, microseconds: int, data: Any) -> None:
    """Let a failure take no time: who asks keeps count of failures."""
    del status, microseconds, data


if __name__ == "__main__":
    sys.exit(main())
