"""A bridge's port: what the bridge keeps of each, in the port's own stanza or in the bridge's, for all or by name.

Sources: bridge(8), ip-link(8) "bridge_slave", bridge-utils-interfaces(5), ifupdown-addons-interfaces(5),
linux/if_link.h IFLA_BRPORT_*.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pvenetd.option import FLAG, IFINDEX, Number, Option, YesNo, annotated, words
from pvenetd.resource import Resource

Setting = tuple[str, str, Any]
"""(port, or empty for all of a bridge's; field; value)."""

ROUTER = BeforeValidator(words({"no": 0, "disabled": 0, "yes": 1, "automatic": 1, "enabled": 2, "permanent": 2}))
"""Whether a multicast router is there: never (0), as is seen (1), always (2)."""

_TUNNELLED = {"stp": 1 << 0, "lacp": 1 << 2, "lldp": 1 << 14, "cdp": 0, "pvst": 0}
"""Bit of each protocol's group address 01:80:c2:00:00:XX; Cisco's are no such address, and forwarded anyway."""


def _protocols(value: object) -> object:
    if not isinstance(value, str) or value[:1].isdigit():
        return value
    names = {*value.replace(",", " ").split()}
    names = {*_TUNNELLED} if "all" in names else names
    if unknown := sorted(names - _TUNNELLED.keys()):
        raise ValueError(f"{unknown[0]!r} is none of all, {', '.join(sorted(_TUNNELLED))}, nor a number")
    return sum(_TUNNELLED[name] for name in names)


class Port(Resource):
    """What a bridge keeps of its port; the defaults are a fresh port's (br_add_if(), new_nbp())."""

    cost: Annotated[
        int | None,
        Field(ge=1, le=65535),
        Option("bridge-pathcosts", ("bridge-pathcost",), nl="IFLA_BRPORT_COST"),
    ] = None
    """STP path cost; without it the kernel's own, by the link's speed.  Without the option again, it stays."""
    port_priority: Annotated[
        int, Field(ge=0, le=63), Option("bridge-portprios", ("bridge-portprio",), nl="IFLA_BRPORT_PRIORITY")
    ] = 32
    """STP port priority, the lowest is preferred."""
    hairpin: Annotated[YesNo, Option("bridge-hairpin", nl="IFLA_BRPORT_MODE", wire=FLAG)] = False
    """Send frames back by the port they came in by (802.1Qbg reflective relay)."""
    bpdu_guard: Annotated[YesNo, Option("bridge-bpdu-guard", nl="IFLA_BRPORT_GUARD", wire=FLAG)] = False
    """Disable the port when an STP message comes in."""
    root_block: Annotated[YesNo, Option("bridge-root-block", nl="IFLA_BRPORT_PROTECT", wire=FLAG)] = False
    """Never let the port become the root port."""
    fast_leave: Annotated[
        YesNo, Option("bridge-portmcfl", ("bridge-fast-leave",), nl="IFLA_BRPORT_FAST_LEAVE", wire=FLAG)
    ] = False
    """Stop a multicast group at once when a leave message comes in."""
    learning: Annotated[YesNo, Option("bridge-learning", nl="IFLA_BRPORT_LEARNING", wire=FLAG)] = True
    """Learn MACs from the frames that come in by this port."""
    unicast_flood: Annotated[YesNo, Option("bridge-unicast-flood", nl="IFLA_BRPORT_UNICAST_FLOOD", wire=FLAG)] = True
    """Send frames for unknown MACs to this port."""
    multicast_flood: Annotated[YesNo, Option("bridge-multicast-flood", nl="IFLA_BRPORT_MCAST_FLOOD", wire=FLAG)] = True
    """Send multicast frames nobody has joined to this port."""
    broadcast_flood: Annotated[YesNo, Option("bridge-broadcast-flood", nl="IFLA_BRPORT_BCAST_FLOOD", wire=FLAG)] = True
    """Send broadcast frames to this port."""
    multicast_to_unicast: Annotated[
        YesNo, Option("bridge-multicast-to-unicast", nl="IFLA_BRPORT_MCAST_TO_UCAST", wire=FLAG)
    ] = False
    """Send multicast frames as unicast to each that has joined."""
    multicast_router: Annotated[
        int, ROUTER, Field(ge=0, le=2), Option("bridge-portmcrouter", nl="IFLA_BRPORT_MULTICAST_ROUTER")
    ] = 1
    """A multicast router behind the port: 0 (no) never, 1 (yes, automatic) as is seen, 2 (enabled) always."""
    max_groups: Annotated[
        Number, Field(ge=0, lt=2**32), Option("bridge-mcast-max-groups", nl="IFLA_BRPORT_MCAST_MAX_GROUPS")
    ] = 0
    """Multicast groups that may be joined by this port; 0 for any number."""
    eht_hosts: Annotated[
        Number,
        Field(ge=0, lt=2**32),
        Option("bridge-mcast-eht-hosts-limit", nl="IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT"),
    ] = 512
    """Hosts whose joins are tracked one by one (IGMPv3, MLDv2)."""
    neigh_suppress: Annotated[
        YesNo,
        Option("bridge-arp-nd-suppress", ("bridge-neigh-suppress",), nl="IFLA_BRPORT_NEIGH_SUPPRESS", wire=FLAG),
    ] = False
    """Answer ARP and neighbour solicitations from the bridge's own table, do not flood them to this port."""
    neigh_vlan_suppress: Annotated[
        YesNo, Option("bridge-neigh-vlan-suppress", nl="IFLA_BRPORT_NEIGH_VLAN_SUPPRESS", wire=FLAG)
    ] = False
    """Do that only in VLANs that ask for it, as bridge(8) sets them."""
    proxy_arp: Annotated[YesNo, Option("bridge-proxy-arp", nl="IFLA_BRPORT_PROXYARP", wire=FLAG)] = False
    """Answer ARP for hosts behind other ports."""
    proxy_arp_wifi: Annotated[YesNo, Option("bridge-proxy-arp-wifi", nl="IFLA_BRPORT_PROXYARP_WIFI", wire=FLAG)] = False
    """Answer ARP as an access point does (802.11, Hotspot 2.0)."""
    vlan_tunnel: Annotated[YesNo, Option("bridge-vlan-tunnel", nl="IFLA_BRPORT_VLAN_TUNNEL", wire=FLAG)] = False
    """Map VLANs to tunnel identifiers on this port."""
    isolated: Annotated[YesNo, Option("bridge-isolated", nl="IFLA_BRPORT_ISOLATED", wire=FLAG)] = False
    """Keep isolated ports from reaching each other."""
    locked: Annotated[YesNo, Option("bridge-locked", nl="IFLA_BRPORT_LOCKED", wire=FLAG)] = False
    """Take frames only from MACs that are entered for this port (802.1X)."""
    mab: Annotated[YesNo, Option("bridge-mab", nl="IFLA_BRPORT_MAB", wire=FLAG)] = False
    """Enter unknown MACs of a locked port as locked, for a daemon to let them in (MAC authentication bypass)."""
    port_fwd_mask: Annotated[
        Number,
        BeforeValidator(_protocols),
        Field(ge=0, le=65535),
        Option("bridge-l2protocol-tunnel", nl="IFLA_BRPORT_GROUP_FWD_MASK"),
    ] = 0
    """Which link-local protocols this port forwards: ``stp lacp lldp cdp pvst``, ``all``, or the kernel's bits."""
    backup_port: Annotated[str, Option("bridge-backup-port", nl="IFLA_BRPORT_BACKUP_PORT", wire=IFINDEX)] = ""
    """Where its frames go while the port has no carrier: another port of the bridge."""


FIELDS = frozenset(Port.model_fields) - frozenset(Resource.model_fields)
OPTIONS = {spelling: name for name, option in annotated(Port) for spelling in (option.name, *option.aliases)}
"""Spelling (with dashes) → field."""


def settings(option: str, text: str) -> Iterator[Setting]:
    """Yield what a bridge's stanza says of its ports with *option*.

    ``on`` is for all of them; ``eth0=10 eth1=20`` (ifupdown2) and ``eth0 10`` (bridge-utils) for some.
    Raises pydantic's ValidationError, a ValueError, for a wrong value.
    """
    parts = text.replace(",", " ").split()
    if len(parts) == 2 and "=" not in text and option != "bridge-l2protocol-tunnel":
        parts = ["=".join(parts)]
    elif not any("=" in part for part in parts):
        parts = [text]
    for part in parts:
        port, _, value = part.rpartition("=")
        yield port, OPTIONS[option], getattr(Port.model_validate({OPTIONS[option]: value}), OPTIONS[option])
