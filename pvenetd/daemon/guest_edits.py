"""A guest's NICs are changed: checked, written into its file without loss, made live, taken back where that fails.

What a libvirt domain's NICs have beside its own XML is written into its metadata.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Set

from pvenetd.daemon.domains import Domains
from pvenetd.daemon.guests import Guests
from pvenetd.daemon.store import Store
from pvenetd.errors import ConfigError, Conflict, EditError, NotFound, Problem, PvenetError
from pvenetd.guests import libvirt_set, lines
from pvenetd.guests.guest import Guest
from pvenetd.guests.libvirt_xml import read_guest
from pvenetd.guests.lxc_conf import parse_lxc_conf, parse_lxc_net
from pvenetd.guests.nic import parse_net
from pvenetd.guests.qm_conf import parse_conf
from pvenetd.plan import Op

_READ = {"file": (parse_conf, parse_net), "lxc": (parse_lxc_conf, parse_lxc_net), "libvirt": (read_guest, parse_net)}
"""Source of a guest → who reads its file, and who reads one of its netN strings."""
_TEXT = {"file": lines, "lxc": lines, "libvirt": libvirt_set}
"""Source of a guest → who puts a netN string into its text, and drops it from there."""
_NET = re.compile("net(0|[1-9]|[12][0-9]|3[01])")


class GuestEdits:
    """Changes the files of guests."""

    def __init__(self, store: Store, guests: Guests, domains: Domains) -> None:
        self._store = store
        self._guests = guests
        self._domains = domains
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def edit(
        self, vmid: int, values: Mapping[str, str], dropped: Collection[str] = (), digest: str | None = None
    ) -> tuple[Op, ...]:
        """Give a guest's NICs their *values* by key (``net0``), drop those in *dropped*; return what was done live.

        *digest* is what `digest` gave for what the edit is about.  Raises `EditError` for what is wrong with the
        values, or new with the guest: then nothing is written; `NotFound`; `Conflict` for another digest;
        `Unavailable` for a domain whose libvirt is not there; `KernelError`, `VerifyError`: all is as it was.
        """
        async with self._turns[vmid]:
            guest = self._guest(vmid, digest)
            changed = _changed(guest, values, dropped)
            before = _wrong(await self._guests.doubts(guest))
            if new := [one for one in await self._guests.doubts(changed) if _key(one) not in before]:
                raise _refusal(new)
            return await self._put(guest, changed, before)

    def _guest(self, vmid: int, digest_before: str | None) -> Guest:
        guest = self._store.guest(vmid)
        if guest is None:
            raise NotFound(f"no guest {vmid}: neither a file below /etc/pvenetd nor a libvirt domain defines it")
        if digest_before and digest_before != digest(guest):
            raise Conflict(f"{guest.path} has changed since it was read: read it again")
        return guest

    async def _put(self, guest: Guest, changed: Guest, known: Set[tuple[str, ...]]) -> tuple[Op, ...]:
        """Write *changed*, and bring the guest to it; what was wrong before, *known*, keeps nothing else from it."""
        if changed.text == guest.text:
            return ()
        await self._write(guest, changed)
        try:
            return await self._guests.reconcile(guest.vmid)
        except ConfigError as error:
            if not {_key(one) for one in error.problems} <= known:
                await self._take_back(guest, changed)
                raise
            return ()
        except PvenetError:
            await self._take_back(guest, changed)
            raise

    async def _write(self, guest: Guest, changed: Guest) -> None:
        if guest.source == "libvirt":
            await self._domains.describe(guest, changed.text)
        else:
            self._store.files.put(guest.path, bytes(changed))

    async def _take_back(self, guest: Guest, changed: Guest) -> None:
        if guest.source == "libvirt":
            await self._domains.describe(guest, guest.text)
        elif self._store.files.read(guest.path) == bytes(changed):  # else somebody has edited it since
            self._store.files.put(guest.path, bytes(guest))
        await self._guests.load([guest.vmid])  # of what was refused, the rest may have been done


def digest(guest: Guest) -> str:
    """Return what tells whether a guest's definition is another by now: the SHA-1 of its text, as Proxmox VE has it."""
    return hashlib.sha1(bytes(guest), usedforsecurity=False).hexdigest()


def _changed(guest: Guest, values: Mapping[str, str], dropped: Collection[str]) -> Guest:
    """Return *guest* with what is asked for.  Raises `EditError` with all that is wrong with it."""
    wrong = {key: "should be net0 to net31" for key in (*values, *dropped) if not _NET.fullmatch(key)}
    wrong |= {key: "is to be set and to be dropped" for key in values if key in dropped}
    if not values and not dropped:
        wrong["net0"] = "is missing: nothing is to be set or dropped"
    text = guest.text
    for key in dropped:
        if key not in wrong:
            text = _TEXT[guest.source].drop(text, int(key[3:]))
    for key, value in values.items():
        if key not in wrong:
            try:
                text = _TEXT[guest.source].put(text, int(key[3:]), _written(guest, int(key[3:]), value))
            except ConfigError as error:
                wrong[key] = _told(error.problems)
    if wrong:
        raise EditError(wrong)
    return _read(guest, text)


def _read(guest: Guest, text: str) -> Guest:
    return _READ[guest.source][0](text, guest.vmid, guest.path)


def _written(guest: Guest, index: int, value: str) -> str:
    """Return *value* as it is written: as it was given, the NIC's own MAC added.  Raises `ConfigError`."""
    key = f"net{index}"
    if not value.isprintable():
        raise ConfigError([Problem(guest.path, 0, "syntax", "no control characters", interface=key, option=key)])
    nic = _READ[guest.source][1](value, index, guest.path, 0)
    if nic.macaddr:
        return value.strip()
    old = guest.nics.get(index)
    whole = str(nic.model_copy(update={"macaddr": (old.macaddr if old else None) or _random_mac()}))
    return lines.with_trunks(whole, value)


def _random_mac() -> str:
    """Return a MAC that is nobody's: locally administered, of one device (IEEE 802)."""
    first, *rest = secrets.token_bytes(6)
    return bytes([first & 0xFC | 0x02, *rest]).hex(":").upper()


def _key(problem: Problem) -> tuple[str, ...]:
    return problem.interface, problem.option, problem.code, problem.message


def _wrong(problems: Iterable[Problem]) -> set[tuple[str, ...]]:
    return {_key(problem) for problem in problems}


def _refusal(problems: Iterable[Problem]) -> EditError:
    """Return the error that tells *problems* by NIC."""
    by_nic: defaultdict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_nic[problem.interface or problem.path].append(problem)
    return EditError({nic: _told(found) for nic, found in by_nic.items()}, problems)


def _told(problems: Iterable[Problem]) -> str:
    return "; ".join(f"{one.message} ({one.hint})" if one.hint else one.message for one in problems)
