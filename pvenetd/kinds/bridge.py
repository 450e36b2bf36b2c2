"""Bridge: a stanza with ``bridge-ports`` or ``bridge-vlan-aware`` (IEEE 802.1D, 802.1Q).

Sources: bridge-utils-interfaces(5), ip-link(8) "BRIDGE Type Support", linux/if_link.h IFLA_BR_*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from pvenetd.kinds.link import Link
from pvenetd.kinds.port import ROUTER, Setting
from pvenetd.kinds.vlan import PROTOCOL, Protocol
from pvenetd.option import FLAG, TICKS, Mac, Number, Option, OwnMac, Seconds, VlanSet, Words, YesNo, bit

_RESTRICTED = 0b111
"""Bits of group addresses that no bridge forwards: STP, pause frames, LACP (BR_GROUPFWD_RESTRICTED)."""
_COUNT = Field(ge=0, lt=2**32)
_FASTEST, _SLOWEST = 2, 30
"""Seconds of forward delay with STP (802.1D-1998 table 8-3: 4 to 30; the kernel takes 2)."""
_TIME = Field(ge=0, le=1_000_000)
_QUERY_TIME = Field(ge=1, le=1_000_000)


def _mask(value: object) -> object:
    number = int(value, 0) if isinstance(value, str) and value[:1].isdigit() else value
    if isinstance(number, int) and number & _RESTRICTED:
        raise ValueError("STP, pause frames and LACP (bits 0 to 2) are never forwarded by a whole bridge")
    return number


def _as_with_stp(seconds: float, found: ValidationInfo) -> float:
    """Return what the kernel makes of *seconds* when STP begins (net/bridge/br_stp_if.c br_stp_start)."""
    return min(max(seconds, _FASTEST), _SLOWEST) if found.data.get("stp") else seconds


class Bridge(Link):
    """A software switch; times are seconds, to the hundredth."""

    kinds: ClassVar[tuple[str, ...]] = ("bridge",)
    prefix: ClassVar[str] = "IFLA_BR_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"vlan_stats_per_port"}
    silent: ClassVar[frozenset[str]] = Link.silent | {
        "ports",
        "port_settings",
        "port_vids",
        "port_pvid",
        "disable_learning",
    }
    can_be_port: ClassVar[bool] = False

    kind: str = "bridge"
    ports: Annotated[Words, Option("bridge-ports", several=True)] = ()
    """The links that are its ports from the start."""
    port_settings: tuple[Setting, ...] = ()
    """What its stanza says of its ports."""
    port_vids: Annotated[VlanSet | None, Option("bridge-vids", ("bridge-trunk",))] = None
    """VLANs that its ports carry tagged, where the port's own stanza says nothing; 2-4094 without."""
    port_pvid: Annotated[int, Field(ge=0, le=4094), Option("bridge-pvid")] = 1
    """VLAN of untagged frames on its ports, 0 for none."""
    disable_learning: Annotated[YesNo, Option("bridge-disable-mac-learning")] = False
    """Guests' ports do not learn; their MACs are entered by hand."""
    mac: Annotated[OwnMac | None, Option("hwaddress", ("bridge-hw",), nl="IFLA_ADDRESS")] = None
    """Hardware address; without one its first port's when it is made."""

    vlan_aware: Annotated[YesNo, Option("bridge-vlan-aware", nl="IFLA_BR_VLAN_FILTERING", wire=FLAG)] = False
    """Filter by VLAN tag (802.1Q)."""
    vlan_protocol: Annotated[Protocol, Option("bridge-vlan-protocol", nl="IFLA_BR_VLAN_PROTOCOL", wire=PROTOCOL)] = (
        "802.1q"
    )
    """Which tag it filters by: 802.1q, or 802.1ad, the provider's."""
    vlan_stats: Annotated[YesNo, Option("bridge-vlan-stats", nl="IFLA_BR_VLAN_STATS_ENABLED", wire=FLAG)] = False
    """Count packets for each VLAN."""
    vlan_stats_per_port: Annotated[
        YesNo, Option("bridge-vlan-stats-per-port", nl="IFLA_BR_VLAN_STATS_PER_PORT", wire=FLAG)
    ] = False
    """Count them for each port too; the kernel takes this only before there are ports: the bridge is made anew."""
    stp: Annotated[YesNo, Option("bridge-stp", nl="IFLA_BR_STP_STATE", wire=FLAG)] = False
    """Spanning tree, by the kernel's own implementation (802.1D)."""
    forward_delay: Annotated[
        Seconds,
        Field(ge=0, le=255),
        AfterValidator(_as_with_stp),
        Option("bridge-fd", nl="IFLA_BR_FORWARD_DELAY", wire=TICKS),
    ] = 15
    """Time a port listens and learns before it forwards; 0 with STP off, with it 2 to 30, whatever is written."""
    ageing: Annotated[Seconds, _TIME, Option("bridge-ageing", nl="IFLA_BR_AGEING_TIME", wire=TICKS)] = 300
    """Time a learned MAC is kept; 0 floods every frame."""
    hello: Annotated[Seconds, Field(ge=1, le=10), Option("bridge-hello", nl="IFLA_BR_HELLO_TIME", wire=TICKS)] = 2
    """Time between STP hello packets."""
    max_age: Annotated[Seconds, Field(ge=6, le=40), Option("bridge-maxage", nl="IFLA_BR_MAX_AGE", wire=TICKS)] = 20
    """Time an STP message is believed."""
    priority: Annotated[int, Field(ge=0, le=65535), Option("bridge-bridgeprio", nl="IFLA_BR_PRIORITY")] = 32768
    """STP bridge priority, the lowest becomes root."""
    group_fwd_mask: Annotated[
        int, BeforeValidator(_mask), Field(ge=0, le=65535), Option("bridge-group-fwd-mask", nl="IFLA_BR_GROUP_FWD_MASK")
    ] = 0
    """Which link-local groups 01:80:c2:00:00:0X it forwards, a bit each: 0x4000 is LLDP."""
    group_address: Annotated[Mac | None, Option("bridge-group-address", nl="IFLA_BR_GROUP_ADDR")] = None
    """Where its STP messages go, 01:80:c2:00:00:0X; without one as its VLAN protocol has it, or as it was."""
    fdb_max_learned: Annotated[Number, _COUNT, Option("bridge-fdb-max-learned", nl="IFLA_BR_FDB_MAX_LEARNED")] = 0
    """MACs it learns at most; 0 for any number."""
    no_linklocal_learn: Annotated[
        YesNo, Option("bridge-no-linklocal-learn", nl="IFLA_BR_MULTI_BOOLOPT", wire=bit(0))
    ] = False
    """Do not learn MACs from link-local frames (STP, LLDP)."""

    mcast_snooping: Annotated[YesNo, Option("bridge-mcsnoop", nl="IFLA_BR_MCAST_SNOOPING", wire=FLAG)] = True
    """Send multicast only where it was asked for (IGMP, MLD snooping)."""
    mcast_vlan_snooping: Annotated[
        YesNo, Option("bridge-mcast-vlan-snooping", nl="IFLA_BR_MULTI_BOOLOPT", wire=bit(1))
    ] = False
    """Do so for each VLAN by itself; needs a VLAN-aware bridge."""
    mcast_router: Annotated[int, ROUTER, Field(ge=0, le=2), Option("bridge-mcrouter", nl="IFLA_BR_MCAST_ROUTER")] = 1
    """The bridge takes all multicast for itself as a router: 0 (no) never, 1 (yes) while it is one, 2 always."""
    mcast_querier: Annotated[YesNo, Option("bridge-mcquerier", nl="IFLA_BR_MCAST_QUERIER", wire=FLAG)] = False
    """Ask who wants which group (IGMP, MLD querier)."""
    mcast_query_use_ifaddr: Annotated[
        YesNo, Option("bridge-mcqifaddr", nl="IFLA_BR_MCAST_QUERY_USE_IFADDR", wire=FLAG)
    ] = False
    """Ask from the bridge's own IPv4 address, not from 0.0.0.0."""
    mcast_hash_max: Annotated[Number, _COUNT, Option("bridge-hashmax", nl="IFLA_BR_MCAST_HASH_MAX")] = 4096
    """Groups it keeps at most."""
    mcast_last_member_count: Annotated[Number, _COUNT, Option("bridge-mclmc", nl="IFLA_BR_MCAST_LAST_MEMBER_CNT")] = 2
    """Times it asks for other members when one has left."""
    mcast_startup_query_count: Annotated[
        Number, _COUNT, Option("bridge-mcsqc", nl="IFLA_BR_MCAST_STARTUP_QUERY_CNT")
    ] = 2
    """Questions it begins with."""
    mcast_last_member_interval: Annotated[
        Seconds, _TIME, Option("bridge-mclmi", nl="IFLA_BR_MCAST_LAST_MEMBER_INTVL", wire=TICKS)
    ] = 1
    """Time between questions for other members."""
    mcast_membership_interval: Annotated[
        Seconds, _TIME, Option("bridge-mcmi", nl="IFLA_BR_MCAST_MEMBERSHIP_INTVL", wire=TICKS)
    ] = 260
    """Time a membership lasts that nobody confirms."""
    mcast_querier_interval: Annotated[
        Seconds, _TIME, Option("bridge-mcqpi", nl="IFLA_BR_MCAST_QUERIER_INTVL", wire=TICKS)
    ] = 255
    """Time after which another querier that is silent is gone."""
    mcast_query_interval: Annotated[
        Seconds, _QUERY_TIME, Option("bridge-mcqi", nl="IFLA_BR_MCAST_QUERY_INTVL", wire=TICKS)
    ] = 125
    """Time between questions."""
    mcast_query_response_interval: Annotated[
        Seconds, _TIME, Option("bridge-mcqri", nl="IFLA_BR_MCAST_QUERY_RESPONSE_INTVL", wire=TICKS)
    ] = 10
    """Time in which members are to answer."""
    mcast_startup_query_interval: Annotated[
        Seconds, _QUERY_TIME, Option("bridge-mcsqi", nl="IFLA_BR_MCAST_STARTUP_QUERY_INTVL", wire=TICKS)
    ] = 31.25
    """Time between the first questions."""
    mcast_stats: Annotated[YesNo, Option("bridge-mcstats", nl="IFLA_BR_MCAST_STATS_ENABLED", wire=FLAG)] = False
    """Count IGMP and MLD messages."""
    igmp_version: Annotated[int, Field(ge=2, le=3), Option("bridge-igmp-version", nl="IFLA_BR_MCAST_IGMP_VERSION")] = 2
    """IGMP version it asks in (RFC 2236, RFC 3376)."""
    mld_version: Annotated[int, Field(ge=1, le=2), Option("bridge-mld-version", nl="IFLA_BR_MCAST_MLD_VERSION")] = 1
    """MLD version it asks in (RFC 2710, RFC 3810)."""
    nf_call_iptables: Annotated[YesNo, Option("bridge-nf-call-iptables", nl="IFLA_BR_NF_CALL_IPTABLES", wire=FLAG)] = (
        False
    )
    """Show bridged IPv4 packets to iptables (br_netfilter), whatever the sysctl says."""
    nf_call_ip6tables: Annotated[
        YesNo, Option("bridge-nf-call-ip6tables", nl="IFLA_BR_NF_CALL_IP6TABLES", wire=FLAG)
    ] = False
    """Show bridged IPv6 packets to ip6tables."""
    nf_call_arptables: Annotated[
        YesNo, Option("bridge-nf-call-arptables", nl="IFLA_BR_NF_CALL_ARPTABLES", wire=FLAG)
    ] = False
    """Show bridged ARP to arptables."""

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a bridge."""
        return "bridge-ports" in options or "bridge-vlan-aware" in options
