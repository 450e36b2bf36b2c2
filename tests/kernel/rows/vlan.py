"""VLANs, by ``ip -d -j link``."""

from __future__ import annotations

from tests.kernel.options import Family, Row, Scene

_TEXT = """auto service
iface service inet manual
	vlan-raw-device eno1
	vlan-id 5
	@
"""
_LOOK = "ip -d -j link show service"
_DATA = "0.linkinfo.info_data"

_ON_BRIDGE = Scene(
    _TEXT.replace("eno1", "vmbr0") + "\nauto vmbr0\niface vmbr0 inet manual\n\tbridge-ports eno1\n", _LOOK, _DATA
)

FAMILY = Family(
    scenes={"Vlan": Scene(_TEXT, _LOOK, _DATA)},
    rows=(
        Row("Vlan", "vlan_id", "id", {"vlan-id 6": 6, "vlan-id 4094": 4094}, 5),
        Row(
            "Vlan",
            "raw_device",
            "link",
            {"vlan-raw-device eno2": "eno2", "vlan_raw_device eno1": "eno1"},
            "eno1",
            Scene(_TEXT, _LOOK, "0"),
        ),
        Row(
            "Vlan",
            "protocol",
            "protocol",
            {"vlan-protocol 802.1ad": "802.1ad", "vlan-protocol 802.1q": "802.1Q"},
            "802.1Q",
        ),
        *(
            Row(
                "Vlan",
                field,
                "flags",
                {
                    f"{option} yes": ["REORDER_HDR", flag],
                    f"{option} no": ["REORDER_HDR"],
                    f"{option} 1": ["REORDER_HDR", flag],
                },
                ["REORDER_HDR"],
                _ON_BRIDGE,
            )
            for field, option, flag in (
                ("gvrp", "vlan-gvrp", "GVRP"),
                ("mvrp", "vlan-mvrp", "MVRP"),
                ("loose_binding", "vlan-loose-binding", "LOOSE_BINDING"),
                ("bridge_binding", "vlan-bridge-binding", "BRIDGE_BINDING"),
            )
        ),
        Row(
            "Vlan",
            "reorder_header",
            "flags",
            {"vlan-reorder-hdr off": None, "vlan-reorder-hdr on": ["REORDER_HDR"], "vlan-reorder-hdr no": None},
            ["REORDER_HDR"],
        ),
        Row(
            "Vlan",
            "ingress_qos",
            "ingress_qos",
            {
                "vlan-ingress-qos-map 1:6": [{"from": 1, "to": 6}],
                "vlan-ingress-qos-map 2=5 3:100;vlan-ingress-qos-map 4:1": [
                    {"from": 2, "to": 5},
                    {"from": 3, "to": 100},
                    {"from": 4, "to": 1},
                ],
            },
            None,
        ),
        Row(
            "Vlan",
            "egress_qos",
            "egress_qos",
            {
                "vlan-egress-qos-map 6:1": [{"from": 6, "to": 1}],
                "vlan-egress-qos-map 6:2,100:3": [{"from": 100, "to": 3}, {"from": 6, "to": 2}],
                "vlan-egress-qos-map 100:3": [{"from": 100, "to": 3}],
            },
            None,
        ),
    ),
)
