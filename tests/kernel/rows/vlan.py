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
    ),
)
