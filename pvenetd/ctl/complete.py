"""What a shell offers next: commands, options, and this host's interfaces and guests."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pvenetd.ctl.client import NoAnswerError, NoDaemonError, Request, ask
from pvenetd.ctl.command import Command, everywhere
from pvenetd.ctl.commands.every import COMMANDS


class Declared:
    """The arguments of a command, as they are declared: (names, facts)."""

    def __init__(self, command: Command | None = None) -> None:
        self.arguments: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        if command:
            command.declare(self)
        self.own = len(self.arguments)
        everywhere(self)

    def add_argument(self, *names: str, **facts: Any) -> None:
        """Keep one."""
        self.arguments.append((names, facts))

    @property
    def positionals(self) -> list[dict[str, Any]]:
        """Return the facts of the arguments that have a place instead of a name."""
        return [facts for names, facts in self.arguments if not names[0].startswith("-")]

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """Return the options by name."""
        return {names[0]: facts for names, facts in self.arguments if names[0].startswith("-")}


def candidates(words: list[str]) -> list[str]:
    """Return what may stand in the place of the last of *words*, which follow ``pvenetctl``."""
    *before, word = words or [""]
    root = os.environ.get("PVENETD_ROOT") or "/"
    typed: list[str] = []
    options = Declared().options
    expected: dict[str, Any] | None = None
    for one in before:
        if expected is not None:
            root = one if expected.get("metavar") == "DIR" else root
            expected = None
        elif one.startswith("-"):
            options = Declared(_command(typed)).options
            takes = options.get(one, {})
            expected = takes if takes and takes.get("action") in (None, "append") else None
        else:
            typed.append(one)
    found = _values(expected, root, typed) if expected is not None else _next(typed, word, root)
    return sorted({one for one in found if one.startswith(word)})


def _command(typed: list[str]) -> Command | None:
    return next((one for one in COMMANDS if list(one.words) == typed[: len(one.words)]), None)


def _next(typed: list[str], word: str, root: str) -> Iterable[str]:
    command = _command(typed)
    declared = Declared(command)
    if word.startswith("-"):
        return [*declared.options, "--help"]
    if command is None:
        return [one.words[len(typed)] for one in COMMANDS if list(one.words[: len(typed)]) == typed]
    places = declared.positionals
    if places and places[-1].get("nargs") in ("*", "+"):
        places += places[-1:] * len(typed)
    rest = places[len(typed) - len(command.words) :]
    return _values(rest[0], root, typed) if rest else ()


def _values(facts: dict[str, Any], root: str, typed: list[str]) -> Iterable[str]:
    """Return the values of one argument; none leaves it to the shell, which knows files."""
    if found := _NAMED.get(facts.get("metavar", "")):
        return found(root, typed)
    choices: tuple[str, ...] = facts.get("choices", ())
    return choices


def _interfaces(root: str, typed: list[str]) -> list[str]:
    return [*_listed(_LINKS), *(_nics_of_all(root) if typed[:1] == ["capture"] else ())]


def _taps(root: str, typed: list[str]) -> list[str]:
    del root, typed
    return [name for name in _listed(_LINKS) if name.startswith("tap")]


def _zones(root: str, typed: list[str]) -> list[str]:
    del typed
    return ["outside", "host", *_nics_of_all(root), *(f"bridge/{name}" for name in _bridges())]


def _nics_of_one(root: str, typed: list[str]) -> list[str]:
    return _guests(root).get(typed[2] if len(typed) > 2 else "", [])


def _keys(typed: list[str]) -> list[str]:
    """Return the API's keys for a command: those of an interface, a rule, or a firewall file's options."""
    if typed[:1] == ["nat"]:
        from pvenetd.nat.option import OPTIONS as NAT_OPTIONS

        return [*NAT_OPTIONS]
    if typed[:1] != ["firewall"]:
        from pvenetd.edits.keys import known

        return known()
    if typed[1] == "options":
        from pvenetd.firewall.options import OPTIONS

        kinds = {"cluster": "cluster", "host": "host", "bridge": "bridge"}
        kind = kinds.get(typed[2].partition("/")[0], "guest") if len(typed) > 2 else "guest"
        return [*next(options for scope, options in OPTIONS.items() if scope == kind)]
    if typed[1] == "rule":
        from pvenetd.firewall.fields import KEYS

        return [*KEYS]
    return [*_FIREWALL_KEYS.get(typed[1], ())]


_FIREWALL_KEYS = {
    "group": ("comment", "rename"),
    "ipset": ("comment", "nomatch", "rename"),
    "alias": ("cidr", "comment", "rename"),
}


def _scopes(root: str, typed: list[str]) -> list[str]:
    """Return the firewalls there are."""
    found = ["cluster", "host", *(f"vm/{one}" for one in _guests(root))]
    try:
        text = Path(root, _CLUSTER).read_text(errors="replace")
    except OSError:
        text = ""
    groups = re.findall(r"^\s*\[group\s+([^\s\]]+)", text, re.MULTILINE | re.IGNORECASE)
    found += [f"bridge/{name}" for name in _bridges()]
    return [*found, *(f"group/{name}" for name in groups if typed[1:2] == ["rule"])]


def _bridges() -> list[str]:
    return [path.parent.name for path in _LINKS.glob("*/bridge")]


def _nics_of_all(root: str) -> list[str]:
    return [f"vm/{vmid}/{nic}" for vmid, nics in _guests(root).items() for nic in nics]


def _guests(root: str) -> dict[str, list[str]]:
    """Return each guest's NICs: as the daemon knows them, those of libvirt's domains too, else as files have them."""
    try:
        status, body = ask(root, Request("GET", ("vms",), seconds=_PATIENCE))
        if status < 400:  # HTTP: refused
            return {str(one["vmid"]): [nic["nic"] for nic in one["nics"]] for one in body["data"]}
    except (NoDaemonError, NoAnswerError):
        pass
    paths = [path for place in (_GUESTS, _CONTAINERS) for path in Path(root, place).glob("*.conf")]
    return {path.stem: _nics(path) for path in paths if path.stem.isdigit()}


_NAMED: dict[str, Callable[[str, list[str]], Iterable[str]]] = {
    "IFACE": _interfaces,
    "A,B": _interfaces,
    "IFNAME": _taps,
    "BRIDGE": lambda root, typed: _bridges(),  # noqa: ARG005
    "VMID": lambda root, typed: _guests(root),  # noqa: ARG005
    "N": lambda root, typed: _guests(root),  # noqa: ARG005
    "ZONE": _zones,
    "KEY=VALUE": lambda root, typed: [f"{key}=" for key in _keys(typed)],  # noqa: ARG005
    "KEY": lambda root, typed: _keys(typed),  # noqa: ARG005
    "SCOPE": _scopes,
    "NIC": _nics_of_one,
    "netN": _nics_of_one,
    "netN=STRING": lambda root, typed: [f"{nic}=" for nic in _nics_of_one(root, typed)],
}
"""What stands for an argument in --help → its values, of a root, behind what was typed."""
_PATIENCE = 1.0
"""Seconds the daemon has: who types waits."""
_LINKS = Path("/sys/class/net")
_GUESTS = "etc/pvenetd/qemu-server"
_CONTAINERS = "etc/pvenetd/lxc"
_CLUSTER = "etc/pvenetd/firewall/cluster.fw"


def _listed(directory: Path) -> list[str]:
    try:
        return [one.name for one in directory.iterdir()]
    except OSError:
        return []


def _nics(path: Path) -> list[str]:
    try:
        return re.findall(r"^(net\d+):", path.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return []
