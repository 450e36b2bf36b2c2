"""pvenetctl's command line: what was typed → a request → what is printed, and the exit status.

0: done.  1: refused or failed, standard error says why.  2: wrong usage.
Only the standard library's lightest modules at the top: it starts in some 40 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from pvenetd.ctl import page
from pvenetd.ctl.client import NoAnswerError, NoDaemonError, RefusedError, Request, ask
from pvenetd.ctl.command import Command, FileRequest, everywhere
from pvenetd.ctl.commands import GROUPS, MODULES

_BY_KEY = "Parameter verification failed."
"""What the API says of an edit whose reasons stand by key."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["complete"]:
        return _complete(words[1:])
    usual = argparse.Namespace(root=os.environ.get("PVENETD_ROOT") or "/", json=False)
    arguments = _parsed(parser(_commands(words)), words, usual)
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        status = run(arguments)
        sys.stdout.flush()
    except (NoDaemonError, NoAnswerError) as error:
        command: Command = arguments.command
        return command.failing(_complain(str(error), arguments), arguments, answered=False)
    except argparse.ArgumentTypeError as error:
        _complain(f"pvenetctl: error: {error}", arguments)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what head(1) did not want
        return 0
    except KeyboardInterrupt:
        return 130
    return status


def _parsed(found: argparse.ArgumentParser, words: list[str], usual: argparse.Namespace) -> argparse.Namespace:
    """Return what was typed; argparse itself has all words of a list stand on one side of the options."""
    arguments, more = found.parse_known_args(words, usual)
    if more and (not arguments.command.rest or more[0].startswith("-")):
        found.error(f"unrecognized arguments: {' '.join(more)}")
    if more:
        setattr(arguments, arguments.command.rest, [*getattr(arguments, arguments.command.rest), *more])
    return arguments


def _commands(words: list[str]) -> Iterable[Command]:
    """Return the commands that *words* may ask for: a guest's start waits for a hook, which needs few of them."""
    first = next((word for word in words if word in MODULES), "")
    before = words[: words.index(first)] if first else []
    if not first or not (before in ([], ["--json"]) or (len(before) == 2 and before[0] == "--root")):
        from pvenetd.ctl.commands import every

        return every.COMMANDS
    found = (import_module(f"pvenetd.ctl.commands.{name}").COMMANDS for name in MODULES[first])
    return [command for commands in found for command in commands if command.words[0] == first]


def parser(commands: Iterable[Command]) -> argparse.ArgumentParser:
    """Return the reader of the command line; --help, the man page and the completions are made from it."""
    shared = argparse.ArgumentParser(add_help=False)
    everywhere(shared)
    top = argparse.ArgumentParser(
        prog="pvenetctl",
        description="Look at and change the network of a KVM host that pvenetd keeps.",
        epilog="Exit status: 0 done; 1 refused or failed, standard error says why; 2 wrong usage.",
        parents=[shared],
    )
    below: dict[tuple[str, ...], Any] = {(): top.add_subparsers(metavar="COMMAND", required=True)}
    for command in commands:
        group = command.words[:-1]
        for end in range(1, len(group) + 1):
            if group[:end] not in below:
                about = GROUPS[" ".join(group[:end])]
                parent = below[group[: end - 1]].add_parser(
                    group[end - 1], help=about, description=_sentence(about), parents=[shared]
                )
                below[group[:end]] = parent.add_subparsers(metavar="COMMAND", required=True)
        found = below[group].add_parser(
            command.words[-1], help=command.help, description=_sentence(command.help), parents=[shared]
        )
        command.declare(found)
        found.set_defaults(command=command)
    return top


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print the answer.  Raises `NoDaemonError`, `NoAnswerError`."""
    command: Command = arguments.command
    if command.itself:
        return command.itself(arguments)
    if command.live and arguments.watch:
        from pvenetd.ctl.watch import watch

        return watch(arguments.watch, lambda: _turn(command, command.request(arguments), arguments)[0])
    status, further = _turn(command, command.request(arguments), arguments)
    if not further:
        return status
    from pvenetd.ctl.follow import follow

    try:
        follow(arguments.root, further, lambda data: _show(command, data, arguments))
    except RefusedError as error:
        return _refused(error.body, arguments)
    return 0


def _turn(
    command: Command, request: Request | FileRequest, arguments: argparse.Namespace
) -> tuple[int, Request | None]:
    """Ask once, and print the answer; return the exit status, and what is asked next."""
    status, body = _answer(command, request, arguments.root)
    if status >= 400 and (more := command.again(dict(body), arguments)):
        status, body = _answer(command, more, arguments.root)
    if status >= 400:  # HTTP: refused
        return command.failing(_refused(body, arguments), arguments, answered=True), None
    data = body["data"]
    page.write(command.aside(data), sys.stderr)
    page.write(
        (f"written, but {owner} is as it was: {text}" for owner, text in body.get("failed", {}).items()), sys.stderr
    )
    further = command.further(data, arguments, request) if isinstance(request, Request) else None
    if data or not further or not arguments.json:
        _show(command, data, arguments)
    return (0 if further else command.verdict(data) or int("failed" in body)), further


def _show(command: Command, data: Any, arguments: argparse.Namespace) -> None:
    """Print an answer."""
    if arguments.json:
        sys.stdout.write(f"{json.dumps(data)}\n")
    else:
        page.write(command.show(data, arguments), sys.stdout)
    sys.stdout.flush()


def _answer(command: Command, request: Request | FileRequest, root: str) -> tuple[int, Mapping[str, Any]]:
    if isinstance(request, Request):
        try:
            return _asked(root, request)
        except NoDaemonError:
            if not command.offline:
                raise
    from pvenetd.ctl import offline

    return offline.answer(root, request)


def _asked(root: str, request: Request) -> tuple[int, Mapping[str, Any]]:
    """Ask the daemon; who waits at a terminal sees how far it is, or that nobody answers."""
    if not sys.stderr.isatty():
        return ask(root, request)
    from pvenetd.ctl.progress import Progress

    progress = Progress(root)
    try:
        return ask(root, request, progress.show)
    finally:
        progress.end()


def _complete(words: list[str]) -> int:
    """Print what may stand in the place of the last of *words*: for shells."""
    from pvenetd.ctl.complete import candidates

    page.write(candidates(words), sys.stdout)
    return 0


def _refused(body: Mapping[str, Any], arguments: argparse.Namespace) -> int:
    """Tell why it was refused: every problem with its line, or every parameter with its reason."""
    lines = [str(body.get("message", "refused"))]
    if body.get("problems") and lines[0] != _BY_KEY:
        lines = [_problem(one) for one in body["problems"]] + ([body["outcome"]] if body.get("outcome") else [])
    elif body.get("errors"):
        lines = [f"{field}: {reason}" for field, reason in body["errors"].items()]
    return _complain("\n".join(lines), arguments, body)


def _problem(one: dict[str, Any]) -> str:
    from pvenetd.ctl.show import problem

    return problem(one)


def _complain(text: str, arguments: argparse.Namespace, body: Mapping[str, Any] | None = None) -> int:
    sys.stderr.write(f"{page.clean(text)}\n")
    if arguments.json:
        told = {"message": text, **{key: value for key, value in (body or {}).items() if key != "data"}}
        sys.stdout.write(f"{json.dumps(told)}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
