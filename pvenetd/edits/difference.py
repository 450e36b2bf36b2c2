"""Two configurations side by side: per interface, what each option was and is."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from pvenetd.interfaces.config import Config
from pvenetd.interfaces.edit import Draft
from pvenetd.interfaces.stanza import Iface


class BeforeAfter(TypedDict):
    """The values of an option, in order."""

    before: list[str]
    after: list[str]


class Changed(TypedDict):
    """An interface that differs."""

    iface: str
    change: Literal["added", "removed", "changed"]
    options: dict[str, BeforeAfter]


def difference(before: Config, after: Config) -> list[Changed]:
    """Return the interfaces that differ, in order, each with its options before and after.

    An option's name has its family before it where there are stanzas of several: ``inet6 address``.
    """
    old, new = _said(before), _said(after)
    found = list[Changed]()
    for name in dict.fromkeys((*old, *new)):
        one, two = old.get(name), new.get(name)
        options: dict[str, BeforeAfter] = {
            option: {"before": (one or {}).get(option, []), "after": (two or {}).get(option, [])}
            for option in dict.fromkeys((*(one or ()), *(two or ())))
            if (one or {}).get(option) != (two or {}).get(option)
        }
        if options:
            found.append({"iface": name, "change": _change(one, two), "options": options})
    return found


def _change(before: object, after: object) -> Literal["added", "removed", "changed"]:
    return "added" if before is None else "removed" if after is None else "changed"


def _said(config: Config) -> dict[str, dict[str, list[str]]]:
    """Return, by interface, the values of each option in order; what lists and comments say of it too."""
    found: dict[str, dict[str, list[str]]] = {}
    drafts = {file.path: Draft(file) for file in config.files}
    for stanza in config.stanzas:
        if isinstance(stanza, Iface) and stanza.is_interface:
            said = found.setdefault(stanza.name, {})
            family = "inet6 " if stanza.family == "inet6" else ""
            said.setdefault(f"{family}method", []).append(stanza.method or "")
            for option in stanza.options:
                said.setdefault(f"{family}{option.key}", []).append(option.value)
            for text in drafts[stanza.path].comments(stanza):
                said.setdefault(f"{family}comments", []).append(text)
    for group, names in config.classes.items():
        for name in names:
            if name in found:
                found[name].setdefault("autostart", []).append(group)
    return found
