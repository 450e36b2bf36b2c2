"""Tunnels and links of their own, by ``ip -d -j link``."""

from __future__ import annotations

from tests.kernel.options import Family, Row, Scene

_VXLAN = """auto vx1
iface vx1 inet manual
	vxlan-id 5
	@
"""
_DUMMY = """auto blank
iface blank inet manual
	link-type dummy
	@
"""
_LOOK = "ip -d -j link show vx1"

FAMILY = Family(
    scenes={
        "Vxlan": Scene(_VXLAN, _LOOK, "0.linkinfo.info_data"),
        "Dummy": Scene(_DUMMY, "ip -d -j link show blank", "0"),
    },
    rows=(
        Row("Vxlan", "vni", "id", {"vxlan-id 6": 6, "vxlan-id 16777215": 16777215}, 5),
        Row("Vxlan", "mtu", "mtu", {"mtu 1450": 1450, "mtu 1400": 1400}, 1500, Scene(_VXLAN, _LOOK, "0")),
        Row(
            "Vxlan",
            "local",
            "local",
            {"vxlan-local-tunnelip 192.0.2.1": "192.0.2.1", "vxlan-local-tunnelip 192.0.2.2": "192.0.2.2"},
        ),
        Row(
            "Vxlan",
            "remote",
            "remote",
            {"vxlan-remoteip 192.0.2.3": "192.0.2.3", "vxlan-remoteip 192.0.2.4": "192.0.2.4"},
        ),
        Row("Vxlan", "dstport", "port", {"vxlan-port 4790": 4790, "vxlan-port 8472": 8472}, 4789),
        Row("Vxlan", "vxlan_learning", "learning", {"vxlan-learning off": False, "vxlan-learning on": True}, True),
        Row("Dummy", "mtu", "mtu", {"mtu 1400": 1400, "mtu 9000": 9000}, 1500),
    ),
)
