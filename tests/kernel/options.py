"""An option's proof: set, changed, rolled back, removed, and read each time with iproute2 or ethtool, not with ours."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from pvenetd.compile import compile_interfaces
from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import Engine
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.journal import versions
from pvenetd.kinds import KINDS
from pvenetd.kinds.ethtool import Ethtool
from pvenetd.kinds.link import attributes
from pvenetd.option import annotated
from tests.kernel import rows
from tests.kernel.seen import attribute
from tests.netns import Namespaces, run

FILE = "etc/network/interfaces"
NICS = ("eno1", "eno2")
CARD = "card0"
"""What a scene's command makes."""
_HOURS = 3600.0

ANY = object()
"""Whatever the kernel shows then is right."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where an option is tried: a configuration with ``@`` for its line, and what shows it."""

    text: str
    command: str
    """What prints JSON: ``ip -d -j link show vmbr0``."""
    path: str = ""
    """Where in it the kind's own values begin: names and numbers with dots between."""
    before: str = ""
    """A shell command that makes the card it is about."""


@dataclass(frozen=True, slots=True)
class Row:
    """One option: how it is spelled, its values, and what is seen of each."""

    where: str
    """The class that the field stands in: ``Bridge``."""
    field: str
    seen: str
    """Below the scene's path, or what stands before a colon where no JSON is printed.

    ``raw`` and numbers of attributes are for what ip(8) of Debian 12 does not show.
    """
    values: Mapping[str, object]
    """Option lines (``bridge-ageing 120``; several with ``;``) → what is then seen, in the order they are tried."""
    gone: object = ANY
    """What is seen when the lines are gone again."""
    scene: Scene | None = None
    """Where it is tried, where that is not its class's own."""

    @property
    def name(self) -> str:
        return f"{self.where}.{self.field}-{next(iter(self.values)).split()[0]}"


@dataclass(frozen=True, slots=True)
class Family:
    """What one module of rows has."""

    scenes: Mapping[str, Scene] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()


UNPROVABLE = frozenset(("Ethtool", name) for name in ("lanes", "ntuple", "pause_autoneg", "rxhash", "ufo", "wol"))
"""What no driver of the lab's kernel has."""


def families() -> list[Family]:
    """Return what all modules of rows have."""
    modules = [import_module(f"{rows.__name__}.{found.name}") for found in iter_modules(rows.__path__)]
    return [module.FAMILY for module in modules]


def unproven(known: list[Row]) -> list[str]:
    """Return the fields with a kernel attribute that no row of *known* is about."""
    there = {(row.where, row.field) for row in known}
    wanted = {
        (_home(kind, name), name) for kind in KINDS.values() for name, option, _ in attributes(kind) if option.name
    }
    wanted |= {("Ethtool", name) for name, _ in annotated(Ethtool)}
    return sorted(f"{home}.{name}" for home, name in wanted - there - UNPROVABLE)


def _home(kind: type, name: str) -> str:
    """Return the class that says last what the field is: a default of its own is proven by itself."""
    return next(base.__name__ for base in kind.__mro__ if name in inspect.get_annotations(base))


async def prove(row: Row, scene: Scene, namespaces: Namespaces, root: Path) -> None:
    """Try *row* in *scene* on the kernel of this namespace."""
    for nic in NICS:
        namespaces.cable(nic)
    run("sh", "-c", scene.before)
    files = Files(root)
    with closing(Host(files)) as host:
        engine = Engine(host, Journal(files))
        before = ""
        for lines, expected in [*row.values.items(), ("", row.gone)]:
            change, desired = _wanted(scene, before, lines)
            if before:
                was = _seen(scene, row)
                await engine.apply(desired, change, confirm=_HOURS)
                await engine.roll_back()
                assert _seen(scene, row) == was, f"rolled back from {lines or 'none'}"
            await engine.apply(desired, change)
            now = _seen(scene, row)
            assert expected is ANY or now == expected, f"{lines or 'gone'}: {now!r}"
            before = lines
        engine.close()


def _wanted(scene: Scene, before: str, lines: str) -> tuple[Any, Any]:
    old, new = (scene.text.replace("@", text.replace(";", "\n\t")) for text in (before, lines))
    compiled = compile_interfaces(single(parse(new, f"/{FILE}")), (*NICS, CARD), "mark")
    assert not compiled.problems, compiled.problems
    return {FILE: versions(old.encode(), new.encode())}, compiled.checked()


def _seen(scene: Scene, row: Row) -> object:
    if row.seen.startswith("raw "):
        return attribute(scene.command.split()[-1], *map(int, row.seen.split()[1:]))
    found = _told(run(*scene.command.split()))
    for step in ".".join(filter(None, (scene.path, row.seen))).split("."):
        if isinstance(found, list):
            found = found[int(step)] if step.isdigit() and int(step) < len(found) else None
        else:
            found = (found or {}).get(step)
    return sorted(found, key=str) if isinstance(found, list) and found and isinstance(found[0], dict) else found


def _told(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        parts = (line.strip().partition(":") for line in text.splitlines())
        return {name: value.strip() for name, _, value in parts}
