"""What every link has, and what a bridge keeps of its port."""

from __future__ import annotations

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
        *(
            Row("Link", field, seen, {f"{option} off": False, f"{option} on": True, f"{option} no": False}, True, port)
            for port in [Scene(_PORT, _LOOK, "0.linkinfo.info_slave_data")]
            for field, seen, option in (
                ("learning", "learning", "bridge-learning"),
                ("unicast_flood", "flood", "bridge-unicast-flood"),
                ("multicast_flood", "mcast_flood", "bridge-multicast-flood"),
            )
        ),
        Row(
            "Link",
            "isolated",
            "isolated",
            {"bridge-isolated yes": True, "bridge-isolated no": False, "bridge-isolated on": True},
            False,
            Scene(_PORT, _LOOK, "0.linkinfo.info_slave_data"),
        ),
    ),
)
