"""The exception tree: what can go wrong, and what is told about it.

::

    PvenetError                 anything pvenetd says no with; everything else is a bug
    ├── ConfigError             what users wrote is wrong: all `Problem`s at once
    ├── EditError               what an edit asks for is wrong: every key with its reason
    ├── KernelError             the kernel, or a program it was asked to run, refused one operation
    ├── VerifyError             after an apply, something still differs
    ├── Unreachable             after an apply, somebody does not answer who did before
    ├── Conflict                the request does not fit the state: already staged, already waiting, …
    │   └── CutsOff             it would take away what the session that asks stands on
    ├── NotFound                no such interface, guest, NIC
    ├── NotKnown                it is not known who asks: no credentials, or none that hold
    ├── TooMany                 asked too often: logins that failed
    ├── Shortage                the machine lacks what it takes: files that can be written, descriptors, memory
    │   └── Full                there is no room on the disk
    └── Unavailable             the daemon does not answer, or a deadline has passed
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in what a user wrote, and where."""

    path: str
    line: int
    code: str
    """One of the codes of interfaces check, `pvenetctl(1)`."""
    message: str
    severity: Severity = "error"
    hint: str = ""
    interface: str = ""
    option: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.path}:{self.line}: {self.severity} {self.code}: {self.message}{hint}"


class PvenetError(Exception):
    """Anything pvenetd says no with."""

    outcome: str = ""
    """What has become of the host, where something had begun: ``rolled back: the host is as it was``."""


class ConfigError(PvenetError):
    """What users wrote is wrong; holds every problem, never only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class EditError(PvenetError):
    """What an edit asks for is wrong: *errors* has every key with its reason.

    *problems* are those that the configuration would have then, and had not before.
    """

    def __init__(self, errors: Mapping[str, str], problems: Iterable[Problem] = ()) -> None:
        self.errors = dict(errors)
        self.problems = tuple(problems)
        super().__init__("Parameter verification failed.")


class KernelError(PvenetError):
    """The kernel refused one operation.

    *op* is the operation as a plan shows it, *reason* the kernel's own words,
    *errno* its number, 0 where it has none.
    """

    def __init__(self, op: str, errno: int, reason: str) -> None:
        self.op, self.errno, self.reason = op, errno, reason
        super().__init__(f"{op}: {reason}" + (f" (errno {errno})" if errno else ""))


class VerifyError(PvenetError):
    """After an apply the kernel still differs from what was wanted."""

    def __init__(self, left: Iterable[object]) -> None:
        self.left = tuple(left)
        super().__init__("\n".join(["still to do after apply:", *(f"  {op}" for op in self.left)]))


class Unreachable(PvenetError):
    """After an apply, somebody does not answer any more; *silent* are they, as a person reads it.

    They were asked every *every* seconds, for *seconds*.
    """

    def __init__(self, silent: Iterable[str], seconds: float, every: float) -> None:
        self.silent = tuple(silent)
        tries = f"asked for {seconds:g} s, every {every:g} s"
        super().__init__(
            "\n".join([f"answered before the apply, and not after it ({tries}):", *(f"  {one}" for one in self.silent)])
        )


class Conflict(PvenetError):
    """The request does not fit the state the daemon is in."""


class CutsOff(Conflict):
    """A plan would take from the session that asks what it stands on; *losses* are that, a sentence each."""

    def __init__(self, losses: Iterable[str]) -> None:
        self.losses = tuple(losses)
        super().__init__(
            "\n".join(
                [
                    "this apply changes what your own session stands on:",
                    *(f"  {loss}" for loss in self.losses),
                    "use --confirm 60, which rolls it back unless you confirm it, or --yes",
                ]
            )
        )


class NotFound(PvenetError):
    """No such interface, guest or NIC."""


class NotKnown(PvenetError):
    """It is not known who asks: no credentials, or none that hold."""


class TooMany(PvenetError):
    """The same was asked too often; *seconds* are to pass before it is answered again."""

    def __init__(self, what: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"{what}: try again in {max(seconds, 1):.0f} s")


class Shortage(PvenetError, OSError):
    """The machine lacks what it takes now: a disk that can be written, descriptors, memory."""

    def __str__(self) -> str:
        where = f"{self.filename}: " if self.filename else ""
        return f"{where}{self.strerror}: this host cannot do it now"


class Full(Shortage):
    """There is no room on the disk."""


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_SHORT = frozenset({errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})


def shortage(error: OSError) -> Shortage | None:
    """Return what *error* is of the machine's, None where it says anything else."""
    if isinstance(error, Shortage):
        return error
    kind = Full if error.errno in _NO_ROOM else Shortage if error.errno in _SHORT else None
    return kind(error.errno, error.strerror, error.filename) if kind else None


class Unavailable(PvenetError):
    """The daemon does not answer, or did not within the deadline."""
