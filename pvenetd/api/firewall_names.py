"""Security groups, IP sets and aliases: made, renamed, described, deleted, as Proxmox VE has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from pvenetd.api.firewall_scopes import Digest, Edited, Numbers, Scope, Trees, edited
from pvenetd.api.route import Params, Routes
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import EditError, NotFound
from pvenetd.firewall.edit import Draft, Kind, same_address
from pvenetd.firewall.values import Wrong, addresses
from pvenetd.option import ZeroOne

routes = Routes()
trees = Trees(routes)

Comment = Annotated[str, Field(max_length=4096)] | None
"""One line; empty for none."""
_WHAT = {"group": "Security group", "ipset": "IPSet"}


class OneGroup(Params):
    """A security group."""

    group: str
    digest: Digest = None


class NewGroup(Numbers):
    """A group that is new, or has another name or comment."""

    group: Annotated[str, Field(max_length=18)]
    comment: Comment = None
    rename: str | None = None
    """The group that gets the name ``group``; that name itself, to change the comment alone."""
    digest: Digest = None


class OneName(Params):
    """A set or an alias by its name."""

    name: str


class NewSet(Numbers):
    """A set that is new, or has another name or comment."""

    name: Annotated[str, Field(max_length=64)]
    comment: Comment = None
    rename: str | None = None
    """The set that gets the name ``name``; that name itself, to change the comment alone."""
    digest: Digest = None


class GoneSet(OneName):
    """A set that goes."""

    force: bool = False
    """With all that is in it; else it has to be empty."""
    digest: Digest = None


class OneEntry(OneName):
    """An entry of a set."""

    cidr: str


class GoneEntry(OneEntry):
    """An entry that goes."""

    digest: Digest = None


class Entry(Numbers):
    """An entry of a set, and what is said of it."""

    name: str
    cidr: Annotated[str, Field(max_length=256)]
    """An address, a network, or an alias."""
    nomatch: bool | None = None
    """Whether it is left out of what a larger network of the set holds."""
    comment: Comment = None
    digest: Digest = None


class NewAlias(Numbers):
    """A name for addresses."""

    name: Annotated[str, Field(max_length=64)]
    cidr: Annotated[str, Field(max_length=256)]
    """An address, a network, or a range."""
    comment: Comment = None
    digest: Digest = None


class ChangedAlias(Numbers):
    """An alias, and what it is to be."""

    name: str
    cidr: Annotated[str, Field(max_length=256)] | None = None
    comment: Comment = None
    rename: Annotated[str, Field(max_length=64)] | None = None
    """Another name."""
    digest: Digest = None


class GoneAlias(OneName):
    """An alias that goes."""

    digest: Digest = None


class GroupRecord(TypedDict):
    """A security group."""

    group: str
    comment: NotRequired[str]
    digest: str
    """Of all of them."""


class SetRecord(TypedDict):
    """An IP set."""

    name: str
    comment: NotRequired[str]
    digest: str
    """Of all of them."""


class EntryRecord(TypedDict):
    """What is in an IP set."""

    cidr: str
    nomatch: NotRequired[ZeroOne]
    comment: NotRequired[str]
    digest: str
    """Of the set."""


class AliasRecord(TypedDict):
    """An alias."""

    name: str
    cidr: str
    ipversion: NotRequired[int]
    comment: NotRequired[str]
    digest: str
    """Of all of them."""


@trees.declare("GET", "/groups")
async def groups(daemon: Daemon, scope: Scope, params: Params) -> list[GroupRecord]:
    """Return the security groups."""
    draft = _draft(daemon, scope, params)
    digest = draft.digest("group")
    return [
        cast("GroupRecord", {"group": one["name"], **_comment(one), "digest": digest}) for one in draft.named("group")
    ]


@trees.declare("POST", "/groups")
async def create_group(daemon: Daemon, scope: Scope, params: NewGroup) -> Edited:
    """Make a security group; with ``rename`` change one, whose new name all files that use it follow."""
    return await _put(daemon, scope, params, "group", params.group)


@trees.declare("DELETE", "/groups/{group}")
async def delete_group(daemon: Daemon, scope: Scope, params: OneGroup) -> Edited:
    """Delete a security group that is empty and that nobody uses."""
    return await _delete(daemon, scope, params, "group", params.group)


@trees.declare("GET", "/ipset")
async def sets(daemon: Daemon, scope: Scope, params: Params) -> list[SetRecord]:
    """Return the IP sets."""
    draft = _draft(daemon, scope, params)
    digest = draft.digest("ipset")
    return [cast("SetRecord", {**one, "digest": digest}) for one in draft.named("ipset")]


@trees.declare("POST", "/ipset")
async def create_set(daemon: Daemon, scope: Scope, params: NewSet) -> Edited:
    """Make an IP set; with ``rename`` change one, whose new name all files that use it follow."""
    return await _put(daemon, scope, params, "ipset", params.name)


@trees.declare("DELETE", "/ipset/{name}")
async def delete_set(daemon: Daemon, scope: Scope, params: GoneSet) -> Edited:
    """Delete an IP set that nobody uses; with ``force`` one that is not empty, too."""
    return await _delete(daemon, scope, params, "ipset", params.name, force=params.force)


@trees.declare("GET", "/ipset/{name}")
async def entries(daemon: Daemon, scope: Scope, params: OneName) -> list[EntryRecord]:
    """Return what is in an IP set."""
    draft = _draft(daemon, scope, params)
    digest = draft.digest("ipset", params.name)
    found = [
        {**one, "digest": digest} | ({"nomatch": 1} if "nomatch" in one else {}) for one in draft.entries(params.name)
    ]
    return cast("list[EntryRecord]", found)


@trees.declare("GET", "/ipset/{name}/{cidr}")
async def entry(daemon: Daemon, scope: Scope, params: OneEntry) -> EntryRecord:
    """Return one entry of an IP set."""
    for one in await entries(daemon, scope, params):
        if same_address(one["cidr"], params.cidr):
            return one
    raise NotFound(f"no {params.cidr} in IP set {params.name}")


@trees.declare("POST", "/ipset/{name}")
async def create_entry(daemon: Daemon, scope: Scope, params: Entry) -> Edited:
    """Add an address, a network or an alias to an IP set."""
    return await _put_entry(daemon, scope, params, is_new=True)


@trees.declare("PUT", "/ipset/{name}/{cidr}")
async def update_entry(daemon: Daemon, scope: Scope, params: Entry) -> Edited:
    """Change an entry of an IP set: only what is sent of it."""
    return await _put_entry(daemon, scope, params, is_new=False)


@trees.declare("DELETE", "/ipset/{name}/{cidr}")
async def delete_entry(daemon: Daemon, scope: Scope, params: GoneEntry) -> Edited:
    """Take an entry out of an IP set."""
    part = ("ipset", params.name)
    return await edited(daemon, scope, params, lambda draft: draft.delete_entry(params.name, params.cidr), part)


@trees.declare("GET", "/aliases")
async def aliases(daemon: Daemon, scope: Scope, params: Params) -> list[AliasRecord]:
    """Return the aliases."""
    draft = _draft(daemon, scope, params)
    digest = draft.digest("aliases")
    return [_alias(one, digest) for one in draft.aliases()]


@trees.declare("POST", "/aliases")
async def create_alias(daemon: Daemon, scope: Scope, params: NewAlias) -> Edited:
    """Make an alias."""

    def change(draft: Draft) -> None:
        if any(one["name"].lower() == params.name.lower() for one in draft.aliases()):
            raise EditError({"name": f"alias '{params.name}' already exists"})
        draft.put_alias(params.name, params.cidr, params.comment)

    values = {"name": params.name, "cidr": params.cidr}
    return await edited(daemon, scope, params, change, ("aliases", ""), values=values)


@trees.declare("GET", "/aliases/{name}")
async def alias(daemon: Daemon, scope: Scope, params: OneName) -> AliasRecord:
    """Return one alias."""
    draft = _draft(daemon, scope, params)
    return _alias(draft.alias(params.name), draft.digest("aliases"))


@trees.declare("PUT", "/aliases/{name}")
async def update_alias(daemon: Daemon, scope: Scope, params: ChangedAlias) -> Edited:
    """Change an alias: only what is sent of it; all files that use it follow another name."""
    new = params.rename or params.name

    def change(draft: Draft) -> None:
        draft.alias(params.name)  # raises where there is none
        if new != params.name:
            draft.rename("aliases", params.name, new, scope.kind)
        draft.put_alias(new, params.cidr, params.comment)

    values = {"cidr": params.cidr or "", "rename": params.rename or ""}
    follow = _follow("aliases", params.name, new)
    return await edited(daemon, scope, params, change, ("aliases", ""), values=values, follow=follow)


@trees.declare("DELETE", "/aliases/{name}")
async def delete_alias(daemon: Daemon, scope: Scope, params: GoneAlias) -> Edited:
    """Delete an alias that nobody uses."""
    part = ("aliases", "")
    return await edited(daemon, scope, params, lambda draft: draft.delete_alias(params.name), part, gone="name")


async def _put(
    daemon: Daemon, scope: Scope, params: NewGroup | NewSet, kind: Literal["group", "ipset"], name: str
) -> Edited:
    """Make a group or a set, or change the one that ``rename`` names."""
    key, old = ("group" if kind == "group" else "name"), params.rename

    def change(draft: Draft) -> None:
        there = {one["name"].lower() for one in draft.named(kind)}
        if old is not None and old.lower() not in there:
            raise EditError({"rename": f"{_WHAT[kind]} '{old}' does not exist"})
        if name.lower() in there - {(old or "").lower()}:
            raise EditError({key: f"{_WHAT[kind]} '{name}' already exists"})
        if old is None:
            draft.create(kind, name, params.comment or "")
            return
        if old != name:
            draft.rename(kind, old, name, scope.kind)
        if params.comment is not None:
            draft.describe(kind, name, params.comment)

    follow = _follow(kind, old, name) if old else None
    return await edited(daemon, scope, params, change, (kind, ""), values={key: name}, follow=follow)


async def _delete(
    daemon: Daemon, scope: Scope, params: OneGroup | GoneSet, kind: Literal["group", "ipset"], name: str,
    *, force: bool = False,
) -> Edited:  # fmt: skip
    """Delete a group or a set."""
    key = "group" if kind == "group" else "name"

    def change(draft: Draft) -> None:
        if (draft.rules(name) if kind == "group" else draft.entries(name)) and not force:
            raise EditError({key: f"{_WHAT[kind]} '{name}' is not empty"})
        draft.delete(kind, name)

    return await edited(daemon, scope, params, change, (kind, ""), gone=key)


async def _put_entry(daemon: Daemon, scope: Scope, params: Entry, *, is_new: bool) -> Edited:
    def change(draft: Draft) -> None:
        is_there = any(same_address(one["cidr"], params.cidr) for one in draft.entries(params.name))
        if is_new and is_there:
            raise EditError({"cidr": f"address '{params.cidr}' already exists"})
        if not is_new and not is_there:
            raise NotFound(f"no {params.cidr} in IP set {params.name}")
        draft.put_entry(params.name, params.cidr, excluded=params.nomatch, comment=params.comment)

    values = {"cidr": params.cidr}
    return await edited(daemon, scope, params, change, ("ipset", params.name), values=values)


def _follow(kind: Kind, old: str, new: str) -> Any:
    """Return what has another file follow a name that is another now, None where it is not."""
    return (lambda draft: draft.follow(kind, old, new)) if old != new else None


def _draft(daemon: Daemon, scope: Scope, params: Params) -> Draft:
    return daemon.rule_edits.draft(scope.file(daemon, params))


def _comment(record: dict[str, str]) -> dict[str, str]:
    return {"comment": record["comment"]} if "comment" in record else {}


def _alias(record: dict[str, str], digest: str) -> AliasRecord:
    try:
        version = {"ipversion": addresses(record["cidr"]).version}
    except Wrong:
        version = {}
    return cast("AliasRecord", {**record, **version, "digest": digest})
