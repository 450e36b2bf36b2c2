"""Whose firewall it is: the trees of Proxmox VE's API, each with its file, and a way to declare a request in many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypeVar, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, create_model
from typing_extensions import TypedDict

from pvenetd.api.guests import OfGuest
from pvenetd.api.route import Beside, OfNode, Params, Route, Routes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.rule_edits import Change
from pvenetd.errors import NotFound
from pvenetd.firewall import options
from pvenetd.names import is_ifname

Digest = Annotated[str, Field(max_length=64)] | None
"""What was told with what was read: another text since then refuses the request."""


def _bridge(text: str) -> str:
    if not is_ifname(text) or text.isdigit() or text in ("cluster", "host") or text.startswith("."):
        raise ValueError("is no name of a bridge")
    return text


Bridge = Annotated[
    str, AfterValidator(_bridge), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.-]{0,14}$"})
]


class OfBridge(OfNode):
    """A request about what is forwarded in a bridge."""

    bridge: Bridge


class OfVnet(Params):
    """A request about what is forwarded in a VNet: the bridge of that name."""

    vnet: Bridge


class Numbers(Params):
    """Parameters whose texts may be sent as numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


@dataclass(frozen=True, slots=True)
class Scope:
    """One firewall, below its path."""

    name: str
    prefix: str
    params: type[Params]
    kind: options.Scope
    file: Callable[[Daemon, Any], str]
    """Returns the file's name, without ``.fw``.  Raises `NotFound`."""
    parts: tuple[str, ...]


def _vm(daemon: Daemon, params: OfGuest) -> str:
    guest = daemon.store.guest(params.vmid)
    if guest is None or guest.source == "lxc":
        raise NotFound(f"no VM {params.vmid}")
    return str(params.vmid)


def _container(daemon: Daemon, params: OfGuest) -> str:
    guest = daemon.store.guest(params.vmid)
    if guest is None or guest.source != "lxc":
        raise NotFound(f"no container {params.vmid}")
    return str(params.vmid)


_OF_GUEST = ("rules", "aliases", "ipset", "options", "refs", "log")
_OF_BRIDGE = ("rules", "options", "refs")
_OWN = "/nodes/{node}/pvenetd/firewall"
SCOPES = (
    Scope(
        "cluster",
        "/cluster/firewall",
        Params,
        "cluster",
        lambda *_: "cluster",
        ("groups", "rules", "ipset", "aliases", "options", "macros", "refs"),
    ),
    Scope("node", "/nodes/{node}/firewall", OfNode, "host", lambda *_: "host", ("rules", "options", "log")),
    Scope("vm", "/nodes/{node}/qemu/{vmid}/firewall", OfGuest, "guest", _vm, _OF_GUEST),
    Scope("container", "/nodes/{node}/lxc/{vmid}/firewall", OfGuest, "guest", _container, _OF_GUEST),
    # For who writes a guest's rules before there is the guest, or does not know what kind of guest it is.
    Scope("guest", f"{_OWN}/guest/{{vmid}}", OfGuest, "guest", lambda _, asked: str(asked.vmid), _OF_GUEST),
    Scope("bridge", f"{_OWN}/bridge/{{bridge}}", OfBridge, "bridge", lambda _, asked: str(asked.bridge), _OF_BRIDGE),
    Scope(
        "vnet",
        "/cluster/sdn/vnets/{vnet}/firewall",
        OfVnet,
        "bridge",
        lambda _, asked: str(asked.vnet),
        _OF_BRIDGE,
    ),
)

More = type[Params] | Callable[[Scope], type[Params]]
Asked = TypeVar("Asked", bound=Callable[[Daemon, Scope, Any], Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class Trees:
    """Requests that are the same in every tree that has their part."""

    routes: Routes

    def declare(self, method: str, path: str, more: More = Params) -> Callable[[Asked], Asked]:
        """Declare a request below every prefix that has the first part of *path*.

        *more* are parameters beside, or tell them of a scope.
        """

        def declare(ask: Asked) -> Asked:
            for scope in SCOPES:
                if not path or path.split("/")[1] in scope.parts:
                    self.routes.rows.append(_route(method, path, ask, scope, more))
            return ask

        return declare


_made: Callable[..., type[Params]] = create_model


def _route(
    method: str, path: str, ask: Callable[[Daemon, Scope, Any], Awaitable[Any]], scope: Scope, more: More
) -> Route:
    hints = get_type_hints(ask)
    beside = more if isinstance(more, type) else more(scope)
    wanted = [one for one in (hints["params"], beside, scope.params) if one is not Params]
    bases = tuple(one for one in wanted if not any(other is not one and issubclass(other, one) for other in wanted))
    name = f"{scope.name}_{'group_' if '/groups/{group}' in path else ''}{ask.__name__}"
    wants = _made(name.title().replace("_", ""), __base__=bases or (Params,), __doc__=hints["params"].__doc__)

    async def asked(daemon: Daemon, params: Any) -> Any:
        return await ask(daemon, scope, params)

    asked.__name__, asked.__doc__, asked.__module__ = name, ask.__doc__, ask.__module__
    asked.__annotations__ = {"daemon": Daemon, "params": wants, "return": hints["return"]}
    return Route(method, f"{scope.prefix}{path}", asked, wants, hints["return"])


class Told(TypedDict):
    """Beside the answer to an edit."""

    failed: NotRequired[dict[str, str]]
    """By owner (``firewall``, ``vm:100``), why what is written does not count yet."""


Edited = Beside[None, Told]


async def edited(
    daemon: Daemon, scope: Scope, params: Any, change: Change, part: tuple[str, str], **more: Any
) -> Edited:
    """Edit a file; the digest that was sent is of a *part* of it, kind and name; *more* as `RuleEdits.edit` takes."""
    file = scope.file(daemon, params)
    failed = await daemon.rule_edits.edit(file, change, part=part, digest=params.digest, **more)
    return Beside(None, {"failed": failed} if failed else {})
