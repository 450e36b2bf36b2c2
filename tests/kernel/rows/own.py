"""Links of their own, VRFs and their members, by ``ip -d -j link``."""

from __future__ import annotations

from tests.kernel.options import Family, Row, Scene


def _dummy(kind: str) -> Scene:
    return Scene(f"auto blank\niface blank inet manual\n\tlink-type {kind}\n\t@\n", "ip -d -j link show blank", "0")


_VETH = Scene(
    "auto vetha\niface vetha inet manual\n\tlink-type veth\n\tveth-peer-name vethb\n\t@\n",
    "ip -d -j link show vetha",
    "0",
)
_VRF = Scene("auto red\niface red\n\tvrf-table 10\n\t@\n", "ip -d -j link show red", "0.linkinfo.info_data")
_MEMBER = Scene(
    "iface red\n\tvrf-table 10\n\niface blue\n\tvrf-table 11\n\nauto eno1 blue\niface eno1 inet manual\n\t@\n",
    "ip -d -j link show eno1",
    "0",
)


def _macvlan(kind: str, path: str) -> Scene:
    text = f"auto mac1\niface mac1 inet manual\n\tlink-type {kind}\n\tmacvlan-raw-device eno1\n\t@\n"
    return Scene(text, "ip -d -j link show mac1", path)


_DATA = "0.linkinfo.info_data"

FAMILY = Family(
    scenes={"Dummy": _dummy("dummy"), "Veth": _VETH, "Vrf": _VRF, "Macvlan": _macvlan("macvlan", _DATA)},
    rows=(
        Row("Dummy", "mtu", "mtu", {"mtu 1400": 1400, "mtu 9000": 9000}, 1500),
        Row("Dummy", "mtu", "mtu", {"mtu 1400": 1400, "mtu 9000": 9000}, 1500, _dummy("ifb")),
        Row("Veth", "mtu", "mtu", {"mtu 1400": 1400, "mtu 9000": 9000}, 1500),
        Row("Veth", "peer", "link", {"veth-peer-name vethc": "vethc", "veth-peer-name vethd": "vethd"}, "vethb"),
        Row(
            "Vrf",
            "table",
            "table",
            {"vrf-table 20": 20, "vrf-table auto": 2456, "vrf-table 4294967295": 4294967295},
            10,
        ),
        Row("Vrf", "mtu", "mtu", {"mtu 1500": 1500, "mtu 9000": 9000}, 65575, Scene(_VRF.text, _VRF.command, "0")),
        Row("Link", "master", "master", {"vrf red": "red", "vrf blue": "blue"}, None, _MEMBER),
        Row("Macvlan", "raw_device", "link", {"macvlan-raw-device eno2": "eno2"}, "eno1", _macvlan("macvlan", "0")),
        Row("Macvlan", "raw_device", "link", {"macvlan-raw-device eno2": "eno2"}, "eno1", _macvlan("macvtap", "0")),
        *(
            Row(
                "Macvlan",
                "mode",
                "mode",
                {f"macvlan-mode {mode}": mode for mode in ("bridge", "private", "passthru", "source")},
                "vepa",
                _macvlan(kind, _DATA),
            )
            for kind in ("macvlan", "macvtap")
        ),
        Row("Link", "mtu", "mtu", {"mtu 1400": 1400, "mtu 1300": 1300}, 1500, _macvlan("macvlan", "0")),
        Row(
            "Link",
            "mac",
            "address",
            {"hwaddress 02:00:5e:00:53:01": "02:00:5e:00:53:01"},
            scene=_macvlan("macvlan", "0"),
        ),
    ),
)
