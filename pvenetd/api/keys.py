"""The keys an interface may be given, as the OpenAPI document has them: from the options of the kinds' fields."""

from __future__ import annotations

from functools import cache
from typing import Any

from pvenetd.api.schema import FLAG, Schema, model_schema
from pvenetd.edits.keys import ADDRESSING, known, option_of
from pvenetd.interfaces.edit import COMMANDS
from pvenetd.interfaces.stanza import canonical
from pvenetd.kinds import KINDS
from pvenetd.kinds.link import Link, options
from pvenetd.nat.option import OPTIONS as NAT
from pvenetd.option import TICKS, Option

_TEXT: Schema = {"type": "string"}
_LISTS = frozenset({"bridge-ports", "bond-slaves", "ovs-ports", "ovs-bonds", "bridge-vids"})
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""What pydantic calls the limits of what it reads by a function of ours, in JSON Schema's words."""
_OWN: dict[str, tuple[Schema, str]] = {
    "address": (_TEXT, "An address, with or without the length of its network's prefix."),
    "netmask": (_TEXT, "The netmask of `address`, or the length of its prefix."),
    "cidr": (_TEXT, "An address with the length of its network's prefix: 192.0.2.1/24."),
    "gateway": (_TEXT, "The default gateway."),
    "comments": (_TEXT, "What stands as comments above the stanza, in lines."),
    "method": ({"type": "string", "enum": ["static", "manual", "dhcp"]}, "How it gets its addresses."),
    "method6": ({"type": "string", "enum": ["static", "manual", "dhcp", "auto"]}, "How it gets its IPv6 addresses."),
    "autostart": (FLAG, "Bring it up at boot."),
    "ovs_tag": ({"type": "integer", "minimum": 1, "maximum": 4094}, "VLAN of an Open vSwitch port."),
}


@cache
def properties() -> dict[str, Schema]:
    """Return the schema of every key."""
    return {key: _property(key) for key in known() if key not in ("type", "iface")}


def _property(key: str) -> Schema:
    if found := _OWN.get(key) or _OWN.get(key.removesuffix("6")):
        schema, text = found
        return {**(_several(schema) if key.removesuffix("6") in ADDRESSING else schema), "description": text}
    option = canonical(option_of(key) or key)
    if option in COMMANDS:
        return {**_several(_TEXT), "description": f"A command that is run as `{option}` of interfaces(5)."}
    if option in NAT:
        return {**_several(_TEXT), "description": f"`{option}` of pvenetd-nat(7)."}
    return _of_kinds(option)


def _of_kinds(option: str) -> Schema:
    """Return what the kinds that have *option* take: each of their schemas and meanings once."""
    schemas: list[Schema] = []
    texts: dict[str, list[str]] = {}
    for name, kind in KINDS.items():
        if option in options(kind):
            field, facts = options(kind)[option]
            found = _fields(kind)[field]
            texts.setdefault(found.get("description", ""), []).append(name)
            if (schema := _written(found, facts)) not in schemas:
                schemas.append(schema)
    whole = schemas[0] if len(schemas) == 1 else {"anyOf": schemas} if schemas else _TEXT
    said = (text if len(texts) == 1 else f"{', '.join(kinds)}: {text}" for text, kinds in texts.items() if text)
    return {**whole, "description": "\n".join(said) or f"`{option}` of interfaces(5)."}


@cache
def _fields(kind: type[Link]) -> dict[str, Schema]:
    found: dict[str, Schema] = model_schema(kind)["properties"]
    return found


def _written(schema: Schema, option: Option) -> Schema:
    """Return how a value is written for what its field holds: what is no plain value is text."""
    if option.name in _LISTS:
        return _several(_TEXT)
    if schema.get("anyOf") == FLAG["anyOf"]:
        return {"anyOf": [*FLAG["anyOf"], {"type": "string", "enum": ["yes", "no", "on", "off"]}]}
    plain: dict[str, Any] = {key: one for key, one in schema.items() if key not in ("description", "default")}
    if option.wire is TICKS:
        return {"type": "number", **{_LIMITS.get(key, key): one for key, one in plain.items() if key != "anyOf"}}
    if plain.get("type") == "string":
        names = getattr(getattr(option.wire, "to", None), "__self__", None)
        return {**plain, "enum": [*names]} if isinstance(names, tuple | dict) else plain
    if plain.get("type") not in ("integer", "number"):
        return _TEXT
    if plain.keys() & _LIMITS.keys():  # numbers that have names, too
        return {"anyOf": [{_LIMITS.get(key, key): one for key, one in plain.items()}, _TEXT]}
    return plain


def _several(schema: Schema) -> Schema:
    """Return what takes one value or several."""
    return {"anyOf": [schema, {"type": "array", "items": schema}]}
