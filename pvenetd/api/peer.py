"""The UNIX socket of the API: made without ever being open to others, and who is at its other end (unix(7))."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import grp
import os
import pwd
import re
import secrets
import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pvenetd.api.route import Caller
from pvenetd.errors import Conflict

GROUP = "pvenetd"
"""Whose members may do everything; without it, root alone."""
MODE = 0o660
BACKLOG = 128
SO_PEERGROUPS = 59
"""asm-generic/socket.h: the supplementary groups of the other end, as it connected."""
_PRIVATE = re.compile(r"\.[0-9a-f]{8}")
_ROOM = 1024
"""Bytes Python's getsockopt() can take: 256 groups."""


@contextlib.contextmanager
def listening(path: Path, given: socket.socket | None = None) -> Iterator[socket.socket]:
    """Yield the socket to serve at: *given* by systemd, or one made at *path*.

    Raises `Conflict` where another daemon serves there.  What connects from now on waits for an answer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path.parent / "lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another pvenetd serves {path}: stop it first") from None
        if given:
            given.setblocking(False)
            yield given
            return
        with _made(path) as made:
            yield made
        path.unlink(missing_ok=True)


def _lock(path: Path) -> BinaryIO:
    """Open the lock file: nothing that a link leads to, and no FIFO keeps us waiting.  Raises `Conflict`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return cast("BinaryIO", os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0))
    except OSError as error:
        raise Conflict(f"{path} is in the way: {error.strerror}") from error


@contextlib.contextmanager
def _made(path: Path) -> Iterator[socket.socket]:
    """Make the socket in a directory nobody else can enter; it moves to its place with its mode and group.

    A socket left there by a daemon that died is replaced.  Its address is given by way of /proc, as an
    address has at most 107 bytes and a path may have more.
    """
    for left in path.parent.glob(".????????"):
        if _PRIVATE.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)
    private = path.parent / f".{secrets.token_hex(4)}"
    private.mkdir(mode=0o700)
    directory = os.open(private, os.O_PATH | os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as made:
        try:
            made.bind(f"/proc/self/fd/{directory}/{path.name}")
            draft = private / path.name
            if (group := group_id()) is not None and os.geteuid() == 0:
                with contextlib.suppress(PermissionError):  # bounded by its unit, it is given one by systemd
                    os.chown(draft, 0, group)
            draft.chmod(MODE)
            made.listen(BACKLOG)
            _in_place(draft, path)
        finally:
            os.close(directory)
            (private / path.name).unlink(missing_ok=True)
            private.rmdir()
        yield made


def _in_place(draft: Path, path: Path) -> None:
    """Have the socket replace what stands at *path*.  Raises `Conflict`."""
    try:
        draft.replace(path)
    except OSError as error:
        raise Conflict(f"{path} is in the way: {error.strerror}") from error


def peer(transport: asyncio.BaseTransport | None, group: int | None) -> Caller:
    """Return who is at the other end of a connection, by the kernel's word; members of *group* may write."""
    end = transport.get_extra_info("socket") if transport else None
    if end is None:
        return Caller("nobody", may_write=False)
    _, uid, gid = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    may_write = uid == 0 or (group is not None and group in {gid, *_groups(end)})
    return Caller(user_name(uid), may_write=may_write)


def group_id() -> int | None:
    """Return the group whose members may do everything, None where this host has none."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def _groups(end: socket.socket) -> tuple[int, ...]:
    try:
        data = end.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _ROOM)
    except OSError:
        return ()  # more groups than there is room for: only the primary one counts
    return struct.unpack(f"{len(data) // 4}I", data)


@functools.cache
def user_name(uid: int) -> str:
    """Return what a user of this host is called; ``uid N`` where nobody knows."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
