"""What is up beside what the files say: interfaces that somebody brought up or down by hand (ifup(8))."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from pvenetd.check.scene import implied_parent
from pvenetd.devices import Device
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.stanza import Iface
from pvenetd.ports import Membership


@dataclass(frozen=True, slots=True)
class Choice:
    """Names that are up or down against the files, until the next boot."""

    up: frozenset[str] = frozenset()
    down: frozenset[str] = frozenset()
    logical: Mapping[str, str] = field(default_factory=dict)
    """Interface → the stanza it was brought up with: ``ifup eth0=home``."""
    scripts: bool = False
    """Whether the scripts in ``if-*.d`` are run: where pvenetd owns the interfaces."""

    def reloaded(self, config: Config) -> Choice:
        """Return what is left of it when everything that comes up by itself is brought up."""
        return replace(self, down=self.down - {*config.autos, *config.hotplug})

    def brought_up(self, names: Iterable[str], logical: Mapping[str, str], below: Collection[str]) -> Choice:
        """Return it with *names* up, and what they stand on: *below*."""
        names = frozenset(names)
        stanzas = {name: stanza for name, stanza in self.logical.items() if name not in names}
        return replace(self, up=self.up | names, down=self.down - names - {*below}, logical={**stanzas, **logical})

    def brought_down(self, names: Iterable[str]) -> Choice:
        """Return it with *names* down."""
        names = frozenset(names)
        left = {name: stanza for name, stanza in self.logical.items() if name not in names}
        return replace(self, up=self.up - names, down=self.down | names, logical=left)

    def applied(self, config: Config) -> Config:
        """Return *config* with the stanzas that were chosen in place of the interfaces' own."""
        if not self.logical:
            return config
        return replace(config, ifaces=tuple(_renamed(config.ifaces, self.logical)))

    def to_json(self) -> dict[str, Any]:
        """Return it as a record."""
        return {"up": sorted(self.up), "down": sorted(self.down), "logical": dict(self.logical)}


def from_json(record: Mapping[str, Any] | None, *, scripts: bool) -> Choice:
    """Return the choice of a record, an empty one where there is none."""
    found = record or {}
    names = (frozenset(found.get("up", ())), frozenset(found.get("down", ())))
    return Choice(*names, logical=dict(found.get("logical", {})), scripts=scripts)


def _renamed(ifaces: Iterable[Iface], logical: Mapping[str, str]) -> Iterable[Iface]:
    chosen = {stanza: name for name, stanza in logical.items() if stanza != name}
    for iface in ifaces:
        if iface.name in chosen:
            yield replace(iface, name=chosen[iface.name])
        elif iface.name not in chosen.values():
            yield iface


def wanted(config: Config, devices: Mapping[str, Device], ports: Iterable[Membership], choice: Choice) -> set[str]:
    """Return what is brought up: auto, allow-hotplug and what was chosen, and what those stand on."""
    ports = [*ports]
    down = standing({*choice.down}, devices) if choice.down else set()
    found = {name for name in (*config.autos, *config.hotplug, *choice.up) if name in devices and name not in down}
    return below(found, devices, ports, without=choice.down)


def below(
    names: Iterable[str], devices: Mapping[str, Device], ports: Iterable[Membership], without: Collection[str] = ()
) -> set[str]:
    """Return *names* and all they stand on: ports, lower links, an alias's interface, a VRF."""
    members: dict[str, list[str]] = {}
    for port in ports:
        members.setdefault(port.master.name, []).append(port.name)
    todo, found = list(names), set[str]()
    while todo:
        name = todo.pop()
        if name in found or name in without:
            continue
        found.add(name)
        todo += members.get(name, [])
        todo += lower(name, devices)
        link = devices[name].link if name in devices else None
        todo += [link.master] if link is not None and link.master else []
    return found


def standing(names: Collection[str], devices: Mapping[str, Device]) -> set[str]:
    """Return *names* and all that stands on them; a bridge stands without its ports."""
    found = set(names)
    while more := {name for name in devices if name not in found and found & {*lower(name, devices)}}:
        found |= more
    return found


def lower(name: str, devices: Mapping[str, Device]) -> list[str]:
    """Return what *name* stands on and has no place of its own without: its parent, an alias's interface."""
    device = devices.get(name)
    if device is None:
        parent = implied_parent(name)
        return [parent] if parent else []
    parents = [*device.link.lower] if device.link is not None else []
    return parents + ([device.base] if device.base != name and device.base in devices else [])


def matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return those of *names* that one of the shell *patterns* matches."""
    patterns = tuple(patterns)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
