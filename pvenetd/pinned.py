"""A MAC that is entered for a guest's port, where the port does not learn: `Pinned` (bridge(8) "fdb")."""

from __future__ import annotations

from typing import ClassVar

from pvenetd.resource import Key, Resource


class Pinned(Resource):
    """The guest's MAC in its bridge's forwarding table: static, so it never ages, and sticky.

    Sticky entries do not follow the MAC to another port: nobody else takes a guest's frames by
    sending from its address.  And it is the mark: a sticky entry of a port of ours is ours.
    """

    noun: ClassVar[str] = "pinned"
    rank: ClassVar[int] = 6
    named: ClassVar[frozenset[str]] = frozenset({"dev"})

    dev: str
    mac: str
    bridge: str
    vids: str = ""
    """The VLANs it is entered in; empty where the bridge is not VLAN-aware."""

    @property
    def key(self) -> Key:
        return ("pinned", self.dev)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({("link", self.dev), ("link", self.bridge)})

    @property
    def dies_with(self) -> frozenset[Key]:
        return self.needs
