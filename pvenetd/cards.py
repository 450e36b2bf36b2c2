"""What an interface's stanzas say of its card: offloads, speed, rings (`pvenetd.kinds.ethtool`)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from pvenetd.errors import Problem
from pvenetd.interfaces.stanza import Iface, Line
from pvenetd.kinds.ethtool import OPTIONS, Ethtool
from pvenetd.state import INTERFACES


def read(name: str, stanzas: Sequence[Iface], problems: list[Problem]) -> tuple[Ethtool, ...]:
    """Return the settings of the interface *name*, none where it has none; a wrong value is one of *problems*."""
    lines = {OPTIONS[line.key]: line for stanza in stanzas for line in stanza.options if line.key in OPTIONS}
    if not lines or ":" in name:
        return ()
    values: dict[str, object] = {field: line.value for field, line in lines.items()}
    try:
        first = next(iter(lines.values()))
        return (Ethtool.model_validate({"dev": name, "owner": INTERFACES, "origin": first.origin, **values}),)
    except ValidationError as error:
        wrong = {str(found["loc"][0]): found["msg"].removeprefix("Value error, ") for found in error.errors()}
        problems += [_problem(lines[field], name, why) for field, why in wrong.items()]
        return ()


def _problem(line: Line, name: str, why: str) -> Problem:
    message = f"{line.key}: '{line.value}': {why}"
    return Problem(line.path, line.line, "unknown-value", message, "error", "", name, line.name)
