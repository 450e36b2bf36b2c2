"""The user's commands of a stanza (interfaces(5), IFACE OPTIONS), with the environment that ifupdown gives them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from pvenetd.choice import matching
from pvenetd.commands import Hook, Scripts, substituted
from pvenetd.devices import Device
from pvenetd.interfaces.stanza import Iface, Line
from pvenetd.kinds.link import Link, attributes
from pvenetd.nat.command import is_modelled
from pvenetd.option import yes_no
from pvenetd.resource import Resource
from pvenetd.state import INTERFACES
from pvenetd.vocabulary import ALWAYS_OPTION, PHASES

Variables = tuple[tuple[str, str], ...]


def hooks_of(device: Device) -> Iterator[Hook]:
    """Yield the commands of each of the stanzas of *device*, but for those that are NAT we model."""
    for stanza, name in stanzas_of(device):
        yield from _hooks(device, stanza, name)


def stanzas_of(device: Device) -> Iterator[tuple[Iface, str]]:
    """Yield each stanza with what it is called among those of its interface: ``inet``, ``inet6``, ``inet.2``."""
    seen: dict[str, int] = {}
    for stanza in device.stanzas:
        family = stanza.family or "inet"
        seen[family] = seen.get(family, 0) + 1
        yield stanza, family if seen[family] == 1 else f"{family}.{seen[family]}"


def _hooks(device: Device, stanza: Iface, called: str) -> Iterator[Hook]:
    lines = [line for line in stanza.options if line.key in PHASES and line.value]
    mine = [(line.key, line.value) for line in lines if not is_modelled(line.key, substituted(line.value, device.name))]
    of = {phase: tuple(entry for entry in mine if entry[0] == phase) for phase in PHASES}
    for phase, run, undo in (
        ("pre-up", of["pre-up"], of["post-down"]),
        ("up", of["up"] + of["post-up"], of["pre-down"] + of["down"]),
    ):
        if run or undo:
            yield Hook(
                iface=device.name,
                stanza=called,
                phase=phase,
                run=run,
                undo=undo,
                digest=hashlib.sha256(json.dumps(mine).encode()).hexdigest()[:16],
                always=any(line.key == ALWAYS_OPTION and yes_no(line.value) for line in stanza.options),
                environment=environment(device, stanza),
                owner=INTERFACES,
                origin=lines[0].origin,
            )


def with_scripts(resources: list[Resource], devices: Iterable[Device], without: Collection[str]) -> list[Resource]:
    """Return *resources* with the scripts of each stanza of *devices* that is brought up, but for those *without*.

    Around them are classic ifupdown's scripts for all interfaces.
    """
    around = (("ADDRFAM", "meta"), ("IFACE", "--all"), ("LOGICAL", "--all"), ("METHOD", "none"), ("VERBOSITY", "0"))
    found: dict[str, list[Scripts]] = {phase: [_scripts("--all", "meta", phase, around)] for phase in ("pre-up", "up")}
    for device in devices:
        if (device.link is None and ":" not in device.name) or matching([device.name], without):
            continue
        for stanza, called in stanzas_of(device):
            for phase, scripts in found.items():
                given = environment(device, stanza)
                scripts.append(_scripts(device.name, called, phase, given, stanza.head.origin))
    return [*found["pre-up"], *resources, *found["up"][1:], found["up"][0]]


def _scripts(name: str, stanza: str, phase: str, given: Variables, origin: str = "") -> Scripts:
    return Scripts(iface=name, stanza=stanza, phase=phase, environment=given, owner=INTERFACES, origin=origin)


_TOUCHES = re.compile(r"/sys/(class|devices/virtual)/net/|\b(ip|bridge|brctl|ethtool)\b")
"""What a command says that changes a link's own settings."""


def spared(links: Iterable[Link], devices: Mapping[str, Device]) -> Iterator[Link]:
    """Yield *links*; those that commands change say nothing of the settings that the text does not have.

    Were these brought back to the kernel's default, an apply would undo what a command has done
    and is not going to do again.
    """
    theirs = _touched(devices)
    for link in links:
        free = [name for name, _, _ in attributes(type(link)) if name not in link.model_fields_set]
        keep = link.fixed | link.named | {"master"}
        yield link.model_copy(update={n: None for n in free if n not in keep}) if link.name in theirs else link


def _touched(devices: Mapping[str, Device]) -> frozenset[str]:
    """Return the words of the user's commands that change settings of links: their names are among them."""
    found: set[str] = set()
    for device in devices.values():
        for _, line in device.commands:
            if _TOUCHES.search(line.value):
                found |= set(re.findall(r"[^\s/'\"=]+", substituted(line.value, device.name)))
    return frozenset(found)


def environment(device: Device, stanza: Iface) -> Variables:
    """Return the variables that commands and scripts are given: unknown options are among them."""
    options = {_variable(line.key): line.value for line in reversed(_own_first(stanza)) if line.key not in PHASES}
    named = {
        "IFACE": device.name,
        "LOGICAL": stanza.head.words[0] if stanza.head.words else device.name,
        "ADDRFAM": stanza.family or "inet",
        "METHOD": stanza.method or "static",
        "VERBOSITY": "0",
    }
    return tuple(sorted({**options, **named}.items()))


def _own_first(stanza: Iface) -> list[Line]:
    """Return its options, a template's after its own: of several the first is told, as ifupdown2 does."""

    def inherited(line: Line) -> bool:
        return line.path != stanza.path or line.line < stanza.line

    return sorted(stanza.options, key=inherited)


def _variable(key: str) -> str:
    return f"IF_{re.sub('[^A-Za-z0-9]', '_', key).upper()}"
