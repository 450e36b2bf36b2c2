"""What every link has, and what a bridge keeps of its port."""

from __future__ import annotations

from collections.abc import Iterator

from tests.kernel.options import Family, Row, Scene

_ETHERNET = """auto eno1
iface eno1 inet manual
	@
"""
_PORT = """auto vmbr0
iface vmbr0 inet manual
	bridge-ports eno1 eno2

iface eno1 inet manual
	@
"""
_LOOK = "ip -d -j link show eno1"

_OF_BRIDGE = """auto vmbr0
iface vmbr0 inet manual
	bridge-ports eno1 eno2
	@
"""


def _port(field: str, seen: str, option: str, values: dict[str, object], gone: object) -> Iterator[Row]:
    """Yield the rows of a port's option: in its own stanza, and in its bridge's for all and by name."""
    yield Row("Port", field, seen, {f"{option} {text}": value for text, value in values.items()}, gone)
    if option in ("bridge-backup-port", "bridge-l2protocol-tunnel"):
        return
    spelled = [f"{option} {{}}", f"{option} eno1={{}}", f"{option.replace('-', '_')} eno1 {{}}"]
    lines = [form.format(text) for form, text in zip(spelled * 2, [*values] * 3, strict=False)]
    bridges = {line: values[line.replace("=", " ").split()[-1]] for line in lines}
    scene = Scene(_OF_BRIDGE, _LOOK, "0.linkinfo.info_slave_data")
    yield Row("Port", field, seen, bridges, gone, scene)


def _flag(field: str, seen: str, option: str, *, default: bool) -> Iterator[Row]:
    words = {"off": False, "on": True, "no": False} if default else {"on": True, "off": False, "yes": True}
    yield from _port(field, seen, option, dict(words), default)


FAMILY = Family(
    scenes={
        "Link": Scene(_ETHERNET, _LOOK, "0"),
        "Ethernet": Scene(_ETHERNET, _LOOK, "0"),
        "Port": Scene(_PORT, _LOOK, "0.linkinfo.info_slave_data"),
    },
    rows=(
        Row("Link", "mtu", "mtu", {"mtu 1400": 1400, "mtu 9000": 9000}),
        Row("Ethernet", "mtu", "mtu", {"mtu 1400": 1400, "mtu 9000": 9000}, 1500),
        Row(
            "Link",
            "mac",
            "address",
            {
                "hwaddress 02:00:5e:00:53:01": "02:00:5e:00:53:01",
                "hwaddress ether 02:00:5E:00:53:0A": "02:00:5e:00:53:0a",
            },
            "02:00:5e:00:53:0a",
        ),
        Row("Link", "txqueuelen", "txqlen", {"txqueuelen 500": 500, "txqueuelen 2000": 2000}, 2000),
        Row("Link", "up", "operstate", {"link-down yes": "DOWN", "link-down no": "UP", "link-down on": "DOWN"}, "UP"),
        Row(
            "Ethernet",
            "alias",
            "ifalias",
            {
                "alias uplink to the switch": "pvenetd:interfaces (configured) uplink to the switch",
                "description Uplink zum Büro": "pvenetd:interfaces (configured) Uplink zum Büro",
            },
            "pvenetd:interfaces (configured) Uplink zum Büro",
        ),
        Row(
            "Link",
            "alias",
            "0.ifalias",
            {"alias guests": "pvenetd:interfaces guests", "description (both)": "pvenetd:interfaces (both)"},
            "pvenetd:interfaces",
            Scene("auto vmbr0\niface vmbr0 inet manual\n\tbridge-ports none\n\t@\n", "ip -d -j link show vmbr0"),
        ),
        *_flag("hairpin", "hairpin", "bridge-hairpin", default=False),
        *_flag("bpdu_guard", "guard", "bridge-bpdu-guard", default=False),
        *_flag("root_block", "root_block", "bridge-root-block", default=False),
        *_flag("fast_leave", "fastleave", "bridge-portmcfl", default=False),
        *_flag("learning", "learning", "bridge-learning", default=True),
        *_flag("unicast_flood", "flood", "bridge-unicast-flood", default=True),
        *_flag("multicast_flood", "mcast_flood", "bridge-multicast-flood", default=True),
        *_flag("broadcast_flood", "bcast_flood", "bridge-broadcast-flood", default=True),
        *_flag("multicast_to_unicast", "mcast_to_unicast", "bridge-multicast-to-unicast", default=False),
        *_flag("neigh_suppress", "neigh_suppress", "bridge-arp-nd-suppress", default=False),
        *_flag("neigh_vlan_suppress", "raw 18 5 43", "bridge-neigh-vlan-suppress", default=False),
        *_flag("proxy_arp", "proxy_arp", "bridge-proxy-arp", default=False),
        *_flag("proxy_arp_wifi", "proxy_arp_wifi", "bridge-proxy-arp-wifi", default=False),
        *_flag("vlan_tunnel", "vlan_tunnel", "bridge-vlan-tunnel", default=False),
        *_flag("isolated", "isolated", "bridge-isolated", default=False),
        *_flag("locked", "locked", "bridge-locked", default=False),
        *_port("cost", "cost", "bridge-pathcosts", {"10": 10, "20": 20}, 20),
        *_port("port_priority", "priority", "bridge-portprios", {"10": 10, "0": 0}, 32),
        *_port("multicast_router", "multicast_router", "bridge-portmcrouter", {"no": 0, "enabled": 2, "1": 1}, 1),
        *_port("port_fwd_mask", "group_fwd_mask", "bridge-l2protocol-tunnel", {"lldp": "0x4000", "all": "0x4005"}, "0"),
        *_port("max_groups", "raw 18 5 42", "bridge-mcast-max-groups", {"10": 10, "0x20": 32}, 0),
        *_port("eht_hosts", "raw 18 5 37", "bridge-mcast-eht-hosts-limit", {"10": 10, "1024": 1024}, 512),
        *_port("backup_port", "backup_port", "bridge-backup-port", {"eno2": "eno2"}, None),
        Row(
            "Port",
            "mab",
            "raw 18 5 40",
            {"bridge-locked yes;bridge-mab yes": True, "bridge-mab no": False, "bridge-mab on;bridge-locked on": True},
            False,
        ),
    ),
)
