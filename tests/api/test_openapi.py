"""The OpenAPI document: whole, and true to the routes."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from pvenetd.api.openapi import document
from pvenetd.api.route import Route
from pvenetd.api.routes import ROUTES
from pvenetd.kinds import KINDS
from pvenetd.kinds.link import options
from tests.api.conform import Document
from tests.api.server import Api

DOCUMENT = document(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_in_it_with_its_words_and_parameters(route: Route) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    assert operation["description"] == inspect.getdoc(route.ask)
    parameters = {one["name"]: one for one in operation["parameters"]}
    in_path = set(re.findall(r"{(\w+)}", route.path))
    assert {name for name, one in parameters.items() if one["in"] == "path"} == in_path
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    fields = {field.alias or name for name, field in route.params.model_fields.items()}
    assert fields == {*parameters, *(body.get("properties", {}).keys() & fields)}
    assert "200" in operation["responses"]


def test_there_is_nothing_else_in_it() -> None:
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES}
    names = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere_and_every_record_is_meant_by_one() -> None:
    references = set(_references(DOCUMENT))
    for reference in references:
        there = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            there = there[name]
    assert {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]} <= references


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (one for name, one in part.items() if name == "$ref")
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _references(one)


@pytest.mark.parametrize(
    ("status", "body", "wrong"),
    [
        (200, {"data": {"version": "1", "release": "1", "repoid": "x"}}, []),
        (200, {"data": {"version": "1", "release": 1, "repoid": "x"}}, [".data.release: 1 is no string"]),
        (200, {"data": {"version": "1", "release": "1"}}, [".data.repoid is missing"]),
        (200, {"data": {"version": "1", "release": "1", "repoid": "x", "a": 1}}, [".data.a is not described"]),
        (200, {"data": []}, [".data: [] is no object"]),
        (404, {"data": None, "message": "no"}, []),
        (404, {"data": None}, [".message is missing"]),
        (299, {}, ["status 299 is not described"]),
    ],
)
def test_an_answer_that_it_does_not_say_is_found(status: int, body: object, wrong: list[str]) -> None:
    assert Document(DOCUMENT).wrong("GET", "/version", status, body) == wrong


def test_an_interface_takes_what_its_kinds_take() -> None:
    body = DOCUMENT["paths"]["/nodes/{node}/network"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    keys = body["properties"]
    assert (keys["vlan-id"]["minimum"], keys["vlan-id"]["maximum"]) == (1, 4094)
    assert "balance-rr" in keys["bond_mode"]["enum"]
    assert {option for kind in KINDS.values() for option in options(kind)} <= keys.keys()
    assert all(one.get("description") for key, one in keys.items() if key not in ("iface", "type"))


async def test_it_is_served_with_a_page_that_needs_nobody_else(api: Api) -> None:
    _, served = await api.ask("GET", "/api2/openapi.json")
    assert served == json.loads(json.dumps(DOCUMENT))
    headers, _, text = (await api.text("GET", "/api2/docs", "-i")).partition("\r\n\r\n")
    assert "default-src 'none'; connect-src 'self'" in headers
    assert "Content-Type: text/html; charset=utf-8" in headers
    page = _Page()
    page.feed(text)
    assert page.addresses == ["openapi.json"]
    assert len(text.splitlines()) < 300
    assert (await api.ask("POST", "/api2/openapi.json"))[0] == 404


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]
