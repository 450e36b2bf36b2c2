"""Leases: what guests' NICs were leased, told by copies of what DHCP servers answer (`firewall.leases`).

The kernel has learnt an IPv4 address before the daemon hears of it.  What is left to do: have it last as long as
the lease, take it away when the guest gives it back, learn what IPv6 leases, and know it all again after a restart
of the daemon, of the host, or of the rules: a guest that was saved to disk does not ask again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from typing_extensions import TypedDict

from pvenetd.daemon.staging import Files
from pvenetd.daemon.store import Store
from pvenetd.errors import KernelError
from pvenetd.firewall.dhcp import Leased, Said, said
from pvenetd.firewall.holdings import MOST, Holding, Holdings, Seat
from pvenetd.firewall.leases import LEARNT, Element
from pvenetd.firewall.log import Logged
from pvenetd.firewall.match import Learnt

PATH = "var/lib/pvenetd/leases.json"
_LATER = 1.0
"""Seconds until what is new is on disk; until then the kernel knows it."""
_LONGEST_WAIT = 86400.0
"""Seconds: the loop's timers are not made for years."""

log = logging.getLogger("pvenetd.leases")
Asked = dict[tuple[int, int], Said]


class LeaseRecord(TypedDict):
    """An address, or a prefix, that was leased to a guest's NIC."""

    vmid: int
    nic: str
    """``net0`` to ``net31``."""
    address: str
    mac: str
    tap: str
    network: str
    """The bridge, and its VLAN: ``vmbr0.20``; 0 without a tag."""
    server: str
    """Who has leased it; empty where the kernel learnt it while nobody listened."""
    seconds: int
    """For which it lasts yet."""
    ends: str
    """When that is (ISO 8601)."""


class Sets(Protocol):
    """The kernel's."""

    def read(self) -> dict[Element, float] | None:
        """Return what is in them, and the seconds left; None where there are none."""

    def put(self, leases: Mapping[Element, float]) -> None:
        """Have elements be in them for so many seconds."""

    def take(self, elements: Iterable[Element]) -> None:
        """Have none of them be in them."""


class Leases:
    """What guests are leased."""

    def __init__(self, store: Store, files: Files, told: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._store = store
        self._files = files
        self._told = told
        self._held = Holdings()
        self._asked: Asked = {}
        """The last question of each NIC: what a server may say no to."""
        self._full: set[tuple[int, int]] = set()
        """NICs of which was told that they are leased too much."""
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.kernel: Sets | None = None
        """None where nobody may look at it."""
        self.obstacle = ""
        """Why nothing is heard of leases: the kernel learns IPv4's by itself, for a day."""

    def close(self) -> None:
        """Write down what is known, and wait for nothing any more."""
        for timer in (self._timer, self._writing):
            if timer:
                timer.cancel()
        if self._writing:
            self._write()
        for task in self._tasks:
            task.cancel()

    async def start(self) -> None:
        """Know again what an earlier run knew, and what the kernel has learnt since."""
        try:
            self._held.restore(json.loads(self._files.read(PATH) or b"[]"), _now(), time.time())
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("/%s is broken, guests have to ask for their addresses again: %s", PATH, error)
        for vmid in {one.seat.vmid for one in self._held}:
            if seats := self._seats(vmid):  # else whoever defines it has not been heard yet
                self._held.move(vmid, seats)
        await self.refill()

    async def refill(self) -> None:
        """Have the kernel know what is known here, and know here what it knows: either may have been made anew."""
        async with self._turn:
            there = await self._read()
            if there is None:
                return
            now = _now()
            known = {one.element: one for one in self._held}
            await self._put({one: held.ends - now for one, held in known.items() if one not in there})
            strange = []
            for element, left in there.items():
                seat = self._seat(element.port)
                if element in known or left <= 0:
                    continue
                if (
                    not seat
                    or seat.mac != element.mac
                    or not self._take(seat, Leased(element.version, element.span, round(left)), "")
                ):
                    strange.append(element)
            await self._gone(strange)
        self._wait()

    def follow(self, vmid: int) -> None:
        """Take note that a guest, or one of its NICs, may be another now, or elsewhere."""
        if not self._held.of(vmid):
            return
        gone, moved = self._held.move(vmid, self._seats(vmid))
        for one in gone:
            self._tell("lease ended", one, "its NIC has another address, is in another network, or is gone")
        if gone or moved:
            task = asyncio.get_running_loop().create_task(self._moved(gone, moved))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._changed()

    async def _moved(self, gone: Collection[Holding], moved: Collection[Holding]) -> None:
        async with self._turn:
            await self._gone(one.element for one in gone)
            await self._put({one.element: one.ends - _now() for one in moved})

    async def take(self, packets: Iterable[Logged], *, lost: bool = False) -> None:
        """Take note of *packets* to and from guests; *lost* tells that there were more."""
        for packet in packets:
            is_answer = packet.prefix == LEARNT
            seat = self._seat(packet.port_out if is_answer else packet.port_in)
            found = said(packet.ethertype, packet.packet)
            if seat and found and found.mac in ("", seat.mac) and is_answer == (found.kind in ("leased", "refused")):
                async with self._turn:
                    await self._heard(seat, found)
        if lost:
            await self.refill()

    async def _heard(self, seat: Seat, found: Said) -> None:
        nic = (seat.vmid, seat.index)
        match found.kind:
            case "asked" if found.mac:  # over IPv6 nobody says no
                self._asked[nic] = found
            case "leased":
                await self._leased(seat, found)
            case "returned":
                await self._returned(seat, found.addresses, "the guest has given it back")
            case "refused" if (asked := self._asked.get(nic)) and asked.exchange == found.exchange:
                await self._returned(seat, asked.addresses, f"{found.server} has refused it")

    async def _leased(self, seat: Seat, found: Said) -> None:
        put, gone = {}, []
        for one in found.addresses:
            before = self._held.has(seat, one.version, one.span)
            if one.seconds <= 0:
                await self._returned(seat, (one,), f"{found.server} has taken it away")
            elif held := self._take(seat, one, found.server):
                put[held.element] = float(one.seconds)
                if not before:
                    self._tell("leased", held, "")
            else:
                gone.append(Element(seat.port, seat.mac, one.version, one.span))
        await self._put(put)
        await self._gone(gone)
        self._wait()

    def _take(self, seat: Seat, leased: Leased, server: str) -> Holding | None:
        held = self._held.take(seat, leased, server, _now())
        nic = (seat.vmid, seat.index)
        if held:
            self._changed()
        elif nic not in self._full:
            self._full.add(nic)
            log.warning(
                "guest %s: net%s: more than %s addresses were leased to it: no further one is let in", *nic, MOST
            )
            self._told("leased too much", {"vmid": seat.vmid, "nic": f"net{seat.index}", "server": server})
        return held

    async def _returned(self, seat: Seat, addresses: Iterable[Leased], why: str) -> None:
        """Forget addresses of a NIC."""
        gone = [held for one in addresses if (held := self._held.has(seat, one.version, one.span))]
        self._held.drop(gone)
        for one in gone:
            self._tell("lease ended", one, why)
        await self._gone(one.element for one in gone)
        if gone:
            self._changed()

    def records(self, vmid: int | None = None) -> list[LeaseRecord]:
        """Return what is leased, to one guest alone with *vmid*."""
        now = _now()
        found = [one for one in self._held if vmid in (None, one.seat.vmid) and one.ends > now]
        return [
            {
                "vmid": one.seat.vmid,
                "nic": f"net{one.seat.index}",
                "address": one.address,
                "mac": one.seat.mac,
                "tap": one.seat.port,
                "network": one.seat.network,
                "server": one.server,
                "seconds": round(one.ends - now),
                "ends": datetime.fromtimestamp(time.time() + one.ends - now, UTC).isoformat(timespec="seconds"),
            }
            for one in sorted(found, key=lambda one: (one.seat.vmid, one.seat.index, one.version, one.span))
        ]

    def learnt(self) -> Learnt | None:
        """Return the addresses by their ports, None where nobody knows."""
        if self.kernel is None:
            return None
        found: dict[str, list[tuple[int, Any]]] = {}
        for one in self._held:
            found.setdefault(one.seat.port, []).append((one.version, one.span))
        return found

    def _seat(self, port: str) -> Seat | None:
        """Return whose port it is."""
        nic = self._store.definitions.holder(port) if port else None
        return self._seats(nic[0]).get(nic[1]) if nic else None

    def _seats(self, vmid: int) -> dict[int, Seat]:
        guest = self._store.guest(vmid)
        if not guest:
            return {}
        return {
            index: Seat(vmid, index, guest.device(index), nic.mac.lower(), f"{nic.bridge}.{nic.tag or 0}")
            for index, nic in guest.nics.items()
            if nic.mac and nic.bridge
        }

    def _wait(self) -> None:
        """Wait for the next lease to end: the kernel forgets it by itself."""
        if self._timer:
            self._timer.cancel()
        ends = min((one.ends for one in self._held), default=None)
        if ends is not None:
            seconds = min(max(0.0, ends - _now()), _LONGEST_WAIT)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        gone = self._held.ended(_now())
        for one in gone:
            self._tell("lease ended", one, "it has expired")
        if gone:
            self._changed()
        self._wait()

    def _tell(self, what: str, held: Holding, why: str) -> None:
        facts = {**_record(held), "server": held.server, **({"why": why} if why else {})}
        self._full.discard((held.seat.vmid, held.seat.index))
        self._told(what, facts)
        log.info(
            "guest %s: net%s: %s %s%s", held.seat.vmid, held.seat.index, held.address, what, f": {why}" * bool(why)
        )

    def _changed(self) -> None:
        """Have what is known written soon."""
        if self._writing is None:
            self._writing = asyncio.get_running_loop().call_later(_LATER, self._write)

    def _write(self) -> None:
        self._writing = None
        told = self._held.to_json(_now(), time.time())
        try:
            self._files.put(PATH, json.dumps(told).encode() if told else None)
        except OSError as error:
            log.warning("%s: %s: leases are forgotten by a boot", PATH, error.strerror or error)

    async def _read(self) -> dict[Element, float] | None:
        try:
            return await asyncio.to_thread(self.kernel.read) if self.kernel else None
        except KernelError as error:
            log.error("%s", error)  # noqa: TRY400
            return None

    async def _put(self, leases: Mapping[Element, float]) -> None:
        leases = {one: seconds for one, seconds in leases.items() if seconds > 0}
        if leases and (kernel := self.kernel):
            await self._work(lambda: kernel.put(leases))

    async def _gone(self, elements: Iterable[Element]) -> None:
        gone = [*elements]
        if gone and (kernel := self.kernel):
            await self._work(lambda: kernel.take(gone))

    async def _work(self, job: Callable[[], None]) -> None:
        """Do so beside the applier: whoever applies something keeps no guest waiting for its address."""
        try:
            await asyncio.to_thread(job)
        except KernelError as error:
            log.error("%s", error)  # noqa: TRY400


def _record(held: Holding) -> dict[str, Any]:
    return {"vmid": held.seat.vmid, "nic": f"net{held.seat.index}", "address": held.address}


def _now() -> float:
    return asyncio.get_running_loop().time()
