"""Types → JSON Schema, their fields' docstrings being the descriptions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import is_typeddict

from pvenetd.meanings import meanings

Schema = dict[str, Any]

_REFERENCES = "#/components/schemas/{model}"
FLAG: Schema = {"anyOf": [{"type": "integer", "enum": [0, 1]}, {"type": "boolean"}]}
"""A boolean as Proxmox VE's clients send it, or as JSON has it."""


class _Taken(GenerateJsonSchema):
    """What is taken as a parameter."""

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        """Return what booleans are written as."""
        del schema
        return dict(FLAG)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema with its default, where that is a value."""
        found = super().default_schema(schema)
        return {key: value for key, value in found.items() if (key, value) not in (("default", None), ("default", ""))}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Return the schema of what may be left out: nobody says null."""
        return self.generate_inner(schema["schema"])


def model_schema(model: type[BaseModel]) -> Schema:
    """Return what *model* takes as its properties, each with its description."""
    found = model.model_json_schema(schema_generator=_Taken)
    spelled = {field.alias or name: name for name, field in model.model_fields.items()}
    known = meanings(model)
    properties = {
        name: _described(one, known.get(spelled[name], "")) for name, one in found.get("properties", {}).items()
    }
    return {**found, "properties": properties}


def type_schemas(kinds: Iterable[Any]) -> tuple[dict[Any, Schema], Schema]:
    """Return the schema of each of *kinds*, and those of the records in them, by name."""
    names = {str(kind): kind for kind in kinds}
    asked = [(name, "serialization", TypeAdapter(kind)) for name, kind in names.items()]
    found, shared = TypeAdapter.json_schemas(asked, ref_template=_REFERENCES)  # type: ignore[arg-type]
    records = {record.__name__: record for kind in names.values() for record in _records(kind)}
    schemas = {name: _record(one, records.get(name)) for name, one in shared.get("$defs", {}).items()}
    return {names[name]: _untitled(one) for (name, _), one in found.items()}, schemas


def _record(schema: Schema, record: type[Any] | None) -> Schema:
    known = meanings(record) if record else {}
    properties = {name: _described(one, known.get(name, "")) for name, one in schema.get("properties", {}).items()}
    return {**_untitled(schema), "properties": properties}


def _records(kind: Any) -> Iterable[type[Any]]:
    """Yield the TypedDicts in a type."""
    if is_typeddict(kind):
        yield kind
    inner = get_type_hints(kind, include_extras=True).values() if is_typeddict(kind) else get_args(kind)
    for one in inner:
        yield from _records(one)


def _described(schema: Schema, text: str) -> Schema:
    return {**_untitled(schema), **({"description": text} if text else {})}


def _untitled(schema: Schema) -> Schema:
    """Return *schema* without the titles that only repeat the names."""
    return {key: value for key, value in schema.items() if key != "title"}
