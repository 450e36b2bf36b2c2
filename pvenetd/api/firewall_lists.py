"""Rules, of a file and of a security group: by their position, as Proxmox VE has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Required, cast

from pydantic import Field
from typing_extensions import TypedDict

from pvenetd.api.firewall_scopes import Digest, Edited, Numbers, Scope, Trees, edited
from pvenetd.api.route import Params, Routes, words
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import EditError, NotFound
from pvenetd.firewall.edit import Draft
from pvenetd.firewall.fields import KEYS, checked
from pvenetd.firewall.rule import Place
from pvenetd.firewall.rule_check import field_of, unknown_names, wrong_fields
from pvenetd.option import ZeroOne

routes = Routes()
trees = Trees(routes)

Position = Annotated[int, Field(ge=0, le=1_000_000)]
"""0 is the first rule."""
_NOTHING = ("", "-")
"""Values that stand for none, as Proxmox VE's own clients send them."""
_NEEDED = ("type", "action")


class Rule(Numbers):
    """What a rule says; a value that is empty, or ``-``, is none."""

    type: Annotated[str, Field(json_schema_extra={"enum": ["in", "out", "forward", "group"]})] | None = None
    action: Annotated[str, Field(max_length=20)] | None = None
    """ACCEPT, DROP or REJECT; of the type ``group`` a security group's name."""
    macro: Annotated[str, Field(max_length=128)] | None = None
    """A service by its name, ``SSH``: see ``cluster/firewall/macros``."""
    iface: Annotated[str, Field(max_length=128)] | None = None
    """``net0`` of a guest; of a host any interface's name."""
    source: Annotated[str, Field(max_length=4096)] | None = None
    """Addresses and networks with commas, a range, an alias, or ``+`` and a set's name."""
    dest: Annotated[str, Field(max_length=4096)] | None = None
    """Likewise."""
    proto: str | None = None
    """A name or number of /etc/protocols, or icmpv6."""
    sport: str | None = None
    """Source ports: numbers, names of /etc/services, ranges ``80:85``, with commas."""
    dport: str | None = None
    """Destination ports, likewise."""
    icmp_type: Annotated[str | None, Field(alias="icmp-type")] = None
    """A name of iptables(8), a number, or ``type/code``."""
    log: str | None = None
    """emerg to debug, or nolog."""
    enable: bool | None = None
    """Whether it is asked."""
    comment: Annotated[str, Field(max_length=4096)] | None = None
    """One line."""
    digest: Digest = None

    def values(self) -> dict[str, str]:
        """Return what is sent of the rule, by the API's keys."""
        sent = {key: getattr(self, key.replace("-", "_")) for key in KEYS}
        return {key: str(int(one)) if key == "enable" else one for key, one in sent.items() if one is not None}


class OfGroup(Params):
    """A security group's rules."""

    group: str


class NewRule(Rule):
    """A rule that is new."""

    before: Position = 0
    """Where it comes to stand: before the rule that is there now; behind the last where there is none."""
    pos: Position | None = None
    """Taken for the sake of Proxmox VE's clients, which expect it to change nothing: a new rule is the first."""


class OneRule(Params):
    """A rule by its position."""

    pos: Position


class GoneRule(OneRule):
    """A rule that goes."""

    digest: Digest = None


class ChangedRule(Rule):
    """A rule, and what it is to say."""

    pos: Position
    moveto: Position | None = None
    """Where it is to stand: before the rule that is there now; nothing else is looked at then."""
    delete: str | tuple[str, ...] = ()
    """Keys that go: a list, or parted by commas."""


RuleRecord = TypedDict(
    "RuleRecord",
    {
        "pos": Required[int],
        "type": str,
        "action": str,
        "macro": str,
        "iface": str,
        "source": str,
        "dest": str,
        "proto": str,
        "sport": str,
        "dport": str,
        "icmp-type": str,
        "log": str,
        "enable": ZeroOne,
        "comment": str,
        "digest": str,
        "errors": dict[str, str],
    },
    total=False,
)


@trees.declare("GET", "/groups/{group}", OfGroup)
@trees.declare("GET", "/rules")
async def rules(daemon: Daemon, scope: Scope, params: Params) -> list[RuleRecord]:
    """Return the rules in their order; ``errors`` of one tells what is wrong with it."""
    name, group = scope.file(daemon, params), _group(params)
    draft, wrong = daemon.rule_edits.draft(name), daemon.rule_edits.problems(name)
    digest = draft.digest(*_part(group))
    found = []
    for pos, (row, rule) in enumerate(zip(draft.rule_rows(group), draft.rules(group), strict=True)):
        errors = {field_of(one.message, rule) or "action": one.message for one in wrong.get(row + 1, ())}
        record = {**rule, "pos": pos, "enable": int(rule["enable"]), "digest": digest}
        found.append(record | ({"errors": errors} if errors else {}))
    return cast("list[RuleRecord]", found)


@trees.declare("POST", "/groups/{group}", OfGroup)
@trees.declare("POST", "/rules")
async def create_rule(daemon: Daemon, scope: Scope, params: NewRule) -> Edited:
    """Insert a rule, as the first unless ``before`` says where; without ``enable`` it is off, as in Proxmox VE."""
    group, values = _group(params), {"enable": "0", **_said(params.values())}
    names = daemon.rule_edits.names(scope.file(daemon, params))

    def change(draft: Draft) -> None:
        draft.rules(group)  # raises where there is no such group
        _require(values, unknown_names(values, names), _place(scope, group))
        draft.insert_rule(params.before, values, group)

    return await edited(daemon, scope, params, change, _part(group), values=values)


@trees.declare("GET", "/groups/{group}/{pos}", OfGroup)
@trees.declare("GET", "/rules/{pos}")
async def rule(daemon: Daemon, scope: Scope, params: OneRule) -> RuleRecord:
    """Return one rule."""
    found = await rules(daemon, scope, params)
    return found[_known(params.pos, found)]


@trees.declare("PUT", "/groups/{group}/{pos}", OfGroup)
@trees.declare("PUT", "/rules/{pos}")
async def update_rule(daemon: Daemon, scope: Scope, params: ChangedRule) -> Edited:
    """Change a rule, only what is sent of it, or move it."""
    group, sent = _group(params), params.values()
    values = _said(sent)
    dropped = {*words(params.delete), *(sent.keys() - values.keys())}
    names = daemon.rule_edits.names(scope.file(daemon, params))

    def change(draft: Draft) -> None:
        if params.moveto is not None:
            draft.move_rule(params.pos, params.moveto, group)
            return
        rules = draft.rules(group)
        before = rules[_known(params.pos, rules)]
        wrong = unknown_names(values, names)
        wrong |= {key: "is to be set and to be deleted" for key in dropped if key in values}
        wrong |= {key: "a rule cannot be without it" for key in dropped if key in (*_NEEDED, "enable")}
        if unknown := sorted(dropped.difference(KEYS)):
            wrong["delete"] = f"no rule has {', '.join(unknown)}"
        after = {key: one for key, one in {**before, **values}.items() if key not in dropped}
        _require(after, wrong, _place(scope, group))
        draft.change_rule(params.pos, values, dropped, group)

    return await edited(daemon, scope, params, change, _part(group), values=values)


@trees.declare("DELETE", "/groups/{group}/{pos}", OfGroup)
@trees.declare("DELETE", "/rules/{pos}")
async def delete_rule(daemon: Daemon, scope: Scope, params: GoneRule) -> Edited:
    """Delete a rule."""
    group = _group(params)
    return await edited(daemon, scope, params, lambda draft: draft.delete_rule(params.pos, group), _part(group))


def _group(params: Params) -> str:
    return str(getattr(params, "group", ""))


def _part(group: str) -> tuple[str, str]:
    return ("group", group) if group else ("rules", "")


def _place(scope: Scope, group: str) -> Place:
    return "group" if group else scope.kind


def _said(values: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value not in _NOTHING}


def _known(pos: int, rules: Sequence[object]) -> int:
    if pos >= len(rules):
        raise NotFound(f"no rule at position {pos}")
    return pos


def _require(values: dict[str, str], wrong: dict[str, str], place: Place) -> None:
    """Raise `EditError` with all that is wrong with a rule, *wrong* among it."""
    found = dict.fromkeys((key for key in _NEEDED if not values.get(key)), "property is missing and it is not optional")
    try:
        checked(values)
    except EditError as error:
        found |= error.errors
    whole = {"type": "in", "action": "DROP", **{key: one for key, one in values.items() if key not in found}}
    found = {**wrong_fields(whole, place), **found, **wrong}
    if found:
        raise EditError(found)
