"""Options of a firewall, its index, and what is only read: macros, names that rules may refer to, the log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import WithJsonSchema, create_model
from typing_extensions import TypedDict

from pvenetd.api.firewall_scopes import Digest, Edited, Scope, Trees, edited
from pvenetd.api.packet_log import LogTotal, Page, page
from pvenetd.api.route import Beside, Params, Routes, words
from pvenetd.api.tasks import LogLine
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import EditError
from pvenetd.firewall.edit import Draft
from pvenetd.firewall.macros import MACROS
from pvenetd.firewall.options import OPTIONS, Option, checked
from pvenetd.firewall.values import Wrong

routes = Routes()
trees = Trees(routes)

_FLAGS = {"yes": "1", "on": "1", "true": "1", "no": "0", "off": "0", "false": "0"}
"""Booleans as the API takes them beside 0 and 1; in a file they are errors."""


class Options(Params):
    """Options by their names, and what goes."""

    delete: str | tuple[str, ...] = ()
    """Options that go: a list, or parted by commas."""
    digest: Digest = None


def _options(scope: Scope) -> type[Params]:
    """Return the options of a scope as parameters; their values are judged with all others."""
    fields: dict[str, Any] = {name: (_kind(option), None) for name, option in OPTIONS[scope.kind].items()}
    return create_model(f"{scope.name.title()}Options", __base__=Options, __doc__=Options.__doc__, **fields)


def _kind(option: Option) -> Any:
    facts: dict[str, Any] = {"type": "integer"} if option.is_number else {"type": "string"}
    facts |= {"enum": [0, 1]} if option.is_flag else {"enum": list(option.choices)} if option.choices else {}
    return Annotated[str | int | None, WithJsonSchema({**facts, "description": f"{option.takes.capitalize()}."})]


class Kind(Params):
    """Which names."""

    type: Literal["alias", "ipset"] | None = None
    """Of one kind alone."""


class Part(TypedDict):
    """What there is below a path."""

    name: str


class MacroRecord(TypedDict):
    """A service that rules may name."""

    macro: str
    descr: str


class RefRecord(TypedDict):
    """An alias or an IP set."""

    type: Literal["alias", "ipset"]
    name: str
    ref: str
    """How a rule names it."""
    scope: Literal["dc", "guest"]
    comment: NotRequired[str]


@trees.declare("GET", "")
async def index(daemon: Daemon, scope: Scope, params: Params) -> list[Part]:
    """Return what there is below this path."""
    scope.file(daemon, params)  # raises where there is no such guest
    return [{"name": part} for part in scope.parts]


@trees.declare("GET", "/options")
async def options(daemon: Daemon, scope: Scope, params: Params) -> dict[str, Any]:
    """Return the options that are set."""
    draft = daemon.rule_edits.draft(scope.file(daemon, params))
    known = OPTIONS[scope.kind]
    found = {name: _value(known[name], text) for name, text in draft.options().items() if name in known}
    return {**found, "digest": draft.digest("options")}


@trees.declare("PUT", "/options", _options)
async def set_options(daemon: Daemon, scope: Scope, params: Options) -> Edited:
    """Set options, only those that are sent, and drop those in ``delete``."""
    known = OPTIONS[scope.kind]
    given = {name: value for name in known if (value := getattr(params, name)) is not None}
    wrong: dict[str, str] = {}
    values: dict[str, str] = {}
    for name, value in given.items():
        try:
            values[name] = _text(known[name], value)
        except Wrong as error:
            wrong[name] = f"{error} ({error.hint})" if error.hint else str(error)
    dropped = words(params.delete)
    if unknown := [name for name in dropped if name not in known]:
        wrong["delete"] = f"no such option '{unknown[0]}'"
    wrong |= {name: "is to be set and to be deleted" for name in dropped if name in given}
    if wrong:
        raise EditError(wrong)

    def change(draft: Draft) -> None:
        for name in dropped:
            draft.set_option(name, None)
        for name, value in values.items():
            draft.set_option(name, value)

    return await edited(daemon, scope, params, change, ("options", ""), values=values)


@trees.declare("GET", "/macros")
async def macros(daemon: Daemon, scope: Scope, params: Params) -> list[MacroRecord]:
    """Return the macros that rules may name."""
    del daemon, scope, params
    return [{"macro": macro.name, "descr": macro.about} for macro in MACROS.values()]


@trees.declare("GET", "/refs")
async def refs(daemon: Daemon, scope: Scope, params: Kind) -> list[RefRecord]:
    """Return the aliases and IP sets that rules here may refer to, each as ``source`` and ``dest`` name it."""
    name = scope.file(daemon, params)
    own = _refs(daemon.rule_edits.draft(name), "guest") if scope.kind == "guest" else ()
    found = [*own, *_refs(daemon.rule_edits.draft("cluster"), "dc")]
    return [one for one in found if params.type in (None, one["type"])]


@trees.declare("GET", "/log")
async def lines(daemon: Daemon, scope: Scope, params: Page) -> Beside[list[LogLine], LogTotal]:
    """Return lines of the log in Proxmox VE's format, with their numbers from 1; a guest's alone where it is one's."""
    name = scope.file(daemon, params)
    return page(daemon, params, int(name) if name.isdigit() else None)


def _refs(draft: Draft, scope: Literal["dc", "guest"]) -> Iterator[RefRecord]:
    for kind, sign, found in (("alias", "", draft.aliases()), ("ipset", "+", draft.named("ipset"))):
        for one in found:
            record = {"type": kind, "name": one["name"], "ref": f"{sign}{scope}/{one['name']}", "scope": scope}
            yield cast("RefRecord", record | ({"comment": one["comment"]} if "comment" in one else {}))


def _value(option: Option, text: str) -> int | str:
    """Return the value of an option as the API has it: numbers are no texts; one that is wrong as it is written."""
    return int(text) if option.is_number and re.fullmatch("[0-9]{1,10}", text) else text


def _text(option: Option, value: str | int) -> str:
    """Return a value as it is written in the file.  Raises `Wrong`."""
    text = str(value).strip()
    return checked(option, _FLAGS.get(text.lower(), text) if option.is_flag else text)
