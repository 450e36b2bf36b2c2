"""Golden cases: a file each, checked five ways on whatever machine (the fake, the kernel).

A case's first lines say its idea; then come the sections ``interfaces`` (text), ``current`` (a JSON
record a line, Ethernet records being the host's NICs), and ``plan`` (what `pvenetctl plan` prints).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from difflib import ndiff
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest

from pvenetd.compile import compile_interfaces
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.errors import KernelError
from pvenetd.firewall.flow import Flow
from pvenetd.firewall.tally import Tally
from pvenetd.forwarding import Heard
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.journal import versions
from pvenetd.kinds import KINDS
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.machine import Machine
from pvenetd.plan import Op, plan
from pvenetd.resource import Key, Resource
from pvenetd.state import INTERFACES, State, from_json

GOLDEN = Path(__file__).parent / "golden"
ACTIVE = "etc/network/interfaces"
FIRST = b"# what was active before\n"
_LAB_KINDS = frozenset(KINDS) - {"ethernet", "loopback", "bridge", "vxlan", "veth", "tap"}
"""What the kernel of a small machine may lack."""
_HOURS = 3600.0
"""A confirm window that no test sees the end of."""


@dataclass(frozen=True, slots=True)
class Case:
    """One golden case."""

    path: Path
    idea: str
    interfaces: str
    current: str
    plan: str

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def state(self) -> dict[Key, Resource]:
        """What the host has at first."""
        return from_json(json.loads(line) for line in self.current.splitlines())

    @property
    def nics(self) -> tuple[str, ...]:
        return tuple(link.name for link in self.state.values() if isinstance(link, Link) and link.kind == "ethernet")

    @property
    def desired(self) -> State:
        """What the text asks for, with chains that every kernel takes."""
        config = single(parse(self.interfaces, f"/{ACTIVE}"))
        there = [link.name for link in self.state.values() if isinstance(link, Link) and not link.owner]
        return compile_interfaces(config, there, "mark").checked()

    @property
    def needs_lab(self) -> bool:
        links = [link for link in (*self.state.values(), *self.desired.values()) if isinstance(link, Link)]
        return any(link.kind in _LAB_KINDS or (isinstance(link, Bridge) and link.vlan_aware) for link in links)

    def text(self) -> str:
        """Return the file as it is written."""
        parts = (("interfaces", self.interfaces), ("current", self.current), ("plan", self.plan))
        return self.idea + "".join(f"-- {name} --\n{text}" for name, text in parts)


def load(path: Path) -> Case:
    """Return the case in *path*."""
    idea, *parts = re.split(r"^-- (interfaces|current|plan) --\n", path.read_text(), flags=re.MULTILINE)
    assert parts[::2] == ["interfaces", "current", "plan"], f"{path}: sections are interfaces, current, plan"
    return Case(path, idea, *parts[1::2])


def cases() -> list[Case]:
    """Return all golden cases."""
    return [load(path) for path in sorted(GOLDEN.glob("*/*.case")) if path.parent.name != "guest"]


def parameters(*, marked: bool) -> list[Any]:
    """Return all cases as parameters of a test, *marked* with what kernel they need."""
    return [
        pytest.param(
            case, id=case.name, marks=[pytest.mark.lab if case.needs_lab else pytest.mark.netns] if marked else []
        )
        for case in cases()
    ]


class Failing:
    """A machine that refuses its operation number *at*, counted from 0, and tells how many it was given."""

    def __init__(self, machine: Machine, at: int) -> None:
        self._machine, self._at = machine, at
        self.count = 0

    def observe(self, keys: Collection[Key] = (), *, only: bool = False, anew: Collection[Key] = ()) -> State:
        return self._machine.observe(keys, only=only, anew=anew)

    def owned(self, owner: str) -> list[Key]:
        return self._machine.owned(owner)

    def changed(self) -> set[Key]:
        return self._machine.changed()

    def disturbed(self) -> bool:
        return self._machine.disturbed()

    def counters(self, names: Collection[str]) -> dict[str, dict[str, int]]:
        return self._machine.counters(names)

    def forwarding(self) -> tuple[Heard, ...]:
        return self._machine.forwarding()

    def tallies(self, pieces: Collection[str]) -> tuple[Tally, ...]:
        return self._machine.tallies(pieces)

    def lacking(self, abilities: Collection[str]) -> frozenset[str]:
        return self._machine.lacking(abilities)

    def cut(self, flows: Collection[Flow], *, at_host: bool) -> int:
        return self._machine.cut(flows, at_host=at_host)

    def apply(self, *ops: Op) -> None:
        for op in ops:
            self.count += 1
            if self.count == self._at + 1:
                raise KernelError(str(op), 5, "Input/output error")
        self._machine.apply(*ops)


async def check(
    case: Case, machine: Machine, root: Path, *, update: bool = False, look: Callable[[], object] = lambda: None
) -> None:
    """Check *case* on *machine*, which has what it starts from; *look* is a second opinion on what there is."""
    assert str(parse(case.interfaces, "x")) == case.interfaces, "the text survives"
    desired = case.desired
    asked = {*desired, *(key for key in case.state if key[0] == "fdb")}
    todo = plan(desired, machine.observe(asked), {INTERFACES})
    text = printed(todo)
    if update and text != case.plan:
        case.path.write_text(replace(case, plan=text).text())
    else:
        assert text == case.plan, "the plan is the expected one"

    files = Files(root)
    files.write(ACTIVE, FIRST)
    change = {ACTIVE: versions(FIRST, case.interfaces.encode())}

    def everything() -> object:
        return plain(machine.observe(asked)), look(), files.read(ACTIVE)

    before = everything()
    for at in range(len(todo)):
        engine = Engine(Failing(machine, at), Journal(files))
        with pytest.raises(KernelError) as caught:
            await engine.apply(desired, change)
        engine.close()
        assert caught.value.outcome == "rolled back: the host is as it was"
        same(everything(), before, f"as before when this fails: {todo[at]}")

    engine = Engine(machine, Journal(files))
    await engine.apply(desired, change, confirm=_HOURS)
    assert files.read(ACTIVE) == case.interfaces.encode()
    await engine.roll_back()
    same(everything(), before, "unconfirmed: as before")

    assert printed(await engine.apply(desired, change)) == text
    engine.close()
    assert plan(desired, machine.observe(asked), {INTERFACES}) == (), "nothing is left to do"


def printed(ops: Iterable[Op]) -> str:
    """Return a plan as `pvenetctl plan` prints it, but for the digests of chains: their wording is not our concern."""
    return "".join(re.sub(" digest=[0-9a-f]+", "", f"{op}\n") for op in ops)


def same(now: object, before: object, why: str) -> None:
    """Fail with the lines that differ."""
    if now == before:
        return
    lines = [pformat(value, width=200).splitlines() for value in (before, now)]
    changed = [line for line in ndiff(*lines) if line[0] in "+-"]
    raise AssertionError("\n".join([why, *changed]))


def plain(state: State) -> dict[str, dict[str, Any]]:
    """Return a State as comparable records: without what the kernel makes up: a MAC, a NIC's kind, a port's cost."""
    return {" ".join(key): _plain(resource) for key, resource in state.items()}


def _plain(resource: Resource) -> dict[str, Any]:
    hidden = resource.silent | {"mac", "kind", "cost"}
    return {name: value for name, value in resource if name not in hidden}


def kinder(fake: State, kernel: State) -> list[str]:
    """Return in what *fake* differs from *kernel*; a field that the fake cannot know is None."""
    theirs, ours = plain(kernel), plain(fake)
    found = [f"only the kernel has {key}" for key in theirs.keys() - ours.keys()]
    found += [f"only the fake has {key}" for key in ours.keys() - theirs.keys()]
    for key in ours.keys() & theirs.keys():
        for name, value in ours[key].items():
            if name in theirs[key] and value is not None and theirs[key][name] != value:
                found.append(f"{key}: {name} is {theirs[key][name]}, and {value} in the fake")
    return sorted(found)


def run_async(job: Coroutine[Any, Any, object]) -> None:
    """Run *job* to its end; not by asyncio.run(), which drops the loop that pytest-asyncio before 1.0 keeps here."""
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(job)
