"""What each stanza says by itself: `Device` records, one a name, every value checked.

How devices stand to each other is `pvenetd.check`'s; what the kernel is to do, `pvenetd.compile`'s.
Sources: interfaces(5), bridge-utils-interfaces(5), ifupdown2's ifupdown-addons-interfaces(5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any

from pydantic import ValidationError

from pvenetd import addressing, cards, methods, sysctls, vocabulary
from pvenetd.errors import Problem, Severity
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.stanza import Iface, Line
from pvenetd.kinds import TUNNEL_MODES, kind_of, port
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.ethtool import Ethtool
from pvenetd.kinds.link import Link, options, whole_numbers
from pvenetd.kinds.tunnel import Tunnel
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vlan import Vlan
from pvenetd.names import is_ifname
from pvenetd.state import INTERFACES, Address, Client, Dns, Route, Sysctl
from pvenetd.topics import topics
from pvenetd.vocabulary import PHASES

_CODES = {
    "bond-mode": "bond-mode",
    "vlan-protocol": "vlan-protocol",
    "bridge-vlan-protocol": "vlan-protocol",
    "vlan-id": "vlan-id-range",
    "bridge-vids": "vlan-id-range",
    "bridge-pvid": "vlan-id-range",
    "bridge-access": "vlan-id-range",
    "vxlan-id": "vxlan",
    "vxlan-local-tunnelip": "address",
    "vxlan-remoteip": "address",
    "vxlan-svcnodeip": "address",
    "vxlan-mcastgrp": "address",
    "tunnel-local": "address",
    "tunnel-endpoint": "address",
    "local": "address",
    "endpoint": "address",
    "geneve-id": "vxlan",
    "geneve-remote": "address",
    "mtu": "mtu",
}
"""Option → code of a wrong value, where it is not ``unknown-value``."""
_MACS = ("hwaddress", "bridge-hw")
_PYTHONS = re.compile(r"[+-]?[0-9]+[_.][0-9_.]*")
"""What is a whole number to Python alone: ``1_500``, ``1.0``."""


@dataclass(slots=True, eq=False)
class Device:
    """One name of the configuration, with what its stanzas say of it; once read, it is not changed."""

    # Not frozen, as stanzas are not: setting the fields of thousands by way of object.__setattr__ is felt.

    name: str
    stanzas: tuple[Iface, ...]
    link: Link | None
    """None where what it is cannot be told, for an alias, and where Open vSwitch has it."""
    lines: Mapping[str, Line] = field(default_factory=dict)
    """Option (with dashes) → the line it last stands at."""
    addresses: tuple[tuple[Address, Line], ...] = ()
    gateways: tuple[tuple[Route, Line], ...] = ()
    card: tuple[Ethtool, ...] = ()
    """What its card is told: one, or nothing."""
    settings: tuple[Sysctl, ...] = ()
    clients: tuple[Client, ...] = ()
    dns: Dns | None = None
    commands: tuple[tuple[str, Line], ...] = ()
    """(phase, line) of the user's own commands."""
    ovs: bool = False
    """Whether it is Open vSwitch's."""

    @property
    def head(self) -> Line:
        """Return its first iface line."""
        return self.stanzas[0].head

    @property
    def base(self) -> str:
        """Return the link that carries its addresses: an alias's, or its own."""
        return self.name.partition(":")[0]

    @property
    def methods(self) -> frozenset[str | None]:
        """Return the methods of its stanzas."""
        return frozenset(stanza.method for stanza in self.stanzas)

    def spelling(self, field: str) -> str:
        """Return the option that sets *field* of its link: as the stanza spells it, else by its first name."""
        found = _spellings(type(self.link) if self.link else Link, field)
        return next((spelling for spelling in found if spelling in self.lines), found[0])

    def problem(
        self, option: str, code: str, message: str, hint: str = "", *, severity: Severity = "error", word: str = ""
    ) -> Problem:
        """Return a `Problem` at the line of *option* (the first that names *word*), or of the stanza."""
        line = self.lines.get(option, self.head)
        if word and not line.has(word):
            every = (found for stanza in self.stanzas for found in stanza.options if found.key == option)
            line = next((found for found in every if found.has(word)), line)
        return Problem(line.path, line.line, code, message, severity, hint, self.name, option)


@cache
def _spellings(kind: type[Link], field: str) -> tuple[str, ...]:
    return tuple(spelling for spelling, (name, _) in options(kind).items() if name == field)


def read(config: Config) -> tuple[dict[str, Device], list[Problem]]:
    """Return the devices of *config* by name, in order, and all that is wrong with each by itself."""
    problems = list(config.problems)
    logical = {word for mapping in config.mappings for text in mapping.maps for word in text.split()} | config.templates
    devices: dict[str, Device] = {}
    for name, stanzas in config.by_name.items():
        if not is_ifname(name.partition(":")[0]) and name not in logical:
            problems.append(_bad_name(name, stanzas[0]))
            continue
        devices[name], found = _device(name, stanzas, inherited=name in config.templates)
        problems += found
    return _paired(devices, problems), problems


def _bad_name(name: str, stanza: Iface) -> Problem:
    message = f"the kernel takes no name like '{name}'"
    hint = "at most 15 bytes, without blanks, slashes and colons"
    return Problem(stanza.path, stanza.line, "ifname", message, "error", hint, name)


@lru_cache(maxsize=1 << 13)
def _device(name: str, stanzas: tuple[Iface, ...], *, inherited: bool) -> tuple[Device, tuple[Problem, ...]]:
    """Return what *stanzas* say, and what is wrong with them; those that stay where they are are not asked again."""
    problems: list[Problem] = []
    all_options = [option for stanza in stanzas for option in stanza.options if option.value]
    lines = {option.key: option for option in all_options}
    about = topics(
        tuple(option.key for stanza in stanzas for option in stanza.options),
        tuple((stanza.family, stanza.method) for stanza in stanzas),
    )
    said = [addressing.read(name, stanza, problems, inherited=inherited) for stanza in stanzas if about.addresses]
    if about.methods:
        problems += methods.untold(name, stanzas)
    device = Device(
        name,
        stanzas,
        None,
        lines,
        addresses=tuple(address for addresses, _ in said for address in addresses),
        gateways=tuple(gateway for _, gateways in said for gateway in gateways),
        card=cards.read(name, stanzas, problems) if about.card else (),
        settings=sysctls.read(name, stanzas, problems) if about.settings else (),
        clients=methods.clients(name, stanzas, problems) if about.clients else (),
        dns=methods.dns(name, stanzas, problems) if about.dns else None,
        commands=tuple((line.key, line) for line in all_options if line.key in PHASES) if about.commands else (),
        ovs=about.ovs and any(key.startswith("ovs-") for key in lines),
    )
    if device.ovs:
        message = "Open vSwitch is not applied by this version: it stays as it is"
        problems.append(device.problem("ovs-type", "unknown-value", message, severity="warning"))
    elif ":" in name:
        _unknown(device, frozenset(), problems)
    else:
        device.link = _link(device, all_options, problems)
    return device, tuple(problems)


def _link(device: Device, all_options: list[Line], problems: list[Problem]) -> Link | None:
    telling = _telling(device)
    kind = kind_of(device.name, telling)
    if "tunnel-mode" in telling and not issubclass(kind, Tunnel):
        spelling = "tunnel-mode" if "tunnel-mode" in device.lines else "mode"
        message = f"{spelling}: '{telling['tunnel-mode']}' should be one of {', '.join(TUNNEL_MODES)}"
        problems.append(device.problem(spelling, "unknown-value", message))
        return None
    if kind is Ethernet and "link-type" in telling:
        message = f"link-type {telling['link-type']}: pvenetd makes no such link"
        problems.append(device.problem("link-type", "unknown-value", message, severity="warning"))
    known = options(kind)
    _unknown(device, _names(kind), problems)
    values: dict[str, Any] = {"name": device.name, "owner": INTERFACES, "origin": device.head.origin}
    spelled: dict[str, str] = {}
    if issubclass(kind, Vlan):
        values |= kind.implied(device.name)
    for line in all_options:
        if line.key in known and not (line.key in _MACS and _says_nothing(device, line, problems)):
            name, option = known[line.key]
            gathers = option.several and name in spelled
            values[name] = f"{values[name]} {line.value}" if gathers else line.value
            spelled[name] = line.key
    if issubclass(kind, Bridge) and not port.OPTIONS.keys().isdisjoint(device.lines):
        values["port_settings"] = _port_settings(device, all_options, problems)
    if issubclass(kind, Vlan) and (missing := _incomplete(device, values)):
        problems.append(missing)
        return None
    return _validated(kind, values, device, spelled, problems)


@cache
def _names(kind: type[Link]) -> frozenset[str]:
    return frozenset(options(kind))


def _validated(
    kind: type[Link], values: dict[str, Any], device: Device, spelled: Mapping[str, str], problems: list[Problem]
) -> Link | None:
    """Return the link, without the fields that are wrong: what stands beside them is to be checked too."""
    wrong = {name for name in spelled.keys() & whole_numbers(kind) if _PYTHONS.fullmatch(values[name])}
    for name in sorted(wrong):
        option = spelled[name]
        message = f"{option}: '{values[name]}': should be a whole number"
        problems.append(device.problem(option, _CODES.get(option, "unknown-value"), message))
    if wrong:
        values = {name: value for name, value in values.items() if name not in wrong}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = [entry for entry in error.errors() if entry["loc"][0] not in wrong]
    problems += [_refused(kind, device, spelled, values, entry) for entry in found]
    bad = {str(entry["loc"][0]) for entry in found} | wrong
    fields = kind.model_fields
    if any(fields[name].is_required() for name in bad if name in fields):
        return None
    return kind.model_validate({name: value for name, value in values.items() if name not in bad})


def _says_nothing(device: Device, line: Line, problems: list[Problem]) -> bool:
    """Return whether a MAC is left to the kernel: ``hwaddress random``, ``bridge_hw eno1``; which is a warning."""
    words = line.value.split()
    if line.key == "hwaddress" and words[-1] == "random":
        message = "hwaddress random: the kernel draws one for a new link; a link that is there keeps its own"
    elif line.key == "bridge-hw" and ":" not in line.value and is_ifname(words[-1]):
        message = f"bridge-hw {words[-1]}: a port's MAC is not taken, the kernel takes the lowest of all ports'"
    else:
        return False
    problems.append(device.problem(line.key, "unknown-value", message, "write the MAC itself", severity="warning"))
    return True


def _port_settings(device: Device, all_options: list[Line], problems: list[Problem]) -> tuple[port.Setting, ...]:
    """Return what a bridge's stanza says of its ports; a wrong value is one of *problems*."""
    found: list[port.Setting] = []
    for line in all_options:
        if line.key in port.OPTIONS:
            try:
                found += port.settings(line.key, line.value)
            except ValidationError as error:
                message = error.errors()[0]["msg"].removeprefix("Value error, ")
                problems.append(device.problem(line.key, "unknown-value", f"{line.key}: '{line.value}': {message}"))
    return tuple(found)


def _telling(device: Device) -> dict[str, str]:
    """Return the options that tell its kind; the methods of interfaces(5) tell a tunnel's, too."""
    found = {key: line.value for key, line in device.lines.items()}
    for stanza in device.stanzas:
        if stanza.method == "tunnel":
            found.setdefault("tunnel-mode", found.get("mode", ""))
        elif stanza.method == "v4tunnel":
            found.setdefault("tunnel-mode", "sit")
    return found


def _incomplete(device: Device, values: Mapping[str, str]) -> Problem | None:
    if "vlan_id" not in values:
        return device.problem(
            "vlan-raw-device", "vlan-id-missing", f"{device.name} has no VLAN id", "vlan-id N, or a name like vlan5"
        )
    if "raw_device" not in values:
        return device.problem("vlan-id", "missing-parent", f"{device.name} has no parent", "vlan-raw-device IFACE")
    return None


def _refused(
    kind: type[Link], device: Device, spelled: Mapping[str, str], values: Mapping[str, Any], found: Any
) -> Problem:
    name = str(found["loc"][0])
    first = next((option for option, (field, _) in options(kind).items() if field == name), name)
    option = spelled.get(name, first)
    is_no_number = found["type"] == "int_parsing"
    message = "should be a whole number" if is_no_number else found["msg"].removeprefix("Value error, ")
    code = _CODES.get(option, "unknown-value")
    if found["type"] == "missing":
        code = "missing-parent" if name in kind.lower_fields else code
        return device.problem(option, code, f"{device.name} has no {option}")
    return device.problem(option, code, f"{option}: '{values.get(name, '')}': {message}")


def _unknown(device: Device, known: frozenset[str], problems: list[Problem]) -> None:
    good = vocabulary.known(known)
    if device.lines.keys() <= good:
        return
    for key, line in device.lines.items():
        if key in good:
            continue
        if vocabulary.is_kept(key):
            message, hint = f"option '{line.name}' is kept, and not applied by this version", ""
        else:
            near = vocabulary.near(key, good)
            message = f"unknown option '{line.name}' for iface {device.name}"
            hint = f"did you mean {near}?" if near else ""
        problems.append(
            Problem(line.path, line.line, "unknown-option", message, "warning", hint, device.name, line.name)
        )


def peers(devices: Mapping[str, Device]) -> dict[str, str]:
    """Return the other ends of veth pairs, and by which stanza each comes."""
    ends = [(name, device.link.peer) for name, device in devices.items() if isinstance(device.link, Veth)]
    return {peer: name for name, peer in reversed(ends) if peer}


def _paired(devices: dict[str, Device], problems: list[Problem]) -> dict[str, Device]:
    """Return *devices*, where the other end of a veth pair is one too, whatever its own stanza says."""
    other = peers(devices)
    found = dict(devices)
    for name, device in devices.items():
        link, by = device.link, other.get(name)
        if isinstance(link, Veth) and link.peer:
            if wrong := _mismatch(name, link.peer, devices, other):
                problems.append(device.problem("veth-peer-name", "unknown-value", f"{name}: {wrong}"))
        elif by and isinstance(link, Veth):
            found[name] = replace(device, link=link.model_copy(update={"peer": by}))
        elif by and type(link) is Ethernet:
            said = {field: value for field, value in link if field in link.model_fields_set and field != "kind"}
            found[name] = replace(device, link=Veth.model_validate({**said, "peer": by}))
        elif isinstance(link, Veth):
            problems.append(device.problem("link-type", "unknown-value", f"{name} has no veth-peer-name"))
    return found


def _mismatch(name: str, peer: str, devices: Mapping[str, Device], other: Mapping[str, str]) -> str:
    """Return what is wrong with *peer* as the other end of *name*, empty where nothing is."""
    link = devices[peer].link if peer in devices else None
    if peer == name:
        return "its other end cannot be itself"
    if other[peer] != name:
        return f"{peer} is the other end of {other[peer]} already"
    if isinstance(link, Veth) and link.peer not in (None, name):
        return f"its other end {peer} has another one, {link.peer}"
    if link is not None and not isinstance(link, Veth) and type(link) is not Ethernet:
        return f"its other end {peer} is a {link.kind}"
    return ""


def members(device: Device) -> tuple[str, ...]:
    """Return what a bridge's or bond's stanza names as its ports or slaves, patterns not yet expanded."""
    match device.link:
        case Bridge(ports=names) | Bond(slaves=names):
            return names
    return ()
