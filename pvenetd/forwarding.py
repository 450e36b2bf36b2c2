"""Who is behind which port: what a bridge's or a VXLAN's forwarding table holds."""

from __future__ import annotations

from typing import Literal, NamedTuple

Origin = Literal["learned", "static", "own"]


class Heard(NamedTuple):
    """A MAC in a forwarding table."""

    bridge: str
    """Empty for the table of the port itself, a VXLAN's."""
    port: str
    mac: str
    vlan: int
    """0 for none."""
    dst: str
    """The other end point of a VXLAN, empty for none."""
    origin: Origin
    """From frames, entered by somebody, or the port's own address."""
    seconds: int
    """Since a frame came from it; 0 for entries that do not age."""
