"""The OpenAPI 3.1 document: every route, from its row, its parameters' model and the type of its answer.

Sources: OpenAPI Specification 3.1.1; JSON Schema 2020-12.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, get_args, get_origin

from pvenetd import __version__
from pvenetd.api import stream
from pvenetd.api.errors import STATUS, Refusal
from pvenetd.api.route import PREFIX, Beside, Params, Route, nodes
from pvenetd.api.schema import Schema, model_schema, type_schemas

_COMPONENTS = "#/components"
_BODIES = ("application/x-www-form-urlencoded", "application/json")
_CREDENTIALS: Schema = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`PVEAPIToken=USER@REALM!ID=SECRET`, over TLS.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "cookie",
        "name": "PVEAuthCookie",
        "description": "What `POST /access/ticket` gives, over TLS; what changes something needs its header "
        "CSRFPreventionToken, too. The UNIX socket needs neither.",
    },
}
_ABOUT = """\
Proxmox VE's own paths, parameters and answers, as far as they are about the network of this host, and below
`/nodes/{node}/pvenetd` what Proxmox VE has not.

Parameters are given in the path, in the query, or in a body that is a form or a JSON object. Booleans are 0 and 1, as
in Proxmox VE; `true` and `false`, `yes` and `no`, `on` and `off` are taken, too. What is not declared is refused, all
that is wrong at once, by field. An answer is a JSON object with its `data`."""


def document(routes: Iterable[Route]) -> Schema:
    """Return the document of *routes*."""
    rows = tuple(routes)
    answers, schemas = type_schemas([Refusal, *(kind for route in rows for kind in _types(route.answers))])
    paths: dict[str, Schema] = {}
    for route in rows:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, answers)
    return {
        "openapi": "3.1.0",
        "info": {"title": "pvenetd", "version": __version__, "description": _ABOUT},
        "servers": [{"url": PREFIX}],
        "paths": paths,
        "components": {"schemas": schemas, "responses": _refusals(), "securitySchemes": _CREDENTIALS},
        "security": [{}, {"token": []}, {"ticket": []}],
    }


def _types(answers: Any) -> tuple[Any, ...]:
    """Return the types that an answer is made of."""
    return get_args(answers) if get_origin(answers) is Beside else (answers,)


def _operation(route: Route, answers: dict[Any, Schema]) -> Schema:
    about = inspect.getdoc(route.ask) or ""
    module = route.ask.__module__.rpartition(".")[2]
    return {
        "operationId": f"{module}.{route.ask.__name__}",
        "summary": about.partition("\n")[0],
        "description": about,
        "tags": [module],
        **_asked(route),
        **({"security": []} if route.public else {}),
        "responses": {
            "200": {"description": "Done.", "content": _content(route, answers)},
            **{str(status): {"$ref": f"{_COMPONENTS}/responses/{status}"} for status in _statuses()},
        },
    }


def _content(route: Route, answers: dict[Any, Schema]) -> Schema:
    streamed = stream.STREAMS.get(route.ask)
    if streamed and streamed.always:
        return {streamed.kind: {}}
    content: Schema = {"application/json": {"schema": _answer(route, answers)}}
    return content | ({streamed.kind: {"schema": {"type": "string"}}} if streamed else {})


def _answer(route: Route, answers: dict[Any, Schema]) -> Schema:
    data, *more = (answers[kind] for kind in _types(route.answers))
    envelope = {"type": "object", "properties": {"data": data}, "required": ["data"]}
    return {"allOf": [envelope, *more]} if more else envelope


def _asked(route: Route) -> Schema:
    """Return the parameters: of the path, and of the query, or of the body where the method has one."""
    whole = model_schema(route.params)
    in_path = {part[1:-1] for part in route.path.split("/") if part.startswith("{")}
    properties = {name: one for name, one in whole["properties"].items() if name not in in_path}
    required = set(whole.get("required", ())) - in_path
    parameters = [_parameter("path", name, whole["properties"][name], required=True) for name in sorted(in_path)]
    if route.method in ("GET", "DELETE"):
        parameters += [_parameter("query", name, one, required=name in required) for name, one in properties.items()]
        return {"parameters": parameters}
    body = {**_body(route.params, properties), **({"required": sorted(required)} if required else {})}
    content = {kind: {"schema": body} for kind in _BODIES}
    return {"parameters": parameters, "requestBody": {"required": bool(required), "content": content}}


def _parameter(place: str, name: str, schema: Schema, *, required: bool) -> Schema:
    schema = {**schema, "enum": sorted({*nodes()})} if (place, name) == ("path", "node") else schema
    about = {"description": text} if (text := schema.get("description")) else {}
    inner = {key: value for key, value in schema.items() if key != "description"}
    return {"name": name, "in": place, "required": required, **about, "schema": inner}


def _body(params: type[Params], properties: Schema) -> Schema:
    beyond = params.undeclared() if params.judges else {}
    return {
        "type": "object",
        **beyond,
        "properties": {**beyond.get("properties", {}), **properties},
        "additionalProperties": False,
    }


def _statuses() -> list[int]:
    return sorted(set(STATUS.values()))


def _refusals() -> Schema:
    """Return the answers that are no: by status, in the words of the errors that have it."""
    reasons: dict[int, list[str]] = {}
    for kind, status in STATUS.items():
        reasons.setdefault(status, []).append((inspect.getdoc(kind) or "").partition("\n")[0])
    schema = {"$ref": f"{_COMPONENTS}/schemas/{Refusal.__name__}"}
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}. {' '.join(reasons[status])}",
            "content": {"application/json": {"schema": schema}},
        }
        for status in _statuses()
    }
