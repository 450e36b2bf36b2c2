"""Bond: a stanza with ``bond-slaves`` (IEEE 802.1AX for 802.3ad).

Sources: the kernel's Documentation/networking/bonding.rst, ifenslave's README.Debian, linux/if_link.h IFLA_BOND_*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from pvenetd.kinds.link import Link
from pvenetd.option import FLAG, IFINDEX, Mac, Mtu, Option, Words, YesNo, choice
from pvenetd.resource import Changes, Resource

MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
HASH_POLICIES = ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac")
LACP_RATES = ("slow", "fast")
PRIMARY_RESELECT = ("always", "better", "failure")
ARP_VALIDATE = ("none", "active", "backup", "all", "filter", "filter_active", "filter_backup")
FAIL_OVER_MAC = ("none", "active", "follow")
AD_SELECT = ("stable", "bandwidth", "count")

_PRIMARY = frozenset({"active-backup", "balance-tlb", "balance-alb"})
_LACP = frozenset({"802.3ad"})
_NO_ARP = frozenset({"802.3ad", "balance-tlb", "balance-alb"})
_LOAD = frozenset({"balance-tlb", "balance-alb"})
ONLY: Mapping[str, frozenset[str]] = {
    "primary": _PRIMARY,
    "primary_reselect": _PRIMARY,
    "lacp_rate": _LACP,
    "lacp_active": _LACP,
    "ad_actor_sys_prio": _LACP,
    "ad_actor_system": _LACP,
    "ad_user_port_key": _LACP,
    "coupled_control": _LACP,
    "arp_interval": frozenset(MODES) - _NO_ARP,
    "arp_validate": frozenset(MODES) - _NO_ARP,
    "missed_max": frozenset(MODES) - _NO_ARP,
    "packets_per_slave": frozenset({"balance-rr"}),
    "tlb_dynamic_lb": _LOAD,
}
"""Field → the modes that have it; in others the kernel refuses it (bond_options.c, unsuppmodes)."""
DELAYS = ("updelay", "downdelay", "peer_notif_delay")
"""Fields that the kernel keeps as multiples of miimon."""


def _named(names: tuple[str, ...]) -> BeforeValidator:
    def name(value: object) -> object:
        text = str(value)
        text = names[int(text)] if text.isdigit() and int(text) < len(names) else text
        if text not in names:
            raise ValueError(f"should be one of {', '.join(names)}")
        return text

    return BeforeValidator(name)


def _number_of_mode(text: str) -> str:
    return MODES[int(text)] if text.isdigit() and int(text) < len(MODES) else text


def _addresses(version: int) -> BeforeValidator:
    def read(value: object) -> object:
        found = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
        if isinstance(found, list | tuple) and any(ip_address(text).version != version for text in found):
            raise ValueError(f"should be IPv{version} addresses")
        return tuple(str(ip_address(text)) for text in found) if isinstance(found, list) else found

    return BeforeValidator(read)


_MAC_NONE = "00:00:00:00:00:00"
_MILLISECONDS = Field(ge=0, le=2**31 - 1)


class Bond(Link):
    """Several links used as one."""

    kinds: ClassVar[tuple[str, ...]] = ("bond",)
    module: ClassVar[str] = "bonding"
    prefix: ClassVar[str] = "IFLA_BOND_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"mode", "fail_over_mac"}
    silent: ClassVar[frozenset[str]] = Link.silent | {"slaves"}

    kind: str = "bond"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes; its slaves follow."""
    slaves: Annotated[Words, Option("bond-slaves", ("bond-ports", "slaves"), several=True)] = ()
    """The links it is made of."""
    mode: Annotated[str, _named(MODES), Option("bond-mode", nl="IFLA_BOND_MODE", wire=choice(MODES))] = "balance-rr"
    """How the slaves share the traffic; by name or the kernel's number."""
    miimon: Annotated[int, Field(ge=0, le=2**31 - 1), Option("bond-miimon", nl="IFLA_BOND_MIIMON")] = 100
    """Milliseconds between looks at the slaves' carrier; 100 as in Proxmox VE: the kernel's 0 never looks."""
    updelay: Annotated[int, Field(ge=0, le=2**31 - 1), Option("bond-updelay", nl="IFLA_BOND_UPDELAY")] = 0
    """Milliseconds before a slave whose link came is used: a multiple of miimon."""
    downdelay: Annotated[int, Field(ge=0, le=2**31 - 1), Option("bond-downdelay", nl="IFLA_BOND_DOWNDELAY")] = 0
    """Milliseconds before a slave whose link went is given up: a multiple of miimon."""
    xmit_hash_policy: Annotated[
        str,
        _named(HASH_POLICIES),
        Option("bond-xmit-hash-policy", nl="IFLA_BOND_XMIT_HASH_POLICY", wire=choice(HASH_POLICIES)),
    ] = "layer2"
    """What decides which slave a packet takes (balance-xor, 802.3ad, balance-tlb)."""
    min_links: Annotated[int, Field(ge=0, le=255), Option("bond-min-links", nl="IFLA_BOND_MIN_LINKS")] = 0
    """Slaves that must be up before the bond is."""
    use_carrier: Annotated[YesNo, Option("bond-use-carrier", nl="IFLA_BOND_USE_CARRIER", wire=FLAG)] = True
    """Look at the carrier by the driver's own report, not by ethtool; kernels from 6.17 always do."""
    peer_notif_delay: Annotated[
        int, Field(ge=0, le=300_000), Option("bond-peer-notif-delay", nl="IFLA_BOND_PEER_NOTIF_DELAY")
    ] = 0
    """Milliseconds between two of the messages that tell neighbours of a failover: a multiple of miimon."""
    peer_notifications: Annotated[
        int, Field(ge=0, le=255), Option("bond-num-grat-arp", ("bond-num-unsol-na",), nl="IFLA_BOND_NUM_PEER_NOTIF")
    ] = 1
    """How many of them: gratuitous ARP and neighbour advertisements, one number for both."""
    resend_igmp: Annotated[int, Field(ge=0, le=255), Option("bond-resend-igmp", nl="IFLA_BOND_RESEND_IGMP")] = 1
    """IGMP reports sent after a failover."""
    all_slaves_active: Annotated[
        YesNo, Option("bond-all-slaves-active", nl="IFLA_BOND_ALL_SLAVES_ACTIVE", wire=FLAG)
    ] = False
    """Take frames from slaves that are not active too."""
    fail_over_mac: Annotated[
        str,
        _named(FAIL_OVER_MAC),
        Option("bond-fail-over-mac", nl="IFLA_BOND_FAIL_OVER_MAC", wire=choice(FAIL_OVER_MAC)),
    ] = "none"
    """Whose MAC the bond has (active-backup): one for all slaves, or the active one's; changed, it is made anew."""
    packets_per_slave: Annotated[
        int, Field(ge=0, le=65535), Option("bond-packets-per-slave", nl="IFLA_BOND_PACKETS_PER_SLAVE")
    ] = 1
    """Packets a slave sends before the next has its turn (balance-rr); 0 for chance."""
    lp_interval: Annotated[int, Field(ge=1, le=2**31 - 1), Option("bond-lp-interval", nl="IFLA_BOND_LP_INTERVAL")] = 1
    """Seconds between learning packets to the switches (balance-tlb, balance-alb)."""
    tlb_dynamic_lb: Annotated[
        YesNo, Option("bond-tlb-dynamic-lb", nl="IFLA_BOND_TLB_DYNAMIC_LB", wire=FLAG, down=True)
    ] = True
    """Shift flows between slaves by their load (balance-tlb, balance-alb)."""

    primary: Annotated[str, Option("bond-primary", nl="IFLA_BOND_PRIMARY", wire=IFINDEX)] = ""
    """The slave used whenever it is up (active-backup, balance-tlb, balance-alb)."""
    primary_reselect: Annotated[
        str,
        _named(PRIMARY_RESELECT),
        Option("bond-primary-reselect", nl="IFLA_BOND_PRIMARY_RESELECT", wire=choice(PRIMARY_RESELECT)),
    ] = "always"
    """When the primary slave is used again: always, when it is better (faster), or only when the other fails."""

    arp_interval: Annotated[int, _MILLISECONDS, Option("bond-arp-interval", nl="IFLA_BOND_ARP_INTERVAL")] = 0
    """Milliseconds between ARP questions that show whether a slave works; instead of miimon, which is 0 then."""
    arp_ip_target: Annotated[
        tuple[str, ...],
        _addresses(4),
        Field(max_length=16),
        Option("bond-arp-ip-target", nl="IFLA_BOND_ARP_IP_TARGET", several=True),
    ] = ()
    """IPv4 addresses that are asked for, at most 16."""
    ns_ip6_target: Annotated[
        tuple[str, ...],
        _addresses(6),
        Field(max_length=16),
        Option("bond-ns-ip6-target", nl="IFLA_BOND_NS_IP6_TARGET", several=True),
    ] = ()
    """IPv6 addresses that are asked for, at most 16."""
    arp_validate: Annotated[
        str,
        _named(ARP_VALIDATE),
        Option("bond-arp-validate", nl="IFLA_BOND_ARP_VALIDATE", wire=choice(ARP_VALIDATE)),
    ] = "none"
    """On which slaves only answers to the questions count."""
    arp_all_targets: Annotated[
        str,
        _named(("any", "all")),
        Option("bond-arp-all-targets", nl="IFLA_BOND_ARP_ALL_TARGETS", wire=choice(("any", "all"))),
    ] = "any"
    """How many of the targets have to answer."""
    missed_max: Annotated[int, Field(ge=1, le=255), Option("bond-missed-max", nl="IFLA_BOND_MISSED_MAX")] = 2
    """Questions without an answer after which a slave is down."""

    lacp_rate: Annotated[
        str,
        _named(LACP_RATES),
        Option("bond-lacp-rate", nl="IFLA_BOND_AD_LACP_RATE", wire=choice(LACP_RATES), down=True),
    ] = "slow"
    """How often the partner is asked to send LACPDUs: slow is every 30 s, fast every second (802.3ad only)."""
    lacp_active: Annotated[YesNo, Option("bond-lacp-active", nl="IFLA_BOND_AD_LACP_ACTIVE", wire=FLAG, down=True)] = (
        True
    )
    """Send LACPDUs without having been asked (802.3ad)."""
    ad_select: Annotated[
        str, _named(AD_SELECT), Option("bond-ad-select", nl="IFLA_BOND_AD_SELECT", wire=choice(AD_SELECT), down=True)
    ] = "stable"
    """Which aggregator is used: the first, the one of most bandwidth, or of most ports (802.3ad)."""
    ad_actor_sys_prio: Annotated[
        int,
        Field(ge=1, le=65535),
        Option("bond-ad-actor-sys-prio", ("bond-ad-sys-priority",), nl="IFLA_BOND_AD_ACTOR_SYS_PRIO"),
    ] = 65535
    """Priority of this system in LACP."""
    ad_actor_system: Annotated[
        Mac, Option("bond-ad-actor-system", ("bond-ad-sys-mac-addr",), nl="IFLA_BOND_AD_ACTOR_SYSTEM")
    ] = _MAC_NONE
    """MAC of this system in LACP; without one the bond's."""
    ad_user_port_key: Annotated[
        int, Field(ge=0, le=1023), Option("bond-ad-user-port-key", nl="IFLA_BOND_AD_USER_PORT_KEY", down=True)
    ] = 0
    """The upper ten bits of the port key in LACP."""
    coupled_control: Annotated[
        YesNo, Option("bond-coupled-control", nl="IFLA_BOND_COUPLED_CONTROL", wire=FLAG, down=True)
    ] = True
    """Take and send at once when the partner is in sync (802.3ad): not one after the other."""

    @model_validator(mode="before")
    @classmethod
    def _one_watch(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Leave looking at the carrier out where ARP questions do it: the kernel does one of both."""
        asks = str(values.get("arp_interval", 0)) not in ("", "0")
        mode = _number_of_mode(str(values.get("mode", MODES[0])))
        return values if "miimon" in values or not asks or mode in _NO_ARP else {**values, "miimon": 0}

    @property
    def follows(self) -> frozenset[str]:
        return frozenset(DELAYS) if self.miimon == 0 else frozenset()

    def changes(self, current: Resource) -> Changes:
        """Return what differs: nothing that this mode has not, and delays as the multiples that the kernel keeps."""
        found = super().changes(current)
        mode = self.mode or getattr(current, "mode", None)
        miimon = getattr(current, "miimon", 0) if self.miimon is None else self.miimon
        found = {name: change for name, change in found.items() if mode in ONLY.get(name, MODES)}
        if mode == "active-backup" and "none" not in (self.fail_over_mac, getattr(current, "fail_over_mac", "none")):
            found.pop("mac", None)  # it is the active slave's, whatever it is told
        for name in DELAYS:
            if (wanted := getattr(self, name)) is not None:
                was = found.pop(name, (wanted, wanted))[0]
                rounded = wanted - wanted % miimon if miimon else 0
                if rounded != was or (rounded and "miimon" in found):  # another miimon makes it another
                    found[name] = (was, rounded)
        return found

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a bond."""
        return bool(options.keys() & {"bond-slaves", "bond-ports", "slaves", "bond-mode"})
