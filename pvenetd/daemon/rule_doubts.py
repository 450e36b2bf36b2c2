"""What would be wrong with the firewall's files after an edit, and is not now."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from pvenetd.daemon.firewall import Firewall
from pvenetd.daemon.rulebook import CLUSTER
from pvenetd.daemon.slices import in_slices
from pvenetd.daemon.store import Store
from pvenetd.errors import Problem, PvenetError
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.syntax import Config
from pvenetd.guests.guest import Guest

_LINE = re.compile(r"\bline [0-9]+")


async def doubts(store: Store, firewall: Firewall, changed: Mapping[str, Config]) -> list[Problem]:
    """Return the errors that the files would have with *changed* in them, by name, and don't have as they are.

    What was wrong before keeps nobody from an edit; a line that has only moved is no other line.
    """
    shared = firewall.shared()
    after = {**shared, **{name: config for name, config in changed.items() if not name.isdigit()}}
    before, found = Counter[tuple[str, ...]](), list[Problem]()
    if after != shared:
        before += _counted(firewall.wrong(shared))
        found += firewall.wrong(after)
    renamed = _names(shared[CLUSTER]) != _names(after[CLUSTER])
    about = [name for name in store.rule_names() if name.isdigit()] if renamed else []
    async for name in in_slices(dict.fromkeys([*about, *(one for one in changed if one.isdigit())])):
        now = store.rules(name)
        new = changed.get(name, now)
        guest = _guest(store, int(name)) if name in changed else None  # to compile all would take a second
        before += _counted(_of_guest(firewall, guest, now, shared[CLUSTER]))
        found += _of_guest(firewall, guest, new, after[CLUSTER])
    return [*_new(found, before)]


def _of_guest(firewall: Firewall, guest: Guest | None, config: Config, cluster: Config) -> Iterator[Problem]:
    """Yield what is wrong with a guest's file, each line of it once."""
    found = [*config.problems, *Names(cluster, config).problems(config)]
    if guest and not _errors(found):
        found += firewall.wrong_guest(guest, config, cluster)
    yield from dict.fromkeys(found)


def _guest(store: Store, vmid: int) -> Guest | None:
    try:
        return store.guest(vmid)
    except PvenetError:
        return None


def _names(cluster: Config) -> object:
    """Return all of cluster.fw that may make a guest's file wrong."""
    return {name: one.addresses for name, one in cluster.aliases.items()}, cluster.sets.keys(), cluster.groups.keys()


def _errors(problems: list[Problem]) -> bool:
    return any(one.severity == "error" for one in problems)


def _key(problem: Problem) -> tuple[str, ...]:
    return problem.path, problem.code, _LINE.sub("", problem.message)


def _counted(problems: Iterable[Problem]) -> Counter[tuple[str, ...]]:
    return Counter(_key(one) for one in dict.fromkeys(problems) if one.severity == "error")


def _new(found: list[Problem], before: Counter[tuple[str, ...]]) -> Iterator[Problem]:
    for problem in dict.fromkeys(found):
        if problem.severity == "error":
            if not before[_key(problem)]:
                yield problem
            else:
                before[_key(problem)] -= 1
