"""A guest as it is told: each NIC as it is configured, beside what the machine has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from typing_extensions import TypedDict

from pvenetd.daemon.definitions import Definitions
from pvenetd.daemon.leases import LeaseRecord
from pvenetd.daemon.slices import in_slices
from pvenetd.engine import Engine
from pvenetd.errors import Problem
from pvenetd.guests.doubles import doubles
from pvenetd.guests.guest import Guest
from pvenetd.guests.nic import Nic
from pvenetd.guests.wanted import PULLED
from pvenetd.kinds.link import Link
from pvenetd.option import ZeroOne
from pvenetd.state import State

Counters = Mapping[str, Mapping[str, int]]
"""Device → what it has counted, from the host's side: ``rx_bytes``, ``tx_packets``, …"""


class Counted(TypedDict, total=False):
    """What a link has counted; nothing where it is not there."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int


class _Configured(TypedDict):
    """A NIC as it is configured."""

    config: str
    """Its netN string; empty where it has none that can be read."""
    bridge: str
    tag: int | None
    trunks: str
    mac: str
    firewall: ZeroOne
    rate: float | None
    """Megabytes a second."""
    link_down: ZeroOne


class NicRecord(_Configured, Counted):
    """A guest's NIC, beside it what the machine has; counters are from the guest's side."""

    nic: str
    """``net0`` to ``net31``."""
    tap: str
    """The host's end, a container's veth too."""
    plugged: ZeroOne
    """Whether it is in its bridge."""
    pulled: ZeroOne
    """Whether it was unplugged by hand."""
    up: ZeroOne
    mtu: int | None
    source: str
    """Who runs the guest: ``libvirt``, ``lxc``, ``qemu``, or ``file`` where nobody does."""
    filtered: ZeroOne
    """Whether its rules are loaded."""
    leases: list[LeaseRecord]
    """The addresses that were leased to it, where its guest has ``ipfilter_learn: 1``; of one guest alone."""


class GuestRecord(TypedDict):
    """A guest with its NICs."""

    vmid: int
    name: str
    source: str
    """What defines it: ``file``, ``lxc``, ``libvirt``; empty where nothing does any more."""
    path: str
    nics: list[NicRecord]
    error: str
    """Why it is not as it should be; empty where it is."""
    problems: list[str]


class GuestRecords:
    """What is told of guests."""

    def __init__(self, definitions: Definitions, engine: Engine) -> None:
        self._definitions = definitions
        self._engine = engine

    async def all(self) -> list[GuestRecord]:
        """Return every guest with its NICs; one that nothing defines any more, too, while it has something."""
        everybody = {vmid: guest async for vmid, guest in in_slices(self._definitions.readable())}
        left = {int(owner[3:]) for owner in self._engine.owners() if owner.startswith("vm:")}
        vmids = sorted({*self._definitions.ids(), *left})
        return await self._told({vmid: everybody.get(vmid) for vmid in vmids}, everybody)

    async def one(self, guest: Guest) -> GuestRecord:
        """Return one guest with its NICs."""
        (found,) = await self._told({guest.vmid: guest}, {**self._definitions.remembered(), guest.vmid: guest})
        return found

    async def _told(self, asked: Mapping[int, Guest | None], everybody: Mapping[int, Guest]) -> list[GuestRecord]:
        """Return the records of those *asked* for; of two with one MAC *everybody* is told."""
        devices = {guest.device(index) for guest in asked.values() if guest for index in guest.lines}
        keys = {("link", device) for device in devices} | {("chains", f"vm:{vmid}") for vmid in asked}
        live, counters = await self._engine.look(keys), await self._engine.counters(devices)
        failed, twice = self._engine.failed, doubles(everybody.values())
        return [
            record(vmid, guest, live, counters, failed.get(f"vm:{vmid}", ""), twice.get(vmid, ()))
            async for vmid, guest in in_slices(asked.items())
        ]


def record(
    vmid: int, guest: Guest | None, live: State, counters: Counters, error: str = "", problems: tuple[Problem, ...] = ()
) -> GuestRecord:
    """Return a guest with its NICs; *error* is why it is not as it should be, *problems* what else there is to say."""
    return {
        "vmid": vmid,
        "name": guest.name if guest else "",
        "source": guest.source if guest else "",
        "path": guest.path if guest else "",
        "nics": [_nic(guest, index, live, counters) for index in sorted(guest.lines)] if guest else [],
        "error": error,
        "problems": [str(problem) for problem in (*(guest.problems if guest else ()), *problems)],
    }


def _nic(guest: Guest, index: int, live: State, counters: Counters) -> NicRecord:
    nic = guest.nics.get(index)
    device = guest.device(index)
    found = live.get(("link", device))
    link = found if isinstance(found, Link) else None
    return {
        "nic": f"net{index}",
        "tap": device,
        "plugged": int(bool(link and link.master)),
        "pulled": int(bool(link and link.alias == PULLED)),
        "up": int(bool(link and link.up)),
        "mtu": link.mtu if link else None,
        "source": _source(guest, link),
        "leases": [],
        "filtered": is_filtered(guest, index, live),
        **_configured(nic),
        **_counted(counters.get(device, {})),
    }


def is_filtered(guest: Guest, index: int, live: State) -> ZeroOne:
    """Return whether the rules of a guest's NIC are loaded."""
    nic = guest.nics.get(index)
    return int(("chains", f"vm:{guest.vmid}") in live and bool(nic and nic.firewall))


def _configured(nic: Nic | None) -> _Configured:
    return {
        "config": str(nic) if nic else "",
        "bridge": (nic.bridge or "") if nic else "",
        "tag": nic.tag if nic else None,
        "trunks": nic.trunks if nic else "",
        "mac": (nic.mac or "") if nic else "",
        "firewall": int(nic.firewall) if nic else 0,
        "rate": nic.rate if nic else None,
        "link_down": int(nic.link_down) if nic else 0,
    }


def _source(guest: Guest, link: Link | None) -> str:
    """Return who runs the guest: of one that a file defines, QEMU if it has made the tap."""
    if guest.source != "file":
        return guest.source
    return "qemu" if link and not link.made_here else "file"


def _counted(counters: Mapping[str, int]) -> Counted:
    """Return the counters from the guest's side: what the host's end receives, the guest has sent."""
    other = {"rx": "tx", "tx": "rx"}
    return cast("Counted", {other[name[:2]] + name[2:]: count for name, count in counters.items()})
