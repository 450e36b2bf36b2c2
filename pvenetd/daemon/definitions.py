"""Which guests there are: files that the admin writes, and the libvirt domains that somebody has told of.

A domain's XML is kept as it was told, below `DOMAINS`: a daemon that starts while libvirtd is down knows it.
Of several that define one VMID the first here stands: a file in qemu-server/, one in lxc/, a domain.  A file
beside a domain is a wiring like others (libvirt runs the guest, the file says what its XML cannot), so that is
only warned of.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

from pvenetd.daemon.staging import Files
from pvenetd.errors import ConfigError, Conflict, Problem
from pvenetd.guests.conf import vmid_of
from pvenetd.guests.guest import Guest
from pvenetd.guests.libvirt_xml import Domain, parse_domain, path_of
from pvenetd.guests.lxc_conf import parse_lxc_conf
from pvenetd.guests.qm_conf import parse_conf
from pvenetd.names import parse_tap, parse_veth

log = logging.getLogger("pvenetd.guests")

QEMU = "etc/pvenetd/qemu-server"
LXC = "etc/pvenetd/lxc"
DOMAINS = "run/pvenetd/domains"
_FILES = ((QEMU, parse_conf), (LXC, parse_lxc_conf))
"""Directories with a file ``<vmid>.conf`` for each guest, and who reads it; the first that has one stands."""


class Definitions:
    """The guests of this host, running or not; files are read anew, domains are as they were told."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._waiting: dict[str, tuple[int, str, str]] = {}
        """UUID → VMID, name and XML of a domain whose VMID is another's."""
        self._parsed: dict[str, tuple[bytes, Guest]] = {}
        """Files as they were when they were last read: the same bytes are the same guest."""
        self._last: dict[int, Guest] = {}
        """Guests as they were when somebody last asked."""

    def ids(self) -> list[int]:
        """Return the VMIDs that have a definition."""
        return [*self._places()]

    def _places(self) -> dict[int, list[str]]:
        """Return, for every VMID in order, the directories that have a file of it."""
        found: dict[int, list[str]] = {vmid: [] for vmid in self._by_vmid}
        for directory, _ in _FILES:
            for vmid in filter(None, map(vmid_of, self._files.names(directory))):
                found.setdefault(vmid, []).append(directory)
        return dict(sorted(found.items()))

    def guest(self, vmid: int) -> Guest | None:
        """Return a guest as it is defined, None where it is not.  Raises `ConfigError` for an unreadable file."""
        return self._guest(vmid, [directory for directory, _ in _FILES])

    def _guest(self, vmid: int, directories: Collection[str]) -> Guest | None:
        """Return a guest, of which there may be files in *directories*."""
        found = [*self._told(vmid, directories)]
        if not found:
            self._last.pop(vmid, None)
            return None
        first, *others = found
        more = [_overridden(first, other) for other in others]
        more += [_second(first, name) for of, name, _ in self._waiting.values() if of == vmid]
        bridged = first.bridged.union(*(other.bridged for other in others))
        self._last[vmid] = replace(first, problems=(*first.problems, *more), bridged=bridged) if more else first
        return self._last[vmid]

    def guests(self) -> Iterator[Guest]:
        """Yield every guest."""
        for vmid, directories in self._places().items():
            if guest := self._guest(vmid, directories):
                yield guest

    def readable(self) -> Iterator[tuple[int, Guest]]:
        """Yield every guest whose file can be read, with its VMID."""
        for vmid, directories in self._places().items():
            with suppress(ConfigError):
                if guest := self._guest(vmid, directories):
                    yield vmid, guest

    def remembered(self) -> dict[int, Guest]:
        """Return all guests as they were when somebody last asked for each, by VMID; no file is read."""
        return dict(self._last)

    def holder(self, device: str) -> tuple[int, int] | None:
        """Return the guest, and the N of its netN, that *device* is the port of; None where it is no guest's."""
        told = self._by_device.get(device) or parse_tap(device) or parse_veth(device)
        guest = self.guest(told[0]) if told else None
        return told if told and guest and told[1] in guest.lines and guest.device(told[1]) == device else None

    def domains(self) -> dict[str, Domain]:
        """Return the libvirt domains that are guests of ours, by UUID."""
        return dict(self._domains)

    def define(self, xml: str, name: str = "") -> tuple[Domain, set[int]]:
        """Take a libvirt domain's XML for what it is now; return it, and the VMIDs that this is about.

        *name* is what the domain is called in messages.  Raises `ConfigError` where the XML is none or says
        nothing clear, `Conflict` where its VMID is another domain's; what was told of it before stands then.
        """
        domain = parse_domain(xml, name)
        self._waiting.pop(domain.uuid, None)
        about = self._vmids(domain.uuid)
        if domain.guest is None:
            self._put(domain.uuid, None)
            return domain, about
        other = self._by_vmid.get(domain.guest.vmid)
        if other and other.uuid != domain.uuid:
            self._waiting[domain.uuid] = (domain.guest.vmid, domain.name, xml)
            raise Conflict(str(_second(other.guest or domain.guest, domain.name)))
        self._put(domain.uuid, domain)
        return domain, about | {domain.guest.vmid}

    def undefine(self, uuid: str) -> set[int]:
        """Forget a libvirt domain; return the VMIDs that this is about.  One that waits for its VMID gets it."""
        about = self._vmids(uuid)
        self._waiting.pop(uuid, None)
        self._put(uuid, None)
        for vmid, name, xml in [one for one in self._waiting.values() if one[0] in about]:
            try:
                about |= self.define(xml, name)[1]
            except (ConfigError, Conflict) as error:
                log.warning("guest %s: %s", vmid, error)
        return about

    def _told(self, vmid: int, directories: Collection[str]) -> Iterator[Guest]:
        """Yield all definitions of a guest; the first stands."""
        for directory, parse in _FILES:
            if directory not in directories:
                continue
            path = f"{directory}/{vmid}.conf"
            try:
                data = self._files.read(path)
            except OSError as error:
                raise ConfigError([Problem(f"/{path}", 0, "syntax", f"cannot be read: {error.strerror}")]) from error
            if data is None:
                self._parsed.pop(path, None)
                continue
            was = self._parsed.get(path)
            if was is None or was[0] != data:
                was = self._parsed[path] = (data, parse(data, vmid, f"/{path}"))
            yield was[1]
        domain = self._by_vmid.get(vmid)
        if domain and domain.guest:
            yield domain.guest

    def _vmids(self, uuid: str) -> set[int]:
        domain = self._domains.get(uuid)
        return {domain.guest.vmid} if domain and domain.guest else set()

    def _put(self, uuid: str, domain: Domain | None) -> None:
        """Keep a domain, on disk first, or forget it."""
        if domain and domain.guest:
            self._files.put(_path(uuid), domain.guest.text.encode("utf-8", "surrogateescape"))
            self._domains[uuid] = domain
        elif uuid in self._domains:
            self._files.put(_path(uuid), None)
            del self._domains[uuid]
        self.__dict__.pop("_by_vmid", None)
        self.__dict__.pop("_by_device", None)

    @cached_property
    def _domains(self) -> dict[str, Domain]:
        """What was told of, by UUID: read once, as nobody else writes there."""
        return {domain.uuid: domain for domain in self._read() if domain.guest}

    @cached_property
    def _by_vmid(self) -> dict[int, Domain]:
        return {domain.guest.vmid: domain for domain in self._domains.values() if domain.guest}

    @cached_property
    def _by_device(self) -> dict[str, tuple[int, int]]:
        """Ports that have a name of their own; a guest that a file defines has the usual ones."""
        guests: Iterable[Guest] = (domain.guest for domain in self._domains.values() if domain.guest)
        return {device: (guest.vmid, index) for guest in guests for index, device in guest.devices.items()}

    def _read(self) -> Iterator[Domain]:
        for name in self._files.names(DOMAINS):
            if name.endswith(".xml") and not name.startswith("."):
                try:
                    data = self._files.read(f"{DOMAINS}/{name}") or b""
                    yield parse_domain(data.decode("utf-8", "surrogateescape"), name)
                except (ConfigError, OSError) as error:
                    log.warning("/%s/%s is passed over: %s", DOMAINS, name, error)


def _path(uuid: str) -> str:
    return f"{DOMAINS}/{uuid}.xml"


def _overridden(stands: Guest, other: Guest) -> Problem:
    message = f"{stands.vmid} is a guest already, by {stands.path}: this one is ignored"
    return Problem(other.path, 0, "duplicate-guest", message, "warning", "another VMID for one of them")


def _second(stands: Guest, name: str) -> Problem:
    message = f"{stands.vmid} is a guest already, by {stands.path}: this one is not served"
    return Problem(path_of(name), 0, "duplicate-guest", message, "warning", 'vmid="…" in its metadata')
