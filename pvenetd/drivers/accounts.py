"""The host's users: whether a password is theirs, by PAM, and their groups (pam(3), nsswitch.conf(5)).

PAM is asked by a program of its own (`pam_login`), which systemd runs outside the daemon's sandbox: modules that read
/etc/shadow, talk to a directory or write to the audit log work as they do for every other login.  Below another root
it sees that root's etc, so that a host in a directory has users of its own.
"""

from __future__ import annotations

import grp
import os
import pwd
import sys
from pathlib import Path

from pvenetd.drivers.programs import PATH, Programs
from pvenetd.errors import Unavailable

SERVICE = "pvenetd"
"""/etc/pam.d/pvenetd; where it is missing, libpam takes /etc/pam.d/other by itself."""
_PROGRAM = Path(__file__).with_name("pam_login.py")
_SECONDS = 30.0
_RIGHT, _WRONG = 0, 1


class Accounts:
    """The users of what is below a root."""

    def __init__(self, root: Path, programs: Programs) -> None:
        self._root = root
        self._programs = programs

    def login(self, name: str, password: str, address: str) -> bool:
        """Return whether it is the user's password, and the user may log in now.  Raises `Unavailable`."""
        if "\n" in password or "\0" in password:
            return False  # which no password has: passwd(1) reads a line
        given = f"{SERVICE}\n{name}\n{address}\n{password}".encode()
        words = [sys.executable, "-I", str(_PROGRAM)]
        try:
            ended = self._programs.run(words, {"PATH": PATH}, seconds=_SECONDS, given=given, at_home=True)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"PAM does not answer: {error or 'it took too long'}") from error
        if ended.status not in (_RIGHT, _WRONG):
            raise Unavailable(f"PAM cannot tell (status {ended.status}): the journal may")
        return ended.status == _RIGHT

    def groups(self, name: str) -> frozenset[str] | None:
        """Return the groups a user is in, None where there is no such user."""
        return _groups(name) if self._root == Path("/") else _groups_below(self._root, name)


def _groups(name: str) -> frozenset[str] | None:
    try:
        numbers = os.getgrouplist(name, pwd.getpwnam(name).pw_gid)
    except KeyError:
        return None
    return frozenset(filter(None, map(_group, numbers)))


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def _groups_below(root: Path, name: str) -> frozenset[str] | None:
    """Return the same by a root's own passwd(5) and group(5)."""
    users = {line[0]: line[3] for line in _lines(root / "etc/passwd") if line[3:]}
    if name not in users:
        return None
    groups = [line for line in _lines(root / "etc/group") if line[3:]]
    return frozenset(line[0] for line in groups if line[2] == users[name] or name in line[3].split(","))


def _lines(path: Path) -> list[list[str]]:
    try:
        return [line.split(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return []
