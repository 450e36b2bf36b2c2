"""The configuration on disk, read and parsed: interfaces, guests, firewall files."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pvenetd.errors import ConfigError, Problem
from pvenetd.firewall import syntax as fw
from pvenetd.guests.qm_conf import Guest, parse_conf, vmid_of
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.includes import Disk, load

ACTIVE = "etc/network/interfaces"
STAGED = "etc/network/interfaces.new"
GUESTS = "etc/pvenetd/qemu-server"
FIREWALL = "etc/pvenetd/firewall"


class Files(Protocol):
    """Files below the root."""

    root: Path

    def read(self, name: str) -> bytes | None:
        """Return the content of a regular file, None where there is none; raises OSError."""

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*, sorted."""

    def put(self, name: str, data: bytes | None) -> None:
        """Make *name* hold *data*, or not be there."""


class Store:
    """Reads what is configured; every call reads anew."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def is_staged(self) -> bool:
        """Return whether an edit waits to be applied."""
        return self.files.read(STAGED) is not None

    def interfaces(self, *, staged: bool = True) -> Config:
        """Return the interfaces configuration, the staged one where there is one.  Raises `ConfigError`."""
        name = STAGED if staged and self.is_staged() else ACTIVE
        return load(f"/{name}", Disk(self.files.root))

    def changes(self) -> str:
        """Return what is staged as a unified diff against what is active, nothing where nothing is."""
        if not self.is_staged():
            return ""
        active, staged = (self._text(name).splitlines(keepends=True) for name in (ACTIVE, STAGED))
        return "".join(difflib.unified_diff(active, staged, f"/{ACTIVE}", f"/{STAGED}"))

    def guest_ids(self) -> list[int]:
        """Return the VMIDs that have a configuration."""
        return sorted(vmid for name in self.files.names(GUESTS) if (vmid := vmid_of(name)) is not None)

    def guest(self, vmid: int) -> Guest | None:
        """Return a guest, None where it has no configuration."""
        path = f"{GUESTS}/{vmid}.conf"
        data = self._read(path)
        return None if data is None else parse_conf(data, vmid, f"/{path}")

    def guests(self) -> Iterator[Guest]:
        """Yield every guest that has a configuration."""
        for vmid in self.guest_ids():
            if guest := self.guest(vmid):
                yield guest

    def cluster_fw(self) -> fw.Config:
        """Return cluster.fw, an empty one where there is none."""
        return fw.parse_cluster(self._text(f"{FIREWALL}/cluster.fw"), f"/{FIREWALL}/cluster.fw")

    def host_fw(self) -> fw.Config:
        """Return host.fw, an empty one where there is none."""
        return fw.parse_host(self._text(f"{FIREWALL}/host.fw"), f"/{FIREWALL}/host.fw")

    def guest_fw(self, vmid: int) -> fw.Config:
        """Return a guest's firewall file, an empty one where there is none."""
        return fw.parse_guest(self._text(f"{FIREWALL}/{vmid}.fw"), f"/{FIREWALL}/{vmid}.fw")

    def firewall_ids(self) -> list[int]:
        """Return the VMIDs that have a firewall file."""
        names = (name.removesuffix(".fw") for name in self.files.names(FIREWALL) if name.endswith(".fw"))
        return sorted(int(name) for name in names if name.isdigit())

    def _read(self, name: str) -> bytes | None:
        try:
            return self.files.read(name)
        except OSError as error:
            raise ConfigError([Problem(f"/{name}", 0, "syntax", f"cannot be read: {error.strerror}")]) from error

    def _text(self, name: str) -> str:
        return (self._read(name) or b"").decode("utf-8", "surrogateescape")
