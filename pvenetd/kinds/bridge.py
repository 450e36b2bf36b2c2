"""Bridge: a stanza with ``bridge-ports`` or ``bridge-vlan-aware`` (IEEE 802.1D, 802.1Q).

Sources: bridge-utils-interfaces(5), ip-link(8) "BRIDGE Type Support", linux/if_link.h IFLA_BR_*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from pvenetd.kinds.link import Link
from pvenetd.option import FLAG, TICKS, Mac, Option, VlanSet, Words, YesNo


class Bridge(Link):
    """A software switch."""

    kinds: ClassVar[tuple[str, ...]] = ("bridge",)
    prefix: ClassVar[str] = "IFLA_BR_"
    silent: ClassVar[frozenset[str]] = Link.silent | {"ports", "port_vids", "port_pvid", "disable_learning"}

    kind: str = "bridge"
    ports: Annotated[Words, Option("bridge-ports", several=True)] = ()
    """The links that are its ports from the start."""
    port_vids: Annotated[VlanSet | None, Option("bridge-vids", ("bridge-trunk",))] = None
    """VLANs that its ports carry tagged, where the port's own stanza says nothing; 2-4094 without."""
    port_pvid: Annotated[int, Field(ge=0, le=4094), Option("bridge-pvid")] = 1
    """VLAN of untagged frames on its ports, 0 for none."""
    disable_learning: Annotated[YesNo, Option("bridge-disable-mac-learning")] = False
    """Guests' ports do not learn; their MACs are entered by hand."""
    mac: Annotated[Mac | None, Option("hwaddress", ("bridge-hw",), nl="IFLA_ADDRESS")] = None
    """Hardware address; without one the kernel takes its ports' lowest."""

    vlan_aware: Annotated[YesNo, Option("bridge-vlan-aware", nl="IFLA_BR_VLAN_FILTERING", wire=FLAG)] = False
    """Filter by VLAN tag (802.1Q)."""
    stp: Annotated[YesNo, Option("bridge-stp", nl="IFLA_BR_STP_STATE", wire=FLAG)] = False
    """Spanning tree, by the kernel's own implementation (802.1D)."""
    forward_delay: Annotated[int, Field(ge=0, le=30), Option("bridge-fd", nl="IFLA_BR_FORWARD_DELAY", wire=TICKS)] = 15
    """Seconds a port listens and learns before it forwards; 0 only with STP off, 2 to 30 with it."""
    ageing: Annotated[int, Field(ge=0, le=1_000_000), Option("bridge-ageing", nl="IFLA_BR_AGEING_TIME", wire=TICKS)] = (
        300
    )
    """Seconds a learned MAC is kept; 0 floods every frame."""
    hello: Annotated[int, Field(ge=1, le=10), Option("bridge-hello", nl="IFLA_BR_HELLO_TIME", wire=TICKS)] = 2
    """Seconds between STP hello packets."""
    max_age: Annotated[int, Field(ge=6, le=40), Option("bridge-maxage", nl="IFLA_BR_MAX_AGE", wire=TICKS)] = 20
    """Seconds an STP message is believed."""
    priority: Annotated[int, Field(ge=0, le=65535), Option("bridge-bridgeprio", nl="IFLA_BR_PRIORITY")] = 32768
    """STP bridge priority, the lowest becomes root."""
    mcast_snooping: Annotated[YesNo, Option("bridge-mcsnoop", nl="IFLA_BR_MCAST_SNOOPING", wire=FLAG)] = True
    """Send multicast only where it was asked for (IGMP, MLD snooping)."""

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a bridge."""
        return "bridge-ports" in options or "bridge-vlan-aware" in options
