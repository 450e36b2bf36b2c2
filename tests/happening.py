"""A host with guests on some machine, and what happens to it: told, not told, told twice, in whatever order.

`Scene` keeps beside it what is true: which devices there are, who was pulled.  What has come of it is held against
what has to be, said a second time here, and in other words than `pvenetd.guests.wanted` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hypothesis import strategies as st

from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.store import Store
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Conflict, NotFound
from pvenetd.guests.wanted import PULLED
from pvenetd.kinds.link import Link
from pvenetd.machine import Machine
from pvenetd.settings import Settings

BRIDGES = ("vmbr0", "vmbr1")
UUID = "6d0b3c9a-52f4-4c5e-9d7e-0123456789ab"
DEVICES = {"tap100i0": (100, 0), "tap100i1": (100, 1), "vnet3": (101, 0), "tap101i1": (101, 1)}
_TEXTS = (
    {0: "vmbr0"},
    {0: "vmbr1", 1: "vmbr0"},
    {0: "vmbr0", 1: ""},
    {1: "vmbr1"},
    {},
)
"""What a guest's definition says: the bridge of each NIC, empty for none."""

Event = tuple[Any, ...]


def events() -> st.SearchStrategy[list[Event]]:
    """Return what may happen."""
    device, bridge = st.sampled_from(sorted(DEVICES)), st.sampled_from(BRIDGES)
    return st.lists(
        st.one_of(
            st.tuples(st.just("define"), st.sampled_from([100, 101]), st.sampled_from([*_TEXTS, None]), _told),
            st.tuples(st.sampled_from(["appear", "appear", "vanish"]), device),
            st.tuples(st.sampled_from(["up", "up", "down", "plug", "unplug"]), device, st.integers(1, 2)),
            st.tuples(st.sampled_from(["away", "back", "back"]), bridge),
            st.tuples(st.just("meddle"), device, st.sampled_from(["", *BRIDGES]), st.booleans()),
            st.tuples(st.sampled_from(["noticed", "late_noticed", "restart"])),
        ),
        max_size=25,
    )


_told = st.sampled_from(["once", "twice", "restart"])


class Others(Protocol):
    """All who change the machine without asking."""

    machine: Machine

    def appear(self, device: str) -> None:
        """Have QEMU make a tap."""

    def vanish(self, device: str) -> None:
        """Have a tap go."""

    def bridge(self, name: str) -> None:
        """Make a bridge."""

    def meddle(self, device: str, master: str, *, up: bool) -> None:
        """Move a tap into another bridge, or none, and set it up or down."""

    def restart(self) -> None:
        """Have what looks at the machine forget all it knows."""


@dataclass(slots=True)
class Truth:
    """What is so, whoever has been told of it."""

    defined: dict[int, dict[int, str]] = field(default_factory=dict)
    bridges: set[str] = field(default_factory=lambda: set(BRIDGES))
    present: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    """Devices that pvenetd was asked to make."""
    theirs: set[str] = field(default_factory=set)
    """Devices that others have made."""
    pulled: set[str] = field(default_factory=set)

    def bridge(self, device: str) -> str | None:
        """Return the bridge that a device is to be a port of by its guest's definition, None where it is no guest's."""
        vmid, index = DEVICES[device]
        return self.defined.get(vmid, {}).get(index)

    def fits(self, device: str) -> bool:
        return self.bridge(device) in self.bridges


class Scene:
    """A daemon on a machine that others use, too."""

    def __init__(self, root: Path, others: Others) -> None:
        self._files = Files(root)
        self._files.put("etc/network/interfaces", b"auto lo\niface lo inet loopback\n")
        self._others = others
        self._truth = Truth()
        self._late: list[asyncio.Task[object]] = []
        for name in BRIDGES:
            others.bridge(name)

    async def play(self, happening: list[Event]) -> None:
        """Have all of it happen, then hold what has come of it against what has to be."""
        await self._start()
        try:
            for what, *about in happening:
                await getattr(self, f"_{what}")(*about)
            await self._noticed()
            await self._settle()
            await self._check()
        finally:
            await self._stop()

    async def _start(self) -> None:
        journal = Journal(self._files)
        self._engine = Engine(self._others.machine, journal)
        self._daemon = Daemon(Store(self._files), self._engine, journal, Settings(), "ct")
        await self._daemon.start()

    async def _stop(self) -> None:
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        self._late.clear()
        self._daemon.close()
        self._engine.close()

    async def _settle(self) -> None:
        await asyncio.gather(*self._late)
        self._late.clear()

    async def _restart(self) -> None:
        """Kill the daemon, whatever it was at."""
        await self._stop()
        self._others.restart()
        await self._start()

    async def _noticed(self) -> None:
        await self._daemon.noticed()

    async def _late_noticed(self) -> None:
        self._late.append(asyncio.create_task(self._daemon.noticed()))

    async def _define(self, vmid: int, nics: dict[int, str] | None, told: str) -> None:
        await self._settle()
        if nics is None:
            self._truth.defined.pop(vmid, None)
        else:
            self._truth.defined[vmid] = nics
        gone = {device for device in self._truth.made if self._truth.bridge(device) is None}
        self._truth.made -= gone
        self._truth.present -= gone - self._truth.theirs
        if vmid == 100:
            text = "".join(
                f"net{n}: virtio{f',bridge={bridge}' if bridge else ''}\n" for n, bridge in (nics or {}).items()
            )
            self._files.put("etc/pvenetd/qemu-server/100.conf", None if nics is None else text.encode())
        elif nics is None:
            await self._daemon.guests.undefine(UUID)
        else:
            await self._daemon.guests.define(domain(nics))
        if told == "restart":
            await self._restart()
        else:
            for _ in range(2 if told == "twice" else 1):
                await self._daemon.guests.load([vmid])

    async def _appear(self, device: str) -> None:
        if device not in self._truth.present:
            await self._by_others(lambda: self._others.appear(device))
            self._truth.present.add(device)
            self._truth.theirs.add(device)

    async def _vanish(self, device: str) -> None:
        await self._by_others(lambda: self._others.vanish(device))
        self._truth.present.discard(device)
        self._truth.theirs.discard(device)
        self._truth.pulled.discard(device)

    async def _away(self, bridge: str) -> None:
        if bridge in self._truth.bridges:
            await self._by_others(lambda: self._others.vanish(bridge))
            self._truth.bridges.discard(bridge)

    async def _back(self, bridge: str) -> None:
        if bridge not in self._truth.bridges:
            await self._by_others(lambda: self._others.bridge(bridge))
            self._truth.bridges.add(bridge)

    async def _meddle(self, device: str, master: str, up: bool) -> None:
        if device in self._truth.present and (not master or master in self._truth.bridges):
            await self._by_others(lambda: self._others.meddle(device, master, up=up))

    async def _up(self, device: str, times: int) -> None:
        """Have QEMU's hook tell of a tap."""
        await self._ask(lambda: self._daemon.guests.plug(*DEVICES[device], made_here=False), times)
        if device in self._truth.present and self._truth.fits(device):
            self._truth.pulled.discard(device)

    async def _plug(self, device: str, times: int) -> None:
        await self._ask(lambda: self._daemon.guests.plug(*DEVICES[device]), times)
        if self._truth.fits(device):
            self._truth.pulled.discard(device)
            if device not in self._truth.present:
                self._truth.made.add(device)
                self._truth.present.add(device)

    async def _unplug(self, device: str, times: int) -> None:
        await self._ask(lambda: self._daemon.guests.unplug(*DEVICES[device]), times)
        if not self._truth.bridge(device):
            return
        self._truth.made.discard(device)
        if device in self._truth.theirs:
            self._truth.pulled.add(device)
        else:
            self._truth.present.discard(device)

    _down = _unplug

    async def _ask(self, job: Callable[[], Coroutine[Any, Any, object]], times: int) -> None:
        await self._settle()
        for _ in range(times):
            with suppress(NotFound, Conflict, ConfigError):
                await job()

    async def _by_others(self, job: Callable[[], None]) -> None:
        """Run *job* between two jobs of the daemon's: it is one kernel."""
        await self._engine.work(job)

    async def _check(self) -> None:
        live = await self._engine.observe()
        for device in DEVICES:
            link = live.get(("link", device))
            assert link is None or isinstance(link, Link)
            self._check_device(device, link)
        for vmid in (100, 101):
            with suppress(ConfigError):
                assert await self._daemon.guests.reconcile(vmid) == ()

    def _check_device(self, device: str, link: Link | None) -> None:
        truth, bridge = self._truth, self._truth.bridge(device)
        if not truth.fits(device):
            if bridge is None or device not in truth.made:  # whether ours was made again before its bridge went is open
                assert (link is not None) == (device in truth.present), device
            if link and not bridge:
                assert not link.owner, "nobody's device is nobody's"
            if link and bridge:
                assert link.master in {"", *truth.bridges - {bridge}}, "it stays where it was, if that is there"
            return
        if device not in truth.present | truth.made:
            assert link is None
            return
        assert link is not None, device
        owner = f"vm:{DEVICES[device][0]}"
        if device in truth.pulled:
            assert (link.master, link.up, link.owner, link.alias) == ("", False, owner, PULLED)
        else:
            assert (link.master, link.up, link.owner, link.alias or "") == (bridge, True, owner, "")
        assert link.made_here == (device not in truth.theirs)


def domain(nics: dict[int, str]) -> str:
    """Return the XML of guest 101: its first NIC has libvirt's name."""
    devices = "".join(
        f"<interface type='ethernet'><target dev='{'vnet3' if index == 0 else f'tap101i{index}'}'/>"
        f"<model type='virtio'/></interface>"
        for index in nics
    )
    nets = "".join(f"<pvenetd:net index='{index}' bridge='{bridge}'/>" for index, bridge in nics.items() if bridge)
    return (
        f"<domain type='kvm'><name>vm101</name><uuid>{UUID}</uuid><metadata>"
        f"<pvenetd:guest xmlns:pvenetd='https://pvenetd.example/libvirt/1' vmid='101'>{nets}</pvenetd:guest>"
        f"</metadata><devices>{devices}</devices></domain>"
    )
