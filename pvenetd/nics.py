"""Which NIC is which: a kernel names them anew when cards move; MAC and place tell them apart.

Sources: systemd.link(5), ethtool(8) ``-P``, the kernel's Documentation/ABI/testing/sysfs-class-net.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

LINK_DIRECTORY = "etc/systemd/network"


@dataclass(frozen=True, slots=True)
class Nic:
    """A NIC, and what it is known by."""

    name: str
    mac: str = ""
    """Burnt in where `lasting`, else the one it has; empty for none."""
    path: str = ""
    """Where it is plugged in, as sysfs tells: ``pci0000:00/0000:00:1f.6``."""
    lasting: bool = True
    other_names: tuple[str, ...] = ()
    """Alternative names (``ip link property``) that were asked for and are its."""


@dataclass(frozen=True, slots=True)
class Found:
    """A NIC that looks like one that is gone."""

    gone: str
    nic: Nic
    by: str = ""
    """What they have in common, in words; empty where the NIC is there, under another of its names."""

    @property
    def hint(self) -> str:
        """Return what to write instead of a name that no stanza can use; empty where the NIC is another."""
        return "" if self.by else f"{self.gone} is another name of {self.nic.name}: write {self.nic.name}"

    def __str__(self) -> str:
        if self.by:
            return f"{self.gone} is gone; {self.nic.name} {self.by}"
        return f"{self.gone} is only another name of {self.nic.name}, and nothing is done for it: write {self.nic.name}"


def look_alikes(wanted: Iterable[str], recorded: Mapping[str, Nic], present: Collection[Nic]) -> list[Found]:
    """Return, for each of the *wanted* names that no present NIC has, the one that looks like it, where one does.

    The permanent MAC tells most: it moves with the card.  In the same place stands, after a repair, another card.
    """
    names = {nic.name for nic in present}
    missed = (name for name in wanted if name not in names)
    return [found for name in missed if (found := _look_alike(name, recorded.get(name), present))]


def _look_alike(name: str, was: Nic | None, present: Collection[Nic]) -> Found | None:
    for nic in present:
        if name in nic.other_names:
            return Found(name, nic)
    if was is None:
        return None
    for nic in present:
        if was.mac and nic.mac == was.mac:
            return Found(name, nic, f"has its MAC {nic.mac}: pvenetctl interfaces pin {name}")
    for nic in present:
        if was.path and nic.path == was.path:
            return Found(name, nic, f"is in its place {nic.path}: pvenetctl interfaces pin {name}")
    return None


def remembered(recorded: Mapping[str, Nic], present: Iterable[Nic], configured: Collection[str]) -> dict[str, Nic]:
    """Return what is recorded from now on: those that are present, and those that are missed."""
    missed = {name: nic for name, nic in recorded.items() if name in configured}
    return missed | {nic.name: nic for nic in present}


def link_path(name: str) -> str:
    """Return the file, below the root, that gives *name* to a NIC at boot."""
    return f"{LINK_DIRECTORY}/70-pvenetd-{name}.link"


def link_file(name: str, nic: Nic) -> str:
    """Return the systemd.link(5) file that gives *name* to *nic*, and not to a bridge or bond that borrows its MAC."""
    match = "PermanentMACAddress" if nic.lasting else "MACAddress"
    return f"# pvenetctl interfaces pin {name}\n[Match]\n{match}={nic.mac}\nType=ether\n\n[Link]\nName={name}\n"


def to_json(nics: Mapping[str, Nic]) -> list[dict[str, Any]]:
    """Return what is kept on disk."""
    return [asdict(nic) for nic in nics.values()]


def of_json(value: Any) -> dict[str, Nic]:
    """Return what was kept; what cannot be read was never kept."""
    try:
        return {one["name"]: Nic(**{**one, "other_names": tuple(one["other_names"])}) for one in value or ()}
    except (TypeError, KeyError):
        return {}
