"""The configuration on disk, read and parsed: interfaces, guests, firewall files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

from pvenetd.choice import Choice
from pvenetd.choice import from_json as choice_of
from pvenetd.commands import OWNER
from pvenetd.daemon.definitions import Definitions
from pvenetd.daemon.staging import ACTIVE, STAGED, Files, Staging, View
from pvenetd.errors import ConfigError, Problem
from pvenetd.firewall import syntax as fw
from pvenetd.guests.guest import Guest
from pvenetd.interfaces.config import Config
from pvenetd.journal import content

__all__ = ["ACTIVE", "STAGED", "Files", "Store", "View"]
FIREWALL = "etc/pvenetd/firewall"
CHOICE = "run/pvenetd/choice.json"
KEPT = ("run/pvenetd", "var/lib/pvenetd", "var/lib/pvenetd/firewall")
"""Directories of the daemon's own records."""
WRITTEN = ("etc/network", "etc/network/interfaces.d", "etc/pvenetd/qemu-server", "etc/pvenetd/lxc", FIREWALL, *KEPT)
"""Directories of files that are written here."""


class Store:
    """Reads what is configured; every call reads anew."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.staging = Staging(files)
        self.definitions = Definitions(files)
        self._parsed: dict[str, tuple[str, fw.Config]] = {}
        """Firewall file → its text, and what was read from it."""
        self._others: dict[str, tuple[str, fw.Config]] = {}
        """Likewise, of a text that is not in the file."""

    def is_staged(self) -> bool:
        """Return whether an edit waits to be applied; where the files cannot be read, whether one of the first does."""
        try:
            return bool(self.view().staged)
        except ConfigError:
            return self.files.read(STAGED) is not None

    def view(self, *, staged: bool = True) -> View:
        """Return the configuration and its files, the staged ones where there are some.  Raises `ConfigError`."""
        return self.staging.view(staged=staged)

    def interfaces(self, *, staged: bool = True) -> Config:
        """Return the interfaces configuration, the staged one where there is one.  Raises `ConfigError`."""
        return self.view(staged=staged).config

    def active(self) -> Config:
        """Return the active configuration, an empty one where there is none.  Raises `ConfigError`."""
        return self.staging.view(staged=False, new=True).config

    def owns(self) -> bool:
        """Return whether pvenetd brings the host's interfaces up at boot: by which package is installed."""
        return self.files.read(OWNER) is not None

    def choice(self) -> Choice:
        """Return what was brought up or down by hand since boot."""
        data = self.files.read(CHOICE)
        return choice_of(json.loads(data) if data else None, scripts=self.owns())

    def choose(self, choice: Choice) -> None:
        """Keep *choice* until the next boot."""
        if choice != self.choice():
            self.files.put(CHOICE, json.dumps(choice.to_json()).encode())

    def put_version(self, name: str, version: str | None) -> None:
        """Make *name* hold one of the versions that `staged_versions` tells."""
        self.files.put(name, content(version))

    def staged_versions(self) -> dict[str, list[str | None]]:
        """Return what an apply does to every staged file and its active one, as a journal's record holds it.

        Empty where nothing is staged.  Raises `ConfigError`.
        """
        return self.staging.versions()

    def changes(self) -> str:
        """Return what is staged as a unified diff against what is active, nothing where nothing is."""
        return self.view().changes()

    def guest_ids(self) -> list[int]:
        """Return the VMIDs that have a definition."""
        return self.definitions.ids()

    def guest(self, vmid: int) -> Guest | None:
        """Return a guest, None where it is not defined.  Raises `ConfigError` for an unreadable file."""
        return self.definitions.guest(vmid)

    def guests(self) -> Iterator[Guest]:
        """Yield every guest that is defined."""
        return self.definitions.guests()

    def rules(self, name: str) -> fw.Config:
        """Return the firewall file *name* (``cluster``, ``host``, a VMID, a bridge), an empty one where there is none.

        As long as its text is the same, the same is returned.  One that cannot be read is broken.
        """
        path = f"{FIREWALL}/{name}.fw"
        try:
            data = self.files.read(path) or b""
        except OSError as error:
            found = self.rules_of(name, "")
            wrong = Problem(found.path, 0, "syntax", f"cannot be read: {error.strerror}")
            return replace(found, problems=(wrong,))
        return self._parse(self._parsed, name, data.decode("utf-8", "surrogateescape"))

    def rules_of(self, name: str, text: str) -> fw.Config:
        """Return what the firewall file *name* would be with another *text*."""
        return self._parse(self._others, name, text)

    def rule_names(self) -> list[str]:
        """Return the firewall files there are, by their names without ``.fw``."""
        names = (name.removesuffix(".fw") for name in self.files.names(FIREWALL) if name.endswith(".fw"))
        return [name for name in names if name and not name.startswith(".")]

    def _parse(self, known: dict[str, tuple[str, fw.Config]], name: str, text: str) -> fw.Config:
        kept = known.get(name)
        if kept is None or kept[0] != text:
            kept = known[name] = (text, _parser(name)(text, f"/{FIREWALL}/{name}.fw"))
        return kept[1]


def _parser(name: str) -> Callable[[str, str], fw.Config]:
    """Return what reads the firewall file *name*."""
    others = fw.parse_guest if name.isdigit() else fw.parse_bridge
    return {"cluster": fw.parse_cluster, "host": fw.parse_host}.get(name, others)
