"""Golden cases of guests: netN lines before and after, and the plan between, on whatever machine.

A case's first lines say its idea; then come the sections ``interfaces`` (text), ``current`` (a JSON record a line:
what somebody else has made), ``before`` and ``guests`` (lines ``100 net0: virtio=…``, a container's ``ct200 net0:
name=…``; one without a NIC is plainly ``100``), and ``plan``: what the first of the guests has done to the host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pvenetd.compile import compile_interfaces
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.errors import KernelError
from pvenetd.guests.guest import Guest
from pvenetd.guests.lxc_conf import parse_lxc_conf
from pvenetd.guests.ports import bridges, neighbours, ports, scene
from pvenetd.guests.qm_conf import parse_conf
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.machine import Machine
from pvenetd.resource import Key, Resource
from pvenetd.state import INTERFACES, State, from_json
from tests.harness import ACTIVE, GOLDEN, Failing, plain, printed, same

_SECTIONS = ("interfaces", "current", "before", "guests", "plan")
_LINE = re.compile(r"(ct)?([1-9][0-9]+)(?: (net[0-9]+: .*))?")


@dataclass(frozen=True, slots=True)
class GuestCase:
    """One golden case of guests."""

    path: Path
    idea: str
    interfaces: str
    current: str
    before: str
    guests: str
    plan: str

    @property
    def host(self) -> State:
        """What the host's interfaces are to be."""
        nics = [link.name for link in self.others.values()]
        return compile_interfaces(single(parse(self.interfaces, f"/{ACTIVE}")), nics, "mark").checked()

    @property
    def others(self) -> dict[Key, Link]:
        """What somebody else has made: the host's NICs, a container's pair."""
        found = from_json(json.loads(line) for line in self.current.splitlines())
        return {key: link for key, link in found.items() if isinstance(link, Link)}

    @property
    def needs_lab(self) -> bool:
        """Whether the kernel of a small machine may lack what it takes."""
        links = [link for link in self.host.values() if isinstance(link, Bridge)]
        words = self.before + self.guests
        return any(link.vlan_aware for link in links) or "tag=" in words or "rate=" in words

    def text(self) -> str:
        """Return the file as it is written."""
        return self.idea + "".join(f"-- {name} --\n{getattr(self, name)}" for name in _SECTIONS)


def parameters(*, marked: bool) -> list[Any]:
    """Return all cases as parameters of a test, *marked* with what kernel they need."""
    found = []
    for path in sorted((GOLDEN / "guest").glob("*.case")):
        idea, *parts = re.split(rf"^-- ({'|'.join(_SECTIONS)}) --\n", path.read_text(), flags=re.MULTILINE)
        assert tuple(parts[::2]) == _SECTIONS, f"{path}: sections are {', '.join(_SECTIONS)}"
        case = GuestCase(path, idea, *parts[1::2])
        marks = [pytest.mark.lab if case.needs_lab else pytest.mark.netns] if marked else []
        found.append(pytest.param(case, id=path.stem, marks=marks))
    return found


def guests(text: str) -> list[Guest]:
    """Return the guests that *text* tells of, in order."""
    lines: dict[tuple[str, int], list[str]] = {}
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        assert found, line
        lines.setdefault((found[1] or "", int(found[2])), []).append(found[3] or "")
    parsers = {"": parse_conf, "ct": parse_lxc_conf}
    read = [parsers[kind]("\n".join(nets), vmid, f"{vmid}.conf") for (kind, vmid), nets in lines.items()]
    assert not [problem for guest in read for problem in guest.problems if problem.severity == "error"], text
    return read


def wanted(guest: Guest, host: State, machine: Machine) -> dict[Key, Resource]:
    """Return the State of *guest* with all its NICs plugged, devices made here, behind a fwbr with ``firewall=1``."""
    nics = [*guest.nics.values()]
    keys = bridges(nics)
    links = scene(host, machine.observe(keys, only=True))
    if more := neighbours(nics, links):
        links = scene(host, machine.observe(keys | more, only=True))
    return {
        key: one
        for index, nic in guest.nics.items()
        for key, one in ports(guest, index, links, fwbr=nic.firewall).items()
    }


Look = Callable[[Collection[str]], object]
"""A second opinion on what there is, besides some links."""


def _nothing(besides: Collection[str]) -> None:
    del besides


async def check(case: GuestCase, machine: Machine, root: Path, *, update: bool = False, look: Look = _nothing) -> None:
    """Check *case* on *machine*, which has what others have made; *look* is a second opinion on what there is."""
    engine = Engine(machine, Journal(Files(root)))
    await engine.desire(INTERFACES, case.host)
    first, *rest = guests(case.guests)
    owner = f"vm:{first.vmid}"
    devices = _devices(case)
    asked = {(noun, name) for name in devices for noun in ("pinned", "rate")}

    def everything(besides: Collection[str] = ()) -> object:
        found = machine.observe(asked, anew=asked)
        return plain({key: one for key, one in found.items() if key[1] not in besides}), look(besides)

    let_go = {link.name for link in case.others.values()} & devices  # what LXC made is let go, not as it was
    bare = everything(let_go)
    for guest in guests(case.before):
        await engine.desire(f"vm:{guest.vmid}", wanted(guest, case.host, machine))
    for guest in rest:
        assert await engine.desire(f"vm:{guest.vmid}", wanted(guest, case.host, machine)) == (), (
            "only the first changes"
        )
    had = engine.owners()
    state = wanted(first, case.host, machine)
    todo = await engine.plan(owner, state)
    text = printed(todo)
    if update and text != case.plan:
        case.path.write_text(replace(case, plan=text).text())
    else:
        assert text == case.plan, "the plan is the expected one"

    before, without = everything(), everything(let_go)
    for at in range(len(todo)):
        failing = await _taken_over(Engine(Failing(machine, at), Journal(Files(root))), had)
        with pytest.raises(KernelError) as caught:
            await failing.desire(owner, state)
        failing.close()
        assert caught.value.outcome == "rolled back: the host is as it was"
        same(everything(), before, f"as before when this fails: {todo[at]}")

    assert printed(await engine.desire(owner, state)) == text
    assert await engine.desire(owner, state) == (), "nothing is left to do"
    again = await _taken_over(Engine(machine, Journal(Files(root))), {})
    assert await again.desire(owner, state) == (), "nor by another run of the daemon"
    again.close()
    await engine.desire(owner, had.get(owner, {}))
    besides = set() if had.get(owner) else let_go
    same(everything(besides), before if had.get(owner) else without, "changed back: as before")
    await engine.desire(owner, state)
    for vmid in {guest.vmid for text in (case.before, case.guests) for guest in guests(text)}:
        await engine.desire(f"vm:{vmid}", {})
    same(everything(let_go), bare, "without guests nothing of them is left")
    engine.close()


def _devices(case: GuestCase) -> set[str]:
    return {
        guest.device(index) for text in (case.before, case.guests) for guest in guests(text) for index in guest.nics
    }


async def _taken_over(engine: Engine, had: dict[str, State]) -> Engine:
    for owner, state in had.items():
        await engine.adopt(owner, state)
    return engine
