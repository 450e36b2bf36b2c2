"""``access``: log in, and API tokens, by Proxmox VE's paths and keys."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field, SecretStr
from typing_extensions import TypedDict

from pvenetd.access.names import REALM, ROOT
from pvenetd.access.tokens import Token, TokenFacts
from pvenetd.api.route import Caller, OfNode, Params, Routes
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import NotFound
from pvenetd.option import ZeroOne

routes = Routes()

_READ = {"dc": ("Sys.Audit",), "nodes": ("Sys.Audit",), "vms": ("VM.Audit",), "sdn": ("SDN.Audit", "SDN.Use")}
_WRITE = {"dc": ("Sys.Modify",), "nodes": ("Sys.Modify",), "vms": ("VM.Config.Network",), "sdn": ("SDN.Allocate",)}
"""What rights are called by Proxmox VE, where it asks for them."""


class Below(TypedDict):
    """A part of a path."""

    subdir: str


@routes.get("/access")
async def index(daemon: Daemon, params: Params) -> list[Below]:
    """Return what there is below."""
    del daemon, params
    return [{"subdir": name} for name in ("domains", "permissions", "ticket", "users")]


class Realm(TypedDict):
    """Where users are known."""

    realm: str
    type: str
    comment: str
    default: ZeroOne


@routes.get("/access/domains", public=True)
async def domains(daemon: Daemon, params: Params) -> list[Realm]:
    """Return where users are known: this host's own, by PAM."""
    del daemon, params
    return [{"realm": REALM, "type": REALM, "comment": "Linux PAM standard authentication", "default": 1}]


class Login(Params):
    """Who somebody is, and how he proves it."""

    username: Annotated[str, Field(min_length=1, max_length=64)]
    """``USER@REALM``."""
    password: Annotated[SecretStr, Field(max_length=4096)]
    """His password, or a ticket of his that still holds."""
    realm: Annotated[str, Field(max_length=32)] | None = None
    """The realm, where it is not in `username`."""
    new_format: Annotated[bool, Field(alias="new-format")] = False
    """Taken for the sake of Proxmox VE's clients: nobody is asked for a second factor here."""


class Ticket(TypedDict):
    """What who has logged in has to show from now on."""

    username: str
    ticket: str
    """The value of the cookie PVEAuthCookie."""
    CSRFPreventionToken: str
    """The header of this name, for a request that changes something."""
    cap: dict[str, dict[str, int]]
    """His rights, by Proxmox VE's names."""


@routes.get("/access/ticket", public=True)
async def no_ticket(daemon: Daemon, params: Params) -> None:
    """Return nothing: as with Proxmox VE, for login pages."""
    del daemon, params


@routes.post("/access/ticket", public=True)
async def ticket(daemon: Daemon, params: Login, caller: Caller) -> Ticket:
    """Return a ticket, which holds for two hours, and what a request with it has to carry to change something."""
    name, at, realm = params.username.rpartition("@")
    user = f"{name}@{realm}" if at else f"{realm}@{params.realm or REALM}"
    issued = await daemon.access.login(user, params.password.get_secret_value(), caller.where)
    may_write = bool(await daemon.access.rights(user))
    return {
        "username": user,
        "ticket": issued,
        "CSRFPreventionToken": daemon.access.guard(issued),
        "cap": {part: dict.fromkeys(names, 1) for part, names in _rights(may_write=may_write).items()},
    }


class Permissions(Params):
    """Whose rights, and where."""

    path: Annotated[str, Field(max_length=256)] = "/"
    userid: Annotated[str, Field(max_length=128)] | None = None
    """Only who asks is told of."""


@routes.get("/access/permissions")
async def permissions(daemon: Daemon, params: Permissions, caller: Caller) -> dict[str, dict[str, int]]:
    """Return what who asks may do, by Proxmox VE's names; it is the same everywhere."""
    del daemon
    names = [name for part in _rights(may_write=caller.may_write).values() for name in part]
    return {params.path: dict.fromkeys(names, 1)}


def _rights(*, may_write: bool) -> dict[str, tuple[str, ...]]:
    return {part: names + (_WRITE[part] if may_write else ()) for part, names in _READ.items()}


class Listed(TokenFacts):
    """A token among its user's."""

    tokenid: str


class User(TypedDict):
    """A user."""

    userid: str
    enable: ZeroOne
    expire: int
    tokens: NotRequired[list[Listed]]


class Users(Params):
    """Which users, and what of them."""

    full: bool = False
    """With their tokens."""
    enabled: bool | None = None
    """Those that may log in, or those that may not: all may."""


@routes.get("/access/users")
async def users(daemon: Daemon, params: Users) -> list[User]:
    """Return root, and who else has tokens."""
    if params.enabled is False:
        return []
    found: list[User] = [{"userid": name, "enable": 1, "expire": 0} for name in _users(daemon)]
    if params.full:
        for user in found:
            user["tokens"] = [_listed(token) for token in daemon.access.tokens(user["userid"])]
    return found


def _users(daemon: Daemon) -> list[str]:
    return sorted({ROOT, *(token.user for token in daemon.access.tokens())})


class OfUser(Params):
    """A user."""

    userid: Annotated[str, Field(max_length=128)]


class OneUser(TypedDict):
    """A user by himself."""

    enable: ZeroOne
    expire: int
    tokens: dict[str, TokenFacts]


@routes.get("/access/users/{userid}")
async def user(daemon: Daemon, params: OfUser) -> OneUser:
    """Return one of those users, with his tokens."""
    if params.userid not in _users(daemon):
        raise NotFound(f"no such user: '{params.userid}'")
    tokens = {token.id: token.record() for token in daemon.access.tokens(params.userid)}
    return {"enable": 1, "expire": 0, "tokens": tokens}


class OfToken(OfUser):
    """A token of a user's."""

    tokenid: Annotated[str, Field(max_length=64)]


class NewToken(OfToken):
    """What a token is to be."""

    comment: Annotated[str, Field(max_length=256)] = ""
    expire: Annotated[int, Field(ge=0, lt=2**40)] = 0
    """When it ends, in seconds since 1970; 0 is never."""
    privsep: bool = True
    """Whether it only reads; without, it has its user's rights."""


class ChangedToken(OfToken):
    """What becomes another of a token."""

    comment: Annotated[str, Field(max_length=256)] | None = None
    expire: Annotated[int, Field(ge=0, lt=2**40)] | None = None
    privsep: bool | None = None


class Everybodys(Listed):
    """A token among all."""

    userid: str


Created = TypedDict("Created", {"full-tokenid": str, "info": TokenFacts, "value": str})
"""A token that was made just now."""


@routes.get("/access/users/{userid}/token")
async def token_list(daemon: Daemon, params: OfUser) -> list[Listed]:
    """Return a user's tokens, without their secrets, which nobody keeps."""
    return [_listed(token) for token in daemon.access.tokens(params.userid)]


def _listed(token: Token) -> Listed:
    return {**token.record(), "tokenid": token.id}


@routes.get("/access/users/{userid}/token/{tokenid}")
async def token(daemon: Daemon, params: OfToken) -> TokenFacts:
    """Return one token, without its secret."""
    return daemon.access.token(params.userid, params.tokenid).record()


@routes.post("/access/users/{userid}/token/{tokenid}")
async def create(daemon: Daemon, params: NewToken) -> Created:
    """Make a token; return its secret, this once."""
    name = f"{params.userid}!{params.tokenid}"
    wanted = Token(name, "", not params.privsep, params.expire, params.comment)
    return {"full-tokenid": name, "info": wanted.record(), "value": await daemon.access.create(wanted)}


@routes.put("/access/users/{userid}/token/{tokenid}")
async def change(daemon: Daemon, params: ChangedToken) -> TokenFacts:
    """Change a token, and not its secret."""
    changes: dict[str, Any] = {"comment": params.comment, "expire": params.expire}
    changes["may_write"] = None if params.privsep is None else not params.privsep
    given = {name: value for name, value in changes.items() if value is not None}
    return daemon.access.change(params.userid, params.tokenid, **given).record()


@routes.delete("/access/users/{userid}/token/{tokenid}")
async def delete(daemon: Daemon, params: OfToken) -> None:
    """Forget a token: it opens nothing from now on."""
    daemon.access.delete(params.userid, params.tokenid)


@routes.get("/nodes/{node}/pvenetd/tokens")
async def every_token(daemon: Daemon, params: OfNode) -> list[Everybodys]:
    """Return every user's tokens."""
    del params
    return [{**token.record(), "userid": token.user, "tokenid": token.id} for token in daemon.access.tokens()]
