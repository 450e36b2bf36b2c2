"""The host's resolver is told of an interface's name servers: resolvconf(8), openresolv's too, or systemd-resolved.

The latter by D-Bus; by resolvectl(1) where there is no bus, or no dbus-fast.
What was told, and whom, is kept in ``run/pvenetd/dns.json``.  Without either, nobody is told.
"""

from __future__ import annotations

import logging
import shutil
import socket
from pathlib import Path
from typing import Any

from pvenetd.drivers import resolved
from pvenetd.drivers.files import Files
from pvenetd.drivers.programs import PATH, Programs
from pvenetd.errors import KernelError
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.state import Dns, from_json, to_json

log = logging.getLogger("pvenetd.resolver")

_RECORD = "run/pvenetd/dns.json"
_ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8"}
_RESOLVED = "/run/systemd/resolve/io.systemd.Resolve"
"""systemd-resolved's own socket: its files stay behind when it is stopped, and its package's resolvconf, too."""
_SECONDS = 30.0
"""Seconds a resolver's command may take: resolvconf restarts name servers."""


class Resolver:
    """What the resolver was told of all interfaces."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._programs = Programs(files.root)
        self._records: dict[Key, dict[str, Any]] = {}
        for record in files.read_json(_RECORD) or []:
            (key,) = from_json([record["dns"]])
            self._records[key] = record
        self._warned = False

    def observe(self) -> dict[Key, Resource]:
        """Return what was told."""
        return from_json(record["dns"] for record in self._records.values())

    def apply(self, op: Op) -> None:
        """Tell the resolver, or have it forget; the record is on disk before.  Raises `KernelError`."""
        dns = op.resource
        if not isinstance(dns, Dns):
            return
        whom = self._records.get(dns.key, {}).get("whom", "") if op.verb == "-" else self._whom()
        if op.verb == "-":
            self._records.pop(dns.key, None)
            self._tell(op, whom, dns)
        else:
            self._records[dns.key] = {"dns": to_json({dns.key: dns})[0], "whom": whom}
            self._keep()
            self._tell(op, whom, dns)
        self._keep()

    def _whom(self) -> str:
        if self._files.root == Path("/") and shutil.which("resolvectl", path=PATH) and _listens(_RESOLVED):
            return "resolved"
        if (found := shutil.which("resolvconf", path=PATH)) and Path(found).resolve().name != "resolvectl":
            return "resolvconf"
        if not self._warned:
            log.warning("neither resolvconf nor systemd-resolved is there, or runs: nobody is told of dns- lines")
            self._warned = True
        return ""

    def _tell(self, op: Op, whom: str, dns: Dns) -> None:
        forget = op.verb == "-"
        if whom == "resolved":
            if not self._told_by_bus(op, dns):
                self._run(op, whom, _resolved(dns, forget=forget))
        else:
            given = b"" if forget else resolv_conf(dns).encode()
            self._run(op, whom, [_resolvconf(dns, "-d" if forget else "-a")], given)

    def _told_by_bus(self, op: Op, dns: Dns) -> bool:
        """Return whether resolved could be asked by D-Bus.  Raises `KernelError` for what it refuses."""
        try:
            if op.verb == "-":
                resolved.tell(resolved.forgotten(dns.iface))
            else:
                resolved.tell(resolved.told(dns.iface, dns.nameservers, _domains(dns)))
        except resolved.NoBusError as error:
            log.debug("resolvectl instead of D-Bus: %s", error)
            return False
        except (resolved.RefusedError, OSError) as error:  # that a link which has gone is not known is fine
            if op.verb != "-":
                raise KernelError(str(op), 0, f"systemd-resolved: {error}") from error
        return True

    def _run(self, op: Op, whom: str, commands: list[list[str]], given: bytes = b"") -> None:
        for words in commands if whom else ():
            try:
                done = self._programs.run(words, _ENVIRONMENT, seconds=_SECONDS, given=given, at_home=True)
            except (TimeoutError, OSError) as error:
                raise KernelError(str(op), 0, f"{' '.join(words)}: {error or 'no end'}") from error
            if done.status and op.verb != "-":
                reason = f"{' '.join(words)}: exit status {done.status}: {done.output.strip()[-200:]}"
                raise KernelError(str(op), 0, reason)

    def _keep(self) -> None:
        self._files.write_json(_RECORD, list(self._records.values()))


def resolv_conf(dns: Dns) -> str:
    """Return *dns* as resolv.conf(5) has it."""
    lines = [f"nameserver {server}" for server in dns.nameservers]
    pairs = (("domain", dns.domain), ("search", dns.search), ("sortlist", dns.sortlist), ("options", dns.options))
    lines += [f"{name} {' '.join(words)}" for name, words in pairs if words]
    return "".join(f"{line}\n" for line in lines)


def _listens(path: str) -> bool:
    """Return whether somebody listens at the socket *path*."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        return asking.connect_ex(path) == 0


def _resolvconf(dns: Dns, order: str) -> list[str]:
    return ["resolvconf", order, f"{dns.iface}.pvenetd"]


def _resolved(dns: Dns, *, forget: bool = False) -> list[list[str]]:
    if forget:
        return [["resolvectl", "revert", dns.iface]]
    return [  # without a word it would only be asked; an empty one is none
        ["resolvectl", "dns", dns.iface, *(dns.nameservers or [""])],
        ["resolvectl", "domain", dns.iface, *(_domains(dns) or [""])],
    ]


def _domains(dns: Dns) -> list[str]:
    return [*dns.search, *(name for name in dns.domain if name not in dns.search)]
