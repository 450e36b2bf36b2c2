"""Whether what an edit leaves may be written: only what it makes worse refuses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

from pvenetd.compile import Compiled
from pvenetd.devices import Device
from pvenetd.edits.keys import option_of, type_of
from pvenetd.edits.wish import Wish
from pvenetd.errors import EditError, Problem
from pvenetd.interfaces.stanza import canonical
from pvenetd.kinds.bond import Bond
from pvenetd.ports import memberships


def judge(wish: Wish, after: Compiled, before: Callable[[], Compiled], kind: str | None = None) -> None:
    """Raise `EditError` where *wish* makes errors that were not there *before*, or is not understood.

    *kind* is the type that the interface has to be of then.
    """
    if errors := _kind_errors(wish, after.devices, kind):
        raise EditError(errors)
    errors = _unknown(wish, after.problems)
    problems = _new(after, before) if after.errors else ()
    for problem in (*problems, *_second_gateways(wish, after.problems)):
        key = _key(wish, problem)
        text = problem.message + (f" ({problem.hint})" if problem.hint else "")
        errors[key] = f"{errors[key]}; {text}" if key in errors else text
    if errors:
        raise EditError(errors, problems)


def judge_deletion(name: str, after: Compiled, before: Callable[[], Compiled], nics: Collection[str]) -> None:
    """Raise `EditError` where another interface stands on *name*, or errors come that were not there *before*."""
    if used := "; ".join(_users(name, after.devices, nics)):
        raise EditError({"iface": used})
    judge(Wish(name), after, before)


def _new(after: Compiled, before: Callable[[], Compiled]) -> tuple[Problem, ...]:
    known = Counter(map(_fact, before().errors))
    found = []
    for problem in after.errors:
        if known[_fact(problem)]:
            known[_fact(problem)] -= 1
        else:
            found.append(problem)
    return tuple(found)


def _fact(problem: Problem) -> tuple[str, ...]:
    """Return what a problem says, wherever its line stands."""
    return problem.code, problem.interface, problem.option, problem.message


def _kind_errors(wish: Wish, devices: Mapping[str, Device], wanted: str | None) -> dict[str, str]:
    device = devices.get(wish.iface)
    if device is None or wanted is None:
        return {}
    kind = type_of(wish.iface, {key: line.value for key, line in device.lines.items()})
    if kind == wanted or {kind, wanted} <= {"eth", "unknown"}:
        return {}
    return {"type": f"{wish.iface} would be of type {kind}, not {wanted}"}


def _unknown(wish: Wish, problems: Collection[Problem]) -> dict[str, str]:
    """Return the keys that are no option of anybody's."""
    sent = {canonical(option_of(key) or ""): key for key in wish.values}
    return {
        sent[canonical(problem.option)]: f"no such option{f' ({problem.hint})' if problem.hint else ''}"
        for problem in problems
        if problem.code == "unknown-option"
        and problem.interface == wish.iface
        and canonical(problem.option) in sent
        and problem.message.startswith("unknown")
    }


def _second_gateways(wish: Wish, problems: Collection[Problem]) -> list[Problem]:
    """Return the warnings that are errors to who has asked for the gateway, as in Proxmox VE."""
    if not {"gateway", "gateway6"} & wish.values.keys():
        return []
    return [one for one in problems if one.code == "duplicate-gateway" and one.interface == wish.iface]


def _key(wish: Wish, problem: Problem) -> str:
    """Return the key that a problem is told under: the one that was sent, else the option, else the interface."""
    if problem.interface not in ("", wish.iface):
        return problem.interface if not wish.values else "iface"
    option = canonical(problem.option) or problem.code
    sent = {**wish.values, **dict.fromkeys(sorted(wish.dropped))}
    for key in sent:
        if canonical(option_of(key) or "") == option:
            return key
    families = {"address": ("cidr", "address", "cidr6", "address6"), "gateway": ("gateway", "gateway6")}
    return next((key for key in families.get(option, ()) if key in sent), problem.option or "iface")


def _users(name: str, devices: Mapping[str, Device], nics: Collection[str]) -> Iterator[str]:
    for port in memberships(devices, nics):
        if port.name == name and port.certain:
            what = "slave" if isinstance(port.master.link, Bond) else "port"
            yield f"is a {what} of {port.master.name}"
    for device in devices.values():
        if device.link is not None and name in device.link.lower:
            yield f"{device.name} stands on it"
        elif ":" in device.name and device.base == name:
            yield f"{device.name} is an alias of it"
