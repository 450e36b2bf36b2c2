"""What a command is: its words, its arguments, the request it makes, and how its answer is shown."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from pvenetd import __version__
from pvenetd.ctl.client import Request
from pvenetd.ctl.page import Block

_MOST_SECONDS = 86400


class Takes(Protocol):
    """What arguments are declared to: a parser, or who documents or completes them."""

    def add_argument(self, *names: Any, **facts: Any) -> Any:
        """Declare one."""


class Failing(Protocol):
    """What makes an exit status of a failure."""

    def __call__(self, status: int, arguments: argparse.Namespace, *, answered: bool) -> int:
        """Return the exit status; *answered* tells a refusal from a daemon that does not answer."""


class FileRequest(NamedTuple):
    """What is asked of one file: read, or edited, in this process, by this user."""

    what: str
    """``check``, ``list``, ``show``, ``create``, ``set`` or ``delete``."""
    file: str
    nics: str | None
    name: str = ""
    values: Mapping[str, Any] = MappingProxyType({})
    """What `name` is to have, by the API's keys."""


def everywhere(parser: Takes) -> None:
    """Declare the options that stand before or after a command."""
    absent = argparse.SUPPRESS
    parser.add_argument("--root", metavar="DIR", default=absent, help="directory that stands for / (PVENETD_ROOT)")
    parser.add_argument("--json", action="store_true", default=absent, help="print one JSON document")
    parser.add_argument("--version", action="version", version=f"pvenetctl {__version__}", help="print the version")


def _none(parser: Takes) -> None:
    del parser


def _done(data: Any) -> int:
    del data
    return 0


def _nothing(data: Any) -> Iterable[Block]:
    del data
    return ()


def _as_is(status: int, arguments: argparse.Namespace, *, answered: bool) -> int:
    del arguments, answered
    return status


def _never(body: dict[str, Any], arguments: argparse.Namespace) -> None:
    del body, arguments


def _ended(data: Any, arguments: argparse.Namespace, asked: Request) -> None:
    del data, arguments, asked


class Command(NamedTuple):
    """One command."""

    words: tuple[str, ...]
    help: str
    request: Callable[[argparse.Namespace], Request | FileRequest]
    show: Callable[[Any, argparse.Namespace], Iterable[Block]]
    arguments: Callable[[Takes], None] = _none
    offline: bool = False
    """Whether it also works with no daemon."""
    verdict: Callable[[Any], int] = _done
    """The exit status, by the answer."""
    failing: Failing = _as_is
    """The exit status, where it is refused, or there is no answer."""
    again: Callable[[dict[str, Any], argparse.Namespace], Request | None] = _never
    """What to ask next, after a refusal."""
    aside: Callable[[Any], Iterable[Block]] = _nothing
    """What is wrong beside it, for standard error."""
    further: Callable[[Any, argparse.Namespace, Request], Request | None] = _ended
    """What to ask next, after an answer that was shown: of what goes on."""
    live: bool = False
    """Whether one looks at it as it changes: it has ``--watch``."""
    rest: str = ""
    """Which argument takes words that stand after options, too."""
    itself: Callable[[argparse.Namespace], int] | None = None
    """What is run instead of a request, and returns the exit status."""

    def declare(self, parser: Takes) -> None:
        """Declare its arguments."""
        self.arguments(parser)
        if self.live:
            parser.add_argument(
                "--watch", metavar="SECONDS", nargs="?", const=2.0, type=_pause, help="show it again, every 2 s"
            )


def get(*path: str) -> Callable[[argparse.Namespace], Request]:
    """Return what asks for *path*."""
    return lambda _: Request("GET", path)


def post(*path: str) -> Callable[[argparse.Namespace], Request]:
    """Return what has *path* done."""
    return lambda _: Request("POST", path)


def given(**values: Any) -> dict[str, Any]:
    """Return the parameters that were typed."""
    return {name: value for name, value in values.items() if value is not None}


def number(text: str) -> int:
    """Return a VMID.  Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or not 100 <= int(text) <= 999_999_999:
        raise argparse.ArgumentTypeError(f"'{text}' should be a VMID: 100 to 999999999")
    return int(text)


def seconds(text: str) -> int:
    """Return how long an apply waits to be confirmed.  Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"'{text}' should be 1 to {_MOST_SECONDS} seconds")
    return int(text)


def _pause(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.1 <= found <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"'{text}' should be 0.1 to {_MOST_SECONDS} seconds")
    return found


def has_errors(data: dict[str, Any]) -> int:
    """Return the exit status of a list of problems."""
    return int(any(one["severity"] == "error" for one in data["problems"]))


def has_failed(data: dict[str, Any]) -> int:
    """Return the exit status of what was done for several owners."""
    return int(bool(data["failed"]))
