"""VXLAN and Geneve, by ``ip -d -j link`` and ``bridge -j fdb``."""

from __future__ import annotations

from tests.kernel.options import Family, Row, Scene

_VXLAN = """auto vx1
iface vx1 inet manual
	vxlan-id 5
	@
"""
_LOOK = "ip -d -j link show vx1"
_DATA = "0.linkinfo.info_data"
_ON_LINK = Scene(_VXLAN.replace("@", "@\n\tvxlan-physdev eno1\n\tvxlan-remoteip 192.0.2.2"), _LOOK, "0")
_REMOTE = Scene(_VXLAN.replace("@", "@\n\tvxlan-remoteip 192.0.2.2"), _LOOK, _DATA)
_IPV6 = Scene(_VXLAN.replace("@", "@\n\tvxlan-local-tunnelip 2001:db8::1"), _LOOK, _DATA)
_FDB = Scene(_VXLAN, "bridge -j fdb show dev vx1")
_GENEVE = """auto gen1
iface gen1 inet manual
	geneve-id 5
	geneve-remote 192.0.2.2
	@
"""
_GENEVE_LOOK = "ip -d -j link show gen1"


def _vxlan(field: str, seen: str, values: dict[str, object], gone: object = None, scene: Scene | None = None) -> Row:
    return Row("Vxlan", field, seen, {f"vxlan-{text}": value for text, value in values.items()}, gone, scene)


def _group(seen: str, values: dict[str, object]) -> Row:
    lines = {f"vxlan-physdev eno1;vxlan-{text}": value for text, value in values.items()}
    return Row("Vxlan", "svcnode", seen, lines, None)


def _geneve(field: str, seen: str, values: dict[str, object], gone: object = None) -> Row:
    return Row("Geneve", field, seen, {f"geneve-{text}": value for text, value in values.items()}, gone)


FAMILY = Family(
    scenes={
        "Vxlan": Scene(_VXLAN, _LOOK, _DATA),
        "Geneve": Scene(_GENEVE, _GENEVE_LOOK, _DATA),
    },
    rows=(
        _vxlan("vni", "id", {"id 6": 6, "id 16777215": 16777215}, 5),
        Row("Vxlan", "mtu", "mtu", {"mtu 1450": 1450, "mtu 1400": 1400}, 1500, Scene(_VXLAN, _LOOK, "0")),
        Row("Vxlan", "mtu", "mtu", {"mtu 1400": 1400}, 1450, _ON_LINK),
        _vxlan("local", "local", {"local-tunnelip 192.0.2.1": "192.0.2.1", "local-ip 192.0.2.2": "192.0.2.2"}),
        _vxlan("local", "local6", {"local-tunnelip 2001:db8::1": "2001:db8::1", "local-ip 2001:db8::2": "2001:db8::2"}),
        _vxlan("local", "local", {"local-tunnelip 192.0.2.1": "192.0.2.1", "local-tunnelip 2001:db8::1": None}),
        _vxlan("remotes", "0.dst", {"remoteip 192.0.2.3": "192.0.2.3", "remoteip 192.0.2.4": "192.0.2.4"}, None, _FDB),
        _vxlan("remotes", "1.dst", {"remoteip 192.0.2.3 192.0.2.4": "192.0.2.4"}, None, _FDB),
        _vxlan(
            "remotes", "0.dst", {"remoteip 2001:db8::3": "2001:db8::3", "remoteip 192.0.2.3": "192.0.2.3"}, None, _FDB
        ),
        _group("group", {"svcnodeip 239.1.1.1": "239.1.1.1", "mcastgrp 239.1.1.2": "239.1.1.2"}),
        _group("group6", {"svcnodeip ff05::1": "ff05::1", "mcastgrp6 ff05::2": "ff05::2"}),
        _group("remote", {"svcnodeip 192.0.2.5": "192.0.2.5", "peer-group 192.0.2.6": "192.0.2.6"}),
        _vxlan("physdev", "link", {"physdev eno1": "eno1", "physdev eno2": "eno2"}, None, _REMOTE),
        _vxlan("dstport", "port", {"port 4790": 4790, "dstport 8472": 8472}, 4789),
        _vxlan("vxlan_learning", "learning", {"learning off": False, "learning on": True}, True),
        _vxlan("ageing", "ageing", {"ageing 120": 120, "ageing 4096": 4096}, 300),
        _vxlan("ttl", "ttl", {"ttl 64": 64, "ttl auto": 0, "ttl 1": 1}, 0),
        _vxlan("tos", "tos", {"tos 0x10": "0x10", "tos inherit": "0x1", "tos 8": "0x8"}),
        _vxlan("df", "df", {"df set": "set", "df inherit": "inherit"}, "unset"),
        _vxlan("udp_csum", "udp_csum", {"udp-csum no": False, "udp-csum yes": True}, True),
        _vxlan("srcport", "port_range.high", {"srcport 10000 20000": 20000, "srcport 1-2": 2}, 0),
        _vxlan("gbp", "raw 18 2 23", {"gbp yes": 1, "gbp no": None}),
        _vxlan("ttl", "ttl", {"ttl 5": 5}, 0, _IPV6),
        _geneve("vni", "id", {"id 6": 6, "id 0": 0}, 5),
        Row("Geneve", "mtu", "mtu", {"mtu 1450": 1450, "mtu 1400": 1400}, 1500, Scene(_GENEVE, _GENEVE_LOOK, "0")),
        _geneve("remote", "remote", {"remote 192.0.2.3": "192.0.2.3", "remote 192.0.2.4": "192.0.2.4"}, "192.0.2.2"),
        _geneve("remote", "remote6", {"remote 2001:db8::3": "2001:db8::3", "remote 2001:db8::4": "2001:db8::4"}),
        _geneve("dstport", "port", {"port 7000": 7000, "port 4789": 4789}, 6081),
        _geneve("ttl", "ttl", {"ttl 64": 64, "ttl auto": 0, "ttl 5": 5}, 0),
        _geneve("tos", "tos", {"tos 0x10": "0x10", "tos inherit": "0x1", "tos 8": "0x8"}),
        _geneve("df", "df", {"df set": "set", "df inherit": "inherit"}, "unset"),
        _geneve("udp_csum", "udp_csum", {"udp-csum yes": True, "udp-csum no": False}, False),
    ),
)
