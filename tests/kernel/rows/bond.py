"""Bonds, by ``ip -d -j link``."""

from __future__ import annotations

from tests.kernel.options import Family, Row, Scene


def _bond(mode: str) -> Scene:
    text = f"auto bond0\niface bond0 inet manual\n\tbond-slaves eno1 eno2\n\tbond-mode {mode}\n\t@\n"
    return Scene(text, "ip -d -j link show bond0", "0.linkinfo.info_data")


def _row(
    field: str, seen: str, option: str, values: dict[str, object], gone: object, scene: Scene | None = None
) -> Row:
    return Row("Bond", field, seen, {f"{option} {text}": value for text, value in values.items()}, gone, scene)


_ROUND_ROBIN, _BACKUP, _LACP, _LOAD = (
    _bond(mode) for mode in ("balance-rr", "active-backup", "802.3ad", "balance-tlb")
)
_ANY_MODE = Scene(_BACKUP.text.replace("\tbond-mode active-backup\n", ""), _BACKUP.command, _BACKUP.path)
_SYSTEM = "02:00:5e:00:53:01"

FAMILY = Family(
    scenes={"Bond": _BACKUP},
    rows=(
        Row(
            "Bond",
            "mode",
            "mode",
            {"bond-mode 802.3ad": "802.3ad", "bond-mode 1": "active-backup", "bond_mode balance-alb": "balance-alb"},
            "balance-rr",
            _ANY_MODE,
        ),
        Row(
            "Bond", "mtu", "mtu", {"mtu 9000": 9000, "mtu 1400": 1400}, 1500, Scene(_BACKUP.text, _BACKUP.command, "0")
        ),
        Row("Bond", "miimon", "miimon", {"bond-miimon 200": 200, "bond-miimon 50": 50}, 100),
        Row("Bond", "updelay", "updelay", {"bond-updelay 200": 200, "bond-updelay 400": 400}, 0),
        Row("Bond", "downdelay", "downdelay", {"bond-downdelay 200": 200, "bond-downdelay 400": 400}, 0),
        Row(
            "Bond",
            "xmit_hash_policy",
            "xmit_hash_policy",
            {"bond-xmit-hash-policy layer3+4": "layer3+4", "bond-xmit-hash-policy 2": "layer2+3"},
            "layer2",
        ),
        _row("min_links", "min_links", "bond-min-links", {"1": 1, "2": 2}, 0),
        _row("use_carrier", "use_carrier", "bond-use-carrier", {"no": 0, "yes": 1, "0": 0}, 1),
        _row("peer_notif_delay", "peer_notify_delay", "bond-peer-notif-delay", {"200": 200, "500": 500}, 0),
        _row("peer_notifications", "num_peer_notif", "bond-num-grat-arp", {"3": 3, "0": 0}, 1),
        _row("peer_notifications", "num_peer_notif", "bond-num-unsol-na", {"3": 3, "5": 5}, 1),
        _row("resend_igmp", "resend_igmp", "bond-resend-igmp", {"3": 3, "0": 0}, 1),
        _row("all_slaves_active", "all_slaves_active", "bond-all-slaves-active", {"1": 1, "no": 0, "on": 1}, 0),
        _row("fail_over_mac", "fail_over_mac", "bond-fail-over-mac", {"active": "active", "2": "follow"}, "none"),
        _row("packets_per_slave", "packets_per_slave", "bond-packets-per-slave", {"8": 8, "0": 0}, 1, _ROUND_ROBIN),
        _row("lp_interval", "lp_interval", "bond-lp-interval", {"10": 10, "2": 2}, 1),
        _row("tlb_dynamic_lb", "tlb_dynamic_lb", "bond-tlb-dynamic-lb", {"0": 0, "1": 1, "off": 0}, 1, _LOAD),
        _row("primary", "primary", "bond-primary", {"eno1": "eno1", "eno2": "eno2"}, None),
        _row(
            "primary_reselect",
            "primary_reselect",
            "bond-primary-reselect",
            {"better": "better", "2": "failure"},
            "always",
        ),
        _row("arp_interval", "arp_interval", "bond-arp-interval", {"200": 200, "500": 500}, 0),
        _row("arp_interval", "miimon", "bond-arp-interval", {"200": 0, "500": 0}, 100),
        Row(
            "Bond",
            "arp_ip_target",
            "arp_ip_target",
            {
                "bond-arp-ip-target 192.0.2.1": ["192.0.2.1"],
                "bond-arp-ip-target 192.0.2.2,192.0.2.3": ["192.0.2.2", "192.0.2.3"],
                "bond-arp-ip-target 192.0.2.3 192.0.2.4;bond-arp-ip-target 192.0.2.1": [
                    "192.0.2.3",
                    "192.0.2.4",
                    "192.0.2.1",
                ],
            },
            None,
        ),
        _row(
            "ns_ip6_target",
            "ns_ip6_target",
            "bond-ns-ip6-target",
            {"2001:db8::1": ["2001:db8::1"], "2001:DB8::2 2001:db8::3": ["2001:db8::2", "2001:db8::3"]},
            None,
        ),
        _row("arp_validate", "arp_validate", "bond-arp-validate", {"active": "active", "3": "all"}, None),
        _row(
            "arp_all_targets", "arp_all_targets", "bond-arp-all-targets", {"all": "all", "0": "any", "1": "all"}, "any"
        ),
        _row("missed_max", "raw 18 2 30", "bond-missed-max", {"5": 5, "1": 1}, 2),
        _row(
            "lacp_rate", "ad_lacp_rate", "bond-lacp-rate", {"fast": "fast", "slow": "slow", "1": "fast"}, "slow", _LACP
        ),
        _row("lacp_active", "ad_lacp_active", "bond-lacp-active", {"off": "off", "on": "on", "0": "off"}, "on", _LACP),
        _row("ad_select", "ad_select", "bond-ad-select", {"bandwidth": "bandwidth", "2": "count"}, "stable", _LACP),
        _row("ad_actor_sys_prio", "ad_actor_sys_prio", "bond-ad-actor-sys-prio", {"10": 10, "99": 99}, 65535, _LACP),
        _row(
            "ad_actor_system", "ad_actor_system", "bond-ad-actor-system", {_SYSTEM: _SYSTEM}, "00:00:00:00:00:00", _LACP
        ),
        _row("ad_user_port_key", "ad_user_port_key", "bond-ad-user-port-key", {"10": 10, "1023": 1023}, 0, _LACP),
        _row("coupled_control", "raw 18 2 32", "bond-coupled-control", {"off": 0, "on": 1, "no": 0}, 1, _LACP),
    ),
)
