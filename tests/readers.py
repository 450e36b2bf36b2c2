"""What other programs read in a file of interfaces(5): its meaning as plain data, to be compared with ours."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvenetd.interfaces.config import Config
from pvenetd.interfaces.edit import stanza_text
from pvenetd.interfaces.stanza import Iface, Mapping, Rename, Selection, Source
from tests import peers

Options = Counter[tuple[str, str]]


@dataclass(frozen=True)
class Stanza:
    """An iface stanza: what a reader makes of it."""

    name: str
    family: str
    method: str
    options: Options


def rewritten(config: Config) -> str:
    """Return *config* as our writer writes it, stanza by stanza, templates resolved."""
    parts: list[str] = []
    ifaces = {iface.head: iface for iface in config.ifaces}
    for stanza in config.stanzas:
        if isinstance(stanza, Iface):
            whole = ifaces.get(stanza.head)
            if whole:
                options = [(option.name, option.value) for option in whole.options if option.value]
                parts.append(stanza_text(whole.name, whole.family, whole.method, options))
        elif isinstance(stanza, (Selection, Rename)):
            parts.append(f"{stanza.head.name} {stanza.head.value}\n")
        elif isinstance(stanza, Mapping):
            maps = "".join(f"\tmap {line}\n" for line in stanza.maps)
            parts.append(f"mapping {' '.join(stanza.patterns)}\n\tscript {stanza.script}\n{maps}")
        else:
            assert isinstance(stanza, Source)
    return "\n".join(parts)


def ours(config: Config) -> list[Stanza]:
    """Return what we read."""
    return [
        Stanza(
            iface.name,
            iface.family or "",
            iface.method or "",
            Counter((option.key, option.value) for option in iface.options if option.value),
        )
        for iface in config.ifaces
    ]


class Ifupdown:
    """Debian's ifupdown, by its ifquery."""

    def __init__(self, state: Path, file: Path) -> None:
        self._state, self._file = state, file
        done = self._ask("--list", "-a")
        self.autos = done.stdout.split()
        self.error = done.stderr.strip() if done.returncode else ""

    def options(self, name: str) -> Options:
        """Return the options of all stanzas of *name*."""
        pairs = (line.partition(": ") for line in self._ask(name).stdout.splitlines())
        return Counter((key.replace("_", "-"), value) for key, _, value in pairs)

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return peers.run(self._state, self._file, "classic-ifquery", *words)


class Ifupdown2:
    """ifupdown2, by its ifquery, asked for *names*."""

    def __init__(self, state: Path, file: Path, names: list[str]) -> None:
        done = peers.run(state, file, "ifquery", "-o", "json", *names)
        self.error = done.stderr.strip()
        found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
        self.autos = {one["name"] for one in found if one.get("auto")}
        self.stanzas = [
            Stanza(one["name"], one.get("addr_family") or "", one.get("addr_method") or "", _flat(one.get("config")))
            for one in found
        ]


def _flat(config: dict[str, Any] | None) -> Options:
    return Counter(
        (key, one)
        for key, value in (config or {}).items()
        for one in (value if isinstance(value, list) else [value])
        if one
    )
