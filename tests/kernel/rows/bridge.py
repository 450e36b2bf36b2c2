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

FAMILY = Family(
    scenes={
        "Bridge": Scene(_BRIDGE, _LOOK, _DATA),
    },
    rows=(
        Row("Bridge", "ageing", "ageing_time", {"bridge-ageing 120": 12000, "bridge_ageing 0": 0}, 30000),
        Row("Bridge", "hello", "hello_time", {"bridge-hello 1": 100, "bridge-hello 5": 500}, 200),
        Row("Bridge", "max_age", "max_age", {"bridge-maxage 10": 1000, "bridge-maxage 30": 3000}, 2000),
        Row("Bridge", "forward_delay", "forward_delay", {"bridge-fd 0": 0, "bridge-fd 4": 400}, 1500),
        Row("Bridge", "stp", "stp_state", {"bridge-stp on": 1, "bridge-stp off": 0, "bridge-stp yes": 1}, 0),
        Row("Bridge", "priority", "priority", {"bridge-bridgeprio 4096": 4096, "bridge-bridgeprio 8192": 8192}, 32768),
        Row("Bridge", "vlan_aware", "vlan_filtering", {"bridge-vlan-aware yes": 1, "bridge-vlan-aware no": 0}, 0),
        Row("Bridge", "mcast_snooping", "mcast_snooping", {"bridge-mcsnoop no": 0, "bridge-mcsnoop 1": 1}, 1),
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
