"""All devices of a configuration and who is whose port: what every check looks at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pvenetd.devices import Device
from pvenetd.kinds.vlan import Vlan
from pvenetd.ports import Membership


@dataclass(frozen=True)
class Scene:
    """What is checked."""

    devices: Mapping[str, Device]
    nics: Collection[str]
    """Links that are there without a stanza."""
    ports: list[Membership]

    def has(self, name: str) -> bool:
        """Return whether *name* is there, or comes of itself as a dotted VLAN of something that is."""
        parent = implied_parent(name)
        return name in self.devices or name in self.nics or (parent is not None and self.has(parent))


def implied_parent(name: str) -> str | None:
    """Return the raw device of a VLAN named ``eno1.5`` that needs no stanza, None where *name* is none."""
    values = Vlan.implied(name)
    return values.get("raw_device") if values.get("vlan_id", "").isdigit() else None
