"""Whether a value is what a schema of the OpenAPI document says, and has nothing that it does not name.

Only what our documents use of JSON Schema; a word that is not known here is an error, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_WORDS = frozenset(
    {"$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "description", "enum", "items", "maximum"}
    | {"maxLength", "minimum", "minLength", "pattern", "patternProperties", "properties", "required", "title", "type"}
    | {"exclusiveMaximum", "exclusiveMinimum"}
)


class Document:
    """An OpenAPI document."""

    def __init__(self, document: Schema) -> None:
        self._document = document

    def wrong(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """Return what of an answer the document does not say; *path* is a template."""
        responses = self._document["paths"][path][method.lower()]["responses"]
        if str(status) not in responses:
            return [f"status {status} is not described"]
        response = self._followed(responses[str(status)])
        return [*self._wrong(body, response["content"]["application/json"]["schema"], "")]

    def _followed(self, schema: Schema) -> Schema:
        while reference := schema.get("$ref"):
            schema = self._document
            for name in reference.removeprefix("#/").split("/"):
                schema = schema[name]
        return schema

    def _wrong(self, value: Any, schema: Schema, where: str) -> Iterator[str]:
        schema = self._followed(schema)
        if unknown := schema.keys() - _WORDS:
            yield f"{where}: {', '.join(unknown)} is not known to this test"
        if "anyOf" in schema:
            found = [[*self._wrong(value, one, where)] for one in schema["anyOf"]]
            if all(found):
                yield from min(found, key=len)
            return
        if (kind := schema.get("type")) and not _is(value, kind):
            yield f"{where}: {value!r} is no {kind}"
            return
        if value not in schema.get("enum", [schema.get("const", value)]):
            yield f"{where}: {value!r} is none of {schema.get('enum', schema.get('const'))}"
        if isinstance(value, int | float) and not _in_range(value, schema):
            yield f"{where}: {value!r} is out of range"
        if isinstance(value, list):
            for number, one in enumerate(value):
                yield from self._wrong(one, schema.get("items", {}), f"{where}[{number}]")
        if isinstance(value, dict):
            yield from self._record(value, schema, where)

    def _record(self, value: dict[str, Any], schema: Schema, where: str) -> Iterator[str]:
        parts = [self._followed(one) for one in (schema, *schema.get("allOf", ()))]
        known = {name: one for part in parts for name, one in part.get("properties", {}).items()}
        for name in {name for part in parts for name in part.get("required", ())} - value.keys():
            yield f"{where}.{name} is missing"
        others = next((part["additionalProperties"] for part in parts if "additionalProperties" in part), not known)
        for name, one in value.items():
            matching = [
                found
                for part in parts
                for pattern, found in part.get("patternProperties", {}).items()
                if re.search(pattern, name)
            ]
            if name in known or matching:
                yield from self._wrong(one, known.get(name) or matching[0], f"{where}.{name}")
            elif others is False:
                yield f"{where}.{name} is not described"
            elif isinstance(others, dict):
                yield from self._wrong(one, others, f"{where}.{name}")


def _in_range(value: float, schema: Schema) -> bool:
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
