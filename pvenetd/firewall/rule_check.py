"""What is wrong with a rule, key by key of the API, all of it at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial

from pvenetd.firewall.fields import OPTIONS
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.rule import DIRECTIONS, Place, parse_rule
from pvenetd.firewall.ruleset import ICMP, ICMP6, WITH_PORTS
from pvenetd.firewall.values import Ref, Wrong, operand, protocol

_WORDS = {"iface": "-i", "proto": "-p"}


def wrong_fields(values: Mapping[str, str], place: Place) -> dict[str, str]:
    """Return what is wrong with the rule that *values* are, by key; names in it are not looked up.

    Each value is looked at by itself first.  What is wrong between right ones stands by the key it names.
    """
    found = {key: error for key, rule in _alone(values, place) if (error := _error(rule, place))}
    if found:
        return found
    error = _error(values, place)
    if not error:
        return {}
    options = re.findall(r"(?<![\w-])-[a-z-]+", error)
    named = [key for word in options for key in values if word in (f"-{key}", _WORDS.get(key))]
    return {named[0] if named else "action": error}


def unknown_names(values: Mapping[str, str], names: Names) -> dict[str, str]:
    """Return, by key, the names in *values* that nothing in the files has."""
    return {key: _told(error) for key, look_up in _look_ups(values, names) if (error := _raised(look_up))}


def field_of(message: str, values: Mapping[str, str]) -> str:
    """Return the key of the longest of *values* that *message* names, nothing where it names none."""
    said = message.lower()
    named = [key for key, value in values.items() if key != "comment" and len(value) > 1 and value.lower() in said]
    return max(named, key=lambda key: len(values[key]), default="")


def _look_ups(values: Mapping[str, str], names: Names) -> Iterator[tuple[str, Callable[[], object]]]:
    for key in ("source", "dest"):
        with suppress(Wrong):
            ref = operand(values[key]) if key in values else None
            if isinstance(ref, Ref) and not names.has(ref):
                yield key, partial(names.resolve, ref)
    if values.get("type", "").lower() == "group":
        yield "action", partial(names.group, values.get("action", "").lower())


def _raised(ask: Callable[[], object]) -> Wrong | None:
    try:
        ask()
    except Wrong as error:
        return error
    return None


def _alone(values: Mapping[str, str], place: Place) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield key and a rule that says no more than it; ports and ICMP types with their protocol, where it is right."""
    kind = values.get("type", "").lower()
    if kind == "group":
        yield ("action" if kind in DIRECTIONS[place] else "type"), {"type": kind, "action": values.get("action", "")}
        return
    is_known = kind in DIRECTIONS[place]
    plain = {"type": kind if is_known else DIRECTIONS[place][0], "action": "DROP"}
    if not is_known:
        yield "type", {**plain, "type": kind}
    for key in ("action", "macro", "iface", "source", "dest", "proto", "log"):
        if key in values:
            yield key, {**plain, key: values[key]}
    for key in ("sport", "dport", "icmp-type"):
        if key in values and (proto := _proto(values, key)):
            yield key, {**plain, "proto": proto, key: values[key]}


def _proto(values: Mapping[str, str], key: str) -> str:
    """Return the protocol with which the value of *key* is looked at by itself, nothing where it has to be known."""
    said = values.get("proto", "")
    try:
        number = protocol(said) if said else 0
    except Wrong:
        number = 0
    if number in ((ICMP, ICMP6) if key == "icmp-type" else WITH_PORTS):
        return said
    return "tcp" if not number and key != "icmp-type" else ""


def _error(values: Mapping[str, str], place: Place) -> str:
    """Return what is wrong with a rule, nothing where it is right."""
    macro, action = values.get("macro"), values.get("action", "")
    words = [values.get("type", "").upper(), f"{macro}({action})" if macro else action]
    words += [word for key in OPTIONS if key in values for word in (_WORDS.get(key, f"-{key}"), values[key])]
    try:
        parse_rule(0, " ".join(words), place)
    except Wrong as error:
        return _told(error)
    return ""


def _told(error: Wrong) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)
