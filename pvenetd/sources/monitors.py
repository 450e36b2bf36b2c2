"""The monitors of the guests that run: found by the names of their sockets, followed as long as they are there.

A monitor has one client at a time (QEMU's chardev sockets): pvenetd keeps it, so it wants one for itself.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from pvenetd.sources.files import Directories, Names, watch_files
from pvenetd.sources.qmp import Client, QmpError, connected

log = logging.getLogger("pvenetd.qmp")

SHORTEST, LONGEST = 0.05, 30.0
"""Seconds between two tries to connect: twice as long after each; a socket that appears is tried at once."""
STEADY = 1.0
"""Seconds after which a monitor that was heard is tried again as soon as one that is new."""
_TOLD_AT_ONCE, _TOLD_EVERY = 30, 1.0
"""Events of one guest that are told in a row, and the seconds after which there may be one more."""
_LONGEST_TEXT = 80
_MOST_DEVICES = 64
_HEARD = {
    "SHUTDOWN": ("guest", "reason"),
    "RESET": ("guest", "reason"),
    "POWERDOWN": (),
    "STOP": (),
    "RESUME": (),
    "GUEST_PANICKED": ("action",),
    "DEVICE_DELETED": ("device", "path"),
    "NIC_RX_FILTER_CHANGED": ("name", "path"),
}
"""Events that say something about a guest's network, or its life, and what is told of them."""


class Guests(Protocol):
    """What is asked about guests, and what they are told."""

    def links(self, vmid: int) -> Mapping[int, bool]:
        """Return for each NIC, by the N of netN, whether its cable is plugged in."""

    def happened(self, vmid: int, what: str, facts: Mapping[str, Any]) -> None:
        """Hear what a guest did."""

    async def changed(self, vmid: int) -> None:
        """Look at a guest's devices again: some have gone, or all."""


class Monitors:
    """Every monitor whose socket's path is *pattern*, the VMID in place of its ``*``."""

    def __init__(self, pattern: Path, guests: Guests) -> None:
        self._directory = pattern.parent
        before, _, after = pattern.name.partition("*")
        self._name = re.compile(f"{re.escape(before)}([1-9][0-9]{{2,8}}){re.escape(after)}")
        self._guests = guests
        self._sessions: dict[int, Session] = {}

    async def run(self) -> None:
        """Follow monitors as they come and go, until cancelled."""
        with closing(Directories([self._directory])) as directories:
            async with asyncio.TaskGroup() as tasks:

                async def noticed(names: Names) -> None:
                    for name in names[self._directory] or self._there():
                        self._meet(name, tasks)

                await noticed({self._directory: None})
                await watch_files(directories, noticed)

    def refresh(self, vmid: int) -> None:
        """Look at the links of a guest's NICs again: its configuration may have changed."""
        if session := self._sessions.get(vmid):
            session.look()

    def _there(self) -> list[str]:
        try:
            return sorted(path.name for path in self._directory.iterdir())
        except OSError:
            return []

    def _meet(self, name: str, tasks: asyncio.TaskGroup) -> None:
        """Follow the monitor of that file name, if it is one's; one that is followed is tried at once."""
        found = self._name.fullmatch(name)
        if not found:
            return
        vmid = int(found[1])
        if session := self._sessions.get(vmid):
            session.retry.set()
            return
        session = self._sessions[vmid] = Session(vmid, self._directory / name, self._guests)
        tasks.create_task(session.run()).add_done_callback(lambda _: self._sessions.pop(vmid, None))


class Session:
    """One guest's monitor, from when its socket is there until it is gone."""

    def __init__(self, vmid: int, path: Path, guests: Guests) -> None:
        self._vmid, self._path, self._guests = vmid, path, guests
        self.retry = asyncio.Event()
        """Set where the socket may be another by now."""
        self._todo = asyncio.Event()
        self._filters: set[str] = set()
        """Devices whose filter has changed; QEMU tells the next change once it was asked for this one."""
        self._lost = False
        """Whether a device has been taken out."""
        self._links: dict[int, bool] = {}
        """How QEMU was told that links are."""
        self._measures: dict[str, _Measured] = {}
        """One for each kind of event: a guest that changes its filters all the time hides nothing else."""
        self._complaint = ""

    def _tell(self, what: str, facts: Mapping[str, Any]) -> None:
        if what not in self._measures:
            self._measures[what] = _Measured(lambda what, facts: self._guests.happened(self._vmid, what, facts))
        self._measures[what](what, facts)

    def look(self) -> None:
        """Have links, and what is known of devices, brought up to date."""
        self._todo.set()

    async def run(self) -> None:
        """Follow the monitor; end where its socket is gone.  Whatever goes wrong ends no other's session."""
        try:
            await self._follow()
        except Exception:
            log.exception("guest %s: its monitor is no longer followed", self._vmid)

    async def _follow(self) -> None:
        clock = asyncio.get_running_loop().time
        pause, alive = SHORTEST, False
        while True:
            self.retry.clear()
            greeted: float | None = None
            try:
                async with connected(self._path, self._heard) as client:
                    alive, greeted = True, clock()
                    await self._converse(client)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if alive:
                    alive = False
                    self._tell("gone", {})
                    await self._look_again()
                if isinstance(error, FileNotFoundError):
                    return
            except (QmpError, OSError, TimeoutError) as error:
                self._complain(str(error) or "no answer: does another client have it?")
            if greeted is not None and clock() - greeted > STEADY:
                pause, self._complaint = SHORTEST, ""
            try:
                await asyncio.wait_for(self.retry.wait(), pause)
            except TimeoutError:
                pause = min(2 * pause, LONGEST)

    async def _converse(self, client: Client) -> None:
        """Listen until the other end is gone.  Raises `QmpError`, OSError, TimeoutError."""
        self._links, self._filters = {}, set()
        self._tell("connected", {})
        self.look()
        both = [asyncio.create_task(client.listen()), asyncio.create_task(self._work(client))]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _work(self, client: Client) -> None:
        while True:
            await self._todo.wait()
            self._todo.clear()
            if self._lost:
                self._lost = False
                await self._look_again()
            if self._filters:
                await self._ask_filters(client)
            for index, up in self._guests.links(self._vmid).items():
                if self._links.get(index) != up:
                    await self._set_link(client, index, up=up)

    async def _set_link(self, client: Client, index: int, *, up: bool) -> None:
        """Plug a NIC's cable in, or pull it; one whose device has another name is left as it is."""
        was = self._links.get(index)
        self._links[index] = up
        try:
            await client.execute("set_link", name=f"net{index}", up=up)
        except QmpError as error:
            if not up:
                self._tell("link stays up", {"nic": f"net{index}", "error": _printable(error)})
        else:
            if not up or was is not None:
                self._tell("link", {"nic": f"net{index}", "up": int(up)})

    async def _ask_filters(self, client: Client) -> None:
        """Tell what NICs listen to; it is only told: a guest does not choose where others' frames go.

        All are asked about: by name QEMU may find the NIC's other half, and refuse.
        """
        changed, self._filters = self._filters, set()
        try:
            found = await client.execute("query-rx-filter")
        except QmpError:
            return
        for nic in found if isinstance(found, list) else ():
            if isinstance(nic, dict) and ("" in changed or str(nic.get("name")) in changed):
                facts = {"device": nic.get("name"), "mac": nic.get("main-mac"), "promiscuous": nic.get("promiscuous")}
                self._tell("filter", {key: _plain(value) for key, value in facts.items()})

    def _heard(self, event: str, data: dict[str, Any]) -> None:
        if event not in _HEARD:
            return
        self._tell(event, {key: _plain(data[key]) for key in _HEARD[event] if key in data})
        if event == "NIC_RX_FILTER_CHANGED" and len(self._filters) < _MOST_DEVICES:
            device = str(data.get("name") or "")[:_LONGEST_TEXT]
            self._filters.add(device)
            if found := re.fullmatch("net([0-9]{1,2})", device):
                self._links.pop(int(found[1]), None)  # a driver has begun to use it: it may have been added just now
        self._lost = self._lost or event == "DEVICE_DELETED"
        self.look()

    async def _look_again(self) -> None:
        try:
            await self._guests.changed(self._vmid)
        except Exception:
            log.exception("guest %s: what it did could not be followed", self._vmid)

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            log.warning("guest %s: %s: %s", self._vmid, self._path, text)


class _Measured:
    """Tells no more than so much, and how much it kept to itself."""

    def __init__(self, tell: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._tell = tell
        self._left, self._untold = float(_TOLD_AT_ONCE), 0
        self._at = asyncio.get_running_loop().time()

    def __call__(self, what: str, facts: Mapping[str, Any]) -> None:
        now = asyncio.get_running_loop().time()
        self._left = min(_TOLD_AT_ONCE, self._left + (now - self._at) / _TOLD_EVERY)
        self._at = now
        if self._left < 1:
            self._untold += 1
            return
        self._left -= 1
        more = {"untold": self._untold} if self._untold else {}
        self._untold = 0
        self._tell(what, {**facts, **more})


def _plain(value: object) -> object:
    """Return a value as it may be told: a number as it is, anything else as a short text without control characters."""
    return int(value) if isinstance(value, bool | int) else _printable(value)


def _printable(value: object) -> str:
    return "".join(char if char.isprintable() else "?" for char in str(value)[:_LONGEST_TEXT])
