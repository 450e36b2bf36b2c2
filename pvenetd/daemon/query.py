"""What ifquery tells: the active configuration by interface, beside what runs, or checked against it (ifquery(8))."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from typing_extensions import TypedDict

from pvenetd.choice import matching
from pvenetd.daemon.applies import Applies
from pvenetd.daemon.hand import Wish
from pvenetd.daemon.store import Store
from pvenetd.devices import Device
from pvenetd.engine import Engine
from pvenetd.errors import NotFound
from pvenetd.interfaces.config import Config
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link, options
from pvenetd.option import ZeroOne
from pvenetd.plan import Op, waiting
from pvenetd.state import INTERFACES, Address, State
from pvenetd.vocabulary import PHASES


class StanzaRecord(TypedDict):
    """One stanza."""

    name: str
    auto: ZeroOne
    family: str
    method: str
    config: list[list[str]]
    """Pairs of an option and its value."""


class CheckedRecord(StanzaRecord):
    """A stanza, with what the kernel says to it."""

    status: Literal["pass", "fail"]
    config_status: list[str]
    """``pass``, ``fail``, or nothing, for each of its lines."""


class UpRecord(TypedDict):
    """Whether an interface is up."""

    name: str
    up: ZeroOne


class Query:
    """The questions."""

    def __init__(self, store: Store, engine: Engine, interfaces: Applies) -> None:
        self._store = store
        self._engine = engine
        self._interfaces = interfaces

    def names(self, wish: Wish) -> list[str]:
        """Return which interfaces are meant.  Raises `NotFound`, `ConfigError`."""
        config = self._store.interfaces(staged=False)
        if missing := [name for name in wish.names if name not in config.by_name]:
            raise NotFound(f"no interface {', '.join(missing)} in the configuration")
        names = [*wish.names]
        if wish.everything:
            names += config.classes.get(wish.group or "auto", ())
        out = {*matching(names, wish.exclude)}
        return [name for name in dict.fromkeys(names) if name not in out and name in config.by_name]

    def configured(self, wish: Wish) -> list[StanzaRecord]:
        """Return the stanzas."""
        config = self._store.interfaces(staged=False)
        return [record for name in self.names(wish) for record in _stanzas(name, config)]

    async def checked(self, wish: Wish) -> list[CheckedRecord]:
        """Return the stanzas, with what the kernel says to each of their lines."""
        config = self._store.interfaces(staged=False)
        compiled = await self._interfaces.compiled(config, reloaded=True)
        wanted = compiled.checked()
        ops = await self._engine.plan(INTERFACES, wanted)
        absent = {key[1] for key in waiting(wanted, await self._engine.observe()) if key[0] == "link"}
        return [
            _judged(record, compiled.devices[name], ops, absent)
            for name in self.names(wish)
            for record in _stanzas(name, config)
        ]

    async def running(self, wish: Wish) -> list[StanzaRecord]:
        """Return what runs, as stanzas would say it."""
        config, live = self._store.interfaces(staged=False), await self._engine.observe()
        there = [name for name in self.names(wish) if ("link", name) in live]
        return [_running(name, config, live) for name in there]

    async def up(self, wish: Wish) -> list[UpRecord]:
        """Return of each interface that is named whether it is up; without names, those that are."""
        config, live = self._store.interfaces(staged=False), await self._engine.observe()
        names = self.names(wish) if wish.names or wish.everything else list(config.by_name)
        found = [(name, bool(getattr(live.get(("link", name.partition(":")[0])), "up", False))) for name in names]
        return [{"name": name, "up": int(is_up)} for name, is_up in found if is_up or name in wish.names]


def _stanzas(name: str, config: Config) -> Iterable[StanzaRecord]:
    for stanza in config.by_name[name]:
        yield {
            "name": name,
            "auto": int(name in config.autos),
            "family": stanza.family or "",
            "method": stanza.method or "",
            "config": [[line.key, line.value] for line in stanza.options if line.value],
        }


def _running(name: str, config: Config, live: State) -> StanzaRecord:
    link = live["link", name]
    lines = [["address", one.address] for one in live.values() if isinstance(one, Address) and one.dev == name]
    if isinstance(link, Bridge):
        ports = sorted(one.name for one in live.values() if isinstance(one, Link) and one.master == name)
        lines.append(["bridge-ports", " ".join(ports) or "none"])
    if isinstance(link, Link):
        lines += [[option, str(value)] for option, value in (("mtu", link.mtu), ("hwaddress", link.mac)) if value]
    return {"name": name, "auto": int(name in config.autos), "family": "", "method": "", "config": lines}


def _judged(record: StanzaRecord, device: Device, ops: tuple[Op, ...], absent: Iterable[str]) -> CheckedRecord:
    mine = [op for op in ops if _concerns(op, device)]
    verdicts = [_verdict(device, key, value, mine, is_absent=device.base in absent) for key, value in record["config"]]
    failed = device.base in absent or bool(mine)
    return {**record, "status": "fail" if failed else "pass", "config_status": verdicts}


def _concerns(op: Op, device: Device) -> bool:
    key = op.resource.key
    owner = getattr(op.resource, "dev", "") or getattr(op.resource, "iface", "") or (key[1] if key[0] == "link" else "")
    return owner in (device.name, device.base)


def _verdict(device: Device, key: str, value: str, ops: Iterable[Op], *, is_absent: bool) -> str:
    """Return ``pass``, ``fail``, or nothing where the kernel has nothing to say."""
    known = options(type(device.link)) if device.link is not None else {}
    if is_absent:
        return "fail"
    fields = {known[key][0]} if key in known else set()
    if key in ("bridge-ports", "bond-slaves", "address", "gateway") or key in PHASES or fields:
        wrong = [op for op in ops if _breaks(op, key, value, fields)]
        return "fail" if wrong else "pass"
    return ""


def _breaks(op: Op, key: str, value: str, fields: set[str]) -> bool:
    noun = op.resource.noun
    if key == "address":
        return noun == "address" and str(op.resource.key[2]).partition("/")[0] == value.partition("/")[0].lower()
    if key == "gateway":
        return noun == "route"
    if key in PHASES:
        return noun == "hook"
    return noun == "link" and (op.verb != "~" or bool(fields & op.changes.keys()))
