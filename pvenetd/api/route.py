"""A request is a row: method, path, a model of its parameters, a function; what comes of it is a status and a record.

Nothing here knows HTTP's bytes: the server asks `answer`, and so does pvenetctl where no daemon runs.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, TypeVar, get_type_hints
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from pvenetd.api.errors import BadParametersError, ForbiddenError, NoMethodError
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import NotFound, NotKnown, PvenetError
from pvenetd.management import Session
from pvenetd.names import is_ifname

PREFIX = "/api2/json"
SOCKET = "socket"
"""Where local programs come from."""
SLASHED = "{cidr}"
"""A part of a path that Proxmox VE's clients send with its slash as it is."""


class Params(BaseModel):
    """Parameters of a request, those of its path among them; what is not declared is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    judges: ClassVar[bool] = False
    """Whether it takes undeclared parameters, and judges their values itself."""
    texts: ClassVar[frozenset[str]] = frozenset()
    """Parameters that are texts of several lines."""

    @classmethod
    def undeclared(cls) -> dict[str, Any]:
        """Return, in JSON Schema's words, what undeclared parameters it takes."""
        return {}


class OfNode(Params):
    """A request below ``nodes/{node}``."""

    node: str
    """``localhost`` or the host's name."""


def _ifname(text: str) -> str:
    if not is_ifname(text.partition(":")[0]):
        raise ValueError("is no name of an interface")
    return text


Iface = Annotated[
    str, AfterValidator(_ifname), WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z0-9_.-]{1,15}(:[0-9]+)?$"})
]
"""An interface's name, an alias's (``eth0:1``) too."""
Vmid = Annotated[int, Field(ge=100, le=999_999_999)]
NET_N = r"^net([0-9]|[12][0-9]|3[01])$"
NetN = Annotated[str, Field(pattern=NET_N)]
"""A guest's NIC: ``net0`` to ``net31``."""


def index_of(nic: str | None) -> int | None:
    """Return the N of netN."""
    return None if nic is None else int(nic.removeprefix("net"))


def words(text: str | Collection[str]) -> tuple[str, ...]:
    """Return a list of the API: parted by blanks, commas or semicolons."""
    return tuple(filter(None, re.split(r"[\s,;]+", text))) if isinstance(text, str) else tuple(text)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    """A user of this host at the socket, ``USER@REALM`` or ``USER@REALM!TOKEN`` elsewhere."""
    may_write: bool
    where: str = SOCKET
    """The address that the request comes from."""
    session: Session | None = None
    """The two ends of the connection, where it comes by the network."""
    refusal: str = ""
    """Why it is not known who asks: such a caller is let to what is `public` alone."""


Data = TypeVar("Data")
More = TypeVar("More", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Beside(Generic[Data, More]):
    """An answer with more than its data."""

    data: Data
    more: More


Wanted = TypeVar("Wanted", bound=Params)
Asked = TypeVar("Asked", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked."""

    method: str
    path: str
    """``/nodes/{node}/network``, below `PREFIX`."""
    ask: Callable[..., Awaitable[Any]]
    """Its docstring documents the request, its annotations what is given and answered."""
    params: type[Params]
    answers: Any
    """The type of the data, `Beside` where there is more than that."""
    public: bool = False
    """Whether who is not known may ask it: to log in."""
    tells_caller: bool = False
    """Whether `ask` takes who asks, as ``caller``."""
    shared: bool = False
    """Whether all who ask it at the same time are given one answer."""

    _parts: tuple[str, ...] = field(init=False, default=())
    """Of the path."""
    _fixed: tuple[tuple[int, str], ...] = field(init=False, default=())
    """Those that are no parameters, with their places."""

    def __post_init__(self) -> None:
        parts = tuple(self.path.split("/")[1:])
        object.__setattr__(self, "_parts", parts)
        fixed = tuple((at, part) for at, part in enumerate(parts) if not part.startswith("{"))
        object.__setattr__(self, "_fixed", fixed)

    @property
    def writes(self) -> bool:
        """Return whether it needs the right to change things."""
        return self.method != "GET"

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Return the path's parameters, None where it is another path."""
        ours = self._parts
        if len(segments) == len(ours) + 1 and ours[-1] == SLASHED:
            segments = [*segments[:-2], "/".join(segments[-2:])]
        if len(ours) != len(segments):
            return None
        for at, part in self._fixed:
            if segments[at] != part:
                return None
        return {our[1:-1]: segment for our, segment in zip(ours, segments, strict=True) if our.startswith("{")}


@dataclass
class Routes:
    """The rows of one noun, in the order they are declared."""

    rows: list[Route] = field(default_factory=list)

    def __iter__(self) -> Iterator[Route]:
        return iter(self.rows)

    def get(self, path: str, *, public: bool = False, shared: bool = False) -> Callable[[Asked], Asked]:
        """Declare a request that changes nothing; one that costs much is *shared* by all who ask it at that time."""
        return self._declare("GET", path, public=public, shared=shared)

    def post(self, path: str, *, public: bool = False) -> Callable[[Asked], Asked]:
        """Declare a request that does something."""
        return self._declare("POST", path, public=public)

    def put(self, path: str) -> Callable[[Asked], Asked]:
        """Declare a request that brings something to a state."""
        return self._declare("PUT", path)

    def delete(self, path: str) -> Callable[[Asked], Asked]:
        """Declare a request that takes something away."""
        return self._declare("DELETE", path)

    def _declare(self, method: str, path: str, **more: bool) -> Callable[[Asked], Asked]:
        def declare(ask: Asked) -> Asked:
            hints = get_type_hints(ask, include_extras=True)
            tells_caller = "caller" in hints
            row = Route(method, path, ask, hints["params"], hints["return"], tells_caller=tells_caller, **more)
            self.rows.append(row)
            return ask

        return declare


def nodes() -> tuple[str, str]:
    """Return the names this host answers to."""
    return socket.gethostname().partition(".")[0], "localhost"


async def answer(
    daemon: Daemon, routes: Iterable[Route], caller: Caller, method: str, path: str, given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the record that answers a request; *path* is percent-encoded.  Raises `PvenetError`."""
    return await answered(daemon, *permitted(routes, caller, method, path), caller, given)


async def answered(
    daemon: Daemon, route: Route, found: Mapping[str, str], caller: Caller, given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the record that answers what `permitted` has found.  Raises `PvenetError`."""
    if found.get("node", "localhost") not in nodes():
        raise NotFound(f"no node {found['node']!r}: this is {nodes()[0]}")
    told = {"caller": caller} if route.tells_caller else {}
    data = await route.ask(daemon, validated(route.params, found, given), **told)
    if isinstance(data, Beside):
        return {"data": data.data, **data.more}
    return {"data": data}


def permitted(routes: Iterable[Route], caller: Caller, method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return what `find` does, for who may ask it; who is not known does not learn which paths there are."""
    try:
        route, found = find(routes, method, path)
    except PvenetError:
        if caller.refusal:
            raise NotKnown(caller.refusal) from None
        raise
    if route.public:
        return route, found
    if caller.refusal:
        raise NotKnown(caller.refusal)
    if route.writes and not caller.may_write:
        hint = ": be root, or in the group pvenetd" if caller.where == SOCKET else ""
        raise ForbiddenError(f"{caller.name} may read only{hint}")
    return route, found


def find(routes: Iterable[Route], method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the route of a request and the parameters in its path.  Raises `NotFound`, `NoMethodError`."""
    if not path.startswith(f"{PREFIX}/"):
        raise NotFound(f"no such path: the API is below {PREFIX}/")
    segments = [unquote(segment, errors="surrogateescape") for segment in path[len(PREFIX) + 1 :].split("/")]
    matches = [(route, found) for route in routes if (found := route.match(segments)) is not None]
    if not matches:
        raise NotFound("no such path")
    for route, found in matches:
        if route.method == method:
            return route, found
    raise NoMethodError(f"{method} is not for this path, but {', '.join(route.method for route, _ in matches)}")


def validated(params: type[Wanted], found: Mapping[str, str], given: Mapping[str, Any]) -> Wanted:
    """Return the parameters as their model.  Raises `BadParametersError` with all that is wrong, by field."""
    both = found.keys() & given.keys()
    wrong = {name: f"is {found[name]!r} in the path" for name in both if given[name] != found[name]}
    values = {**given, **found}
    for name, value in values.items():
        if name not in params.texts and _controls(
            name if params.judges and name not in params.model_fields else (name, value)
        ):
            wrong[_printable(name)] = "no control characters"
    if wrong:
        raise BadParametersError(wrong)
    try:
        return params.model_validate(values)
    except ValidationError as error:
        raise BadParametersError(
            {".".join(map(str, one["loc"])): _reason(one["type"], one["msg"]) for one in error.errors()}
        ) from error


def _reason(kind: str, text: str) -> str:
    known = {"extra_forbidden": "no such parameter", "missing": "is missing"}
    return known.get(kind, text.removeprefix("Value error, "))


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
"""What a value must not carry into a file's next line, nor bytes that are no text."""


def _controls(value: object) -> bool:
    if isinstance(value, str):
        return bool(_CONTROL.search(value))
    if isinstance(value, Mapping):
        return any(_controls(item) for item in value.items())
    return isinstance(value, list | tuple) and any(_controls(item) for item in value)


def _printable(name: object) -> str:
    return _CONTROL.sub("?", str(name))
