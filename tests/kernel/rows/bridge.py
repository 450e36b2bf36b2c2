"""Bridges and their ports, by ``ip -d -j link``."""

from __future__ import annotations

from tests.kernel.options import Family, Row, Scene

_BRIDGE = """auto vmbr0
iface vmbr0 inet manual
	bridge-ports eno1
	@
"""
_LOOK = "ip -d -j link show vmbr0"
_DATA = "0.linkinfo.info_data"

_AWARE = Scene(_BRIDGE.replace("\t@", "\tbridge-vlan-aware yes\n\t@"), _LOOK, _DATA)


def _row(
    field: str, seen: str, option: str, values: dict[str, object], gone: object, scene: Scene | None = None
) -> Row:
    return Row("Bridge", field, seen, {f"{option} {text}": value for text, value in values.items()}, gone, scene)


def _flag(field: str, seen: str, option: str, *, default: int = 0, scene: Scene | None = None) -> Row:
    values = {"off": 0, "yes": 1, "0": 0} if default else {"on": 1, "no": 0, "1": 1}
    return _row(field, seen, option, dict(values), default, scene)


FAMILY = Family(
    scenes={
        "Bridge": Scene(_BRIDGE, _LOOK, _DATA),
    },
    rows=(
        Row("Bridge", "ageing", "ageing_time", {"bridge-ageing 120": 12000, "bridge_ageing 0": 0}, 30000),
        _row("ageing", "ageing_time", "bridge-ageing", {"0.5": 50}, 30000),
        _row("hello", "hello_time", "bridge-hello", {"1": 100, "5": 500}, 200),
        _row("max_age", "max_age", "bridge-maxage", {"10": 1000, "30": 3000}, 2000),
        _row("forward_delay", "forward_delay", "bridge-fd", {"0": 0, "4": 400}, 1500),
        _row("priority", "priority", "bridge-bridgeprio", {"4096": 4096, "8192": 8192}, 32768),
        _flag("stp", "stp_state", "bridge-stp"),
        _flag("vlan_aware", "vlan_filtering", "bridge-vlan-aware"),
        _row("vlan_protocol", "vlan_protocol", "bridge-vlan-protocol", {"802.1ad": "802.1ad"}, "802.1Q", _AWARE),
        _row("vlan_protocol", "vlan_protocol", "bridge-vlan-protocol", {"802.1AD": "802.1ad"}, "802.1Q"),
        _flag("vlan_stats", "vlan_stats_enabled", "bridge-vlan-stats"),
        _flag("vlan_stats_per_port", "vlan_stats_per_port", "bridge-vlan-stats-per-port"),
        _row("group_fwd_mask", "group_fwd_mask", "bridge-group-fwd-mask", {"0x4000": "0x4000", "8": "0x8"}, "0"),
        _row(
            "group_address",
            "group_addr",
            "bridge-group-address",
            {"01:80:c2:00:00:0e": "01:80:c2:00:00:0e", "01:80:C2:00:00:0F": "01:80:c2:00:00:0f"},
            "01:80:c2:00:00:0f",
        ),
        _row("fdb_max_learned", "raw 18 2 49", "bridge-fdb-max-learned", {"100": 100, "5": 5}, 0),
        _flag("no_linklocal_learn", "no_linklocal_learn", "bridge-no-linklocal-learn"),
        _flag("mcast_snooping", "mcast_snooping", "bridge-mcsnoop", default=1),
        _flag("mcast_vlan_snooping", "mcast_vlan_snooping", "bridge-mcast-vlan-snooping", scene=_AWARE),
        _row("mcast_router", "mcast_router", "bridge-mcrouter", {"no": 0, "2": 2, "yes": 1}, 1),
        _flag("mcast_querier", "mcast_querier", "bridge-mcquerier"),
        _flag("mcast_query_use_ifaddr", "mcast_query_use_ifaddr", "bridge-mcqifaddr"),
        _row("mcast_hash_max", "mcast_hash_max", "bridge-hashmax", {"512": 512, "1024": 1024}, 4096),
        _row("mcast_last_member_count", "mcast_last_member_cnt", "bridge-mclmc", {"3": 3, "1": 1}, 2),
        _row("mcast_startup_query_count", "mcast_startup_query_cnt", "bridge-mcsqc", {"3": 3, "1": 1}, 2),
        _row("mcast_last_member_interval", "mcast_last_member_intvl", "bridge-mclmi", {"3": 300, "2": 200}, 100),
        _row("mcast_membership_interval", "mcast_membership_intvl", "bridge-mcmi", {"300": 30000, "9": 900}, 26000),
        _row("mcast_querier_interval", "mcast_querier_intvl", "bridge-mcqpi", {"300": 30000, "9": 900}, 25500),
        _row("mcast_query_interval", "mcast_query_intvl", "bridge-mcqi", {"300": 30000, "9": 900}, 12500),
        _row("mcast_query_response_interval", "mcast_query_response_intvl", "bridge-mcqri", {"3": 300, "9": 900}, 1000),
        _row("mcast_startup_query_interval", "mcast_startup_query_intvl", "bridge-mcsqi", {"31": 3100, "9": 900}, 3125),
        _flag("mcast_stats", "mcast_stats_enabled", "bridge-mcstats"),
        _row("igmp_version", "mcast_igmp_version", "bridge-igmp-version", {"3": 3, "2": 2}, 2),
        _row("mld_version", "mcast_mld_version", "bridge-mld-version", {"2": 2, "1": 1}, 1),
        _flag("nf_call_iptables", "nf_call_iptables", "bridge-nf-call-iptables"),
        _flag("nf_call_ip6tables", "nf_call_ip6tables", "bridge-nf-call-ip6tables"),
        _flag("nf_call_arptables", "nf_call_arptables", "bridge-nf-call-arptables"),
        Row(
            "Bridge",
            "mac",
            "address",
            {
                "hwaddress 02:00:5e:00:53:01": "02:00:5e:00:53:01",
                "hwaddress ether 02:00:5e:00:53:02": "02:00:5e:00:53:02",
            },
            scene=Scene(_BRIDGE, _LOOK, "0"),
        ),
    ),
)
