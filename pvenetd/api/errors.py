"""Errors → answers: one table."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from pvenetd.daemon.interfaces import ProblemRecord, problem_record
from pvenetd.errors import (
    ConfigError,
    Conflict,
    CutsOff,
    EditError,
    Full,
    KernelError,
    NotFound,
    NotKnown,
    PvenetError,
    Shortage,
    TooMany,
    Unavailable,
    Unreachable,
    VerifyError,
)


class BadParametersError(EditError):
    """Parameters of a request are wrong: all of them, by name."""


class ForbiddenError(PvenetError):
    """Who asks may not."""


class NoMethodError(PvenetError):
    """The path is there, and not for this method."""


class TooLargeError(PvenetError):
    """More was sent than is read."""


class TooSlowError(PvenetError):
    """What was to be sent did not come in time."""


STATUS: dict[type[PvenetError], int] = {
    EditError: 400,
    ConfigError: 400,
    NotKnown: 401,
    ForbiddenError: 403,
    NotFound: 404,
    NoMethodError: 405,
    TooSlowError: 408,
    Conflict: 409,
    TooLargeError: 413,
    TooMany: 429,
    KernelError: 500,
    VerifyError: 500,
    Unreachable: 500,
    Unavailable: 503,
    Shortage: 503,
    Full: 507,
}
"""Class → HTTP status; a subclass has its base's where it has none of its own."""


class Refusal(TypedDict):
    """An answer that is no."""

    data: None
    message: str
    """What is wrong, in lines for people."""
    errors: NotRequired[dict[str, str]]
    """What is wrong, by parameter, or by option, interface or file of the configuration."""
    problems: NotRequired[list[ProblemRecord]]
    """What is wrong with the configuration, each with its line."""
    outcome: NotRequired[str]
    """What has become of the host, where something had begun."""
    losses: NotRequired[list[str]]
    """What the caller's own session stands on and would lose, a sentence each."""


def refusal(error: PvenetError) -> tuple[int, Refusal]:
    """Return the status and the record that tell *error*, and what has become of the host."""
    status = next((STATUS[kind] for kind in type(error).mro() if kind in STATUS), 500)
    body: Refusal = {"data": None, "message": str(error)}
    if error.outcome:
        body["message"], body["outcome"] = f"{error}\n{error.outcome}", error.outcome
    if isinstance(error, EditError):
        body["errors"] = error.errors
        if error.problems:
            body["problems"] = [problem_record(problem) for problem in error.problems]
    if isinstance(error, CutsOff):
        body["losses"] = list(error.losses)
    if isinstance(error, ConfigError):
        body["problems"] = [problem_record(problem) for problem in error.problems]
        body["errors"] = _by_field(error)
    return status, body


def _by_field(error: ConfigError) -> dict[str, str]:
    """Return what is wrong by option, or by interface or file where it is about no option."""
    found: dict[str, list[str]] = {}
    for problem in error.problems:
        found.setdefault(problem.option or problem.interface or problem.path, []).append(
            problem.message + (f" ({problem.hint})" if problem.hint else "")
        )
    return {field: "; ".join(texts) for field, texts in found.items()}
