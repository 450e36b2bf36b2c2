"""The tunnels of ``tunnel-mode``, by ``ip -d -j link``."""

from __future__ import annotations

from tests.kernel.options import Family, Row, Scene

_LOOK = "ip -d -j link show tun1"
_DATA = "0.linkinfo.info_data"
_ENDS = {4: ("192.0.2.1", "192.0.2.2", "192.0.2.3"), 6: ("2001:db8::1", "2001:db8::2", "2001:db8::3")}
_MTUS = {
    "gre": 1476,
    "gretap": 1462,
    "ipip": 1480,
    "sit": 1480,
    "vti": 1480,
    "ip6gre": 1448,
    "ip6gretap": 1434,
    "ip6ip6": 1452,
    "ipip6": 1452,
    "any": 1452,
    "vti6": 1460,
}
"""What the kernel gives each by itself, on a link of 1500."""


def _text(mode: str) -> str:
    local, remote, _ = _ENDS[_version(mode)]
    return f"auto tun1\niface tun1\n\ttunnel-mode {mode}\n\ttunnel-local {local}\n\ttunnel-endpoint {remote}\n\t@\n"


def _version(mode: str) -> int:
    return 6 if "6" in mode or mode == "any" else 4


def _scene(mode: str, path: str = _DATA) -> Scene:
    return Scene(_text(mode), _LOOK, path)


def _row(mode: str, where: str, field: str, seen: str, values: dict[str, object], gone: object = None) -> Row:
    return Row(where, field, seen, {f"tunnel-{text}": value for text, value in values.items()}, gone, _scene(mode))


def _ends(mode: str) -> tuple[Row, ...]:
    local, remote, other = _ENDS[_version(mode)]
    return (
        _row(mode, "Tunnel", "local", "local", {f"local {other}": other}, local),
        _row(mode, "Tunnel", "remote", "remote", {f"endpoint {other}": other, "endpoint any": "any"}, remote),
        _row(mode, "Tunnel", "physdev", "link", {"dev eno1": "eno1", "physdev eno2": "eno2"}),
        Row("Link", "mtu", "mtu", {"mtu 1400": 1400, "mtu 1300": 1300}, _MTUS[mode], _scene(mode, "0")),
    )


def _over4(mode: str) -> tuple[Row, ...]:
    return (
        _row(mode, "Over4", "ttl", "ttl", {"ttl 64": 64, "ttl inherit": 0, "ttl 5": 5}, 0),
        _row(mode, "Over4", "tos", "tos", {"tos 0x10": "0x10", "tos inherit": "0x1", "tos 8": "0x8"}),
        _row(mode, "Over4", "pmtudisc", "pmtudisc", {"pmtudisc no": False, "pmtudisc yes": True}, True),
    )


def _over6(mode: str) -> tuple[Row, ...]:
    return (
        _row(mode, "Over6", "ttl", "ttl", {"ttl 5": 5, "ttl 255": 255}, 64),
        _row(mode, "Over6", "tos", "tclass", {"tos 0x10": "0x10", "tos 8": "0x08"}, "0x00"),
        _row(mode, "Over6", "encap_limit", "encap_limit", {"encaplimit 0": None, "encaplimit 7": 7}, 4),
    )


def _keyed(mode: str) -> tuple[Row, ...]:
    return (
        _row(mode, "Keyed", "ikey", "ikey", {"key 7": "0.0.0.7", "ikey 0.0.1.0": "0.0.1.0"}),
        _row(mode, "Keyed", "okey", "okey", {"key 7": "0.0.0.7", "okey 8": "0.0.0.8"}),
    )


def _gre(mode: str) -> tuple[Row, ...]:
    return (*_keyed(mode), _row(mode, "_Gre", "csum", "ocsum", {"csum yes": True, "csum no": None}))


FAMILY = Family(
    rows=(
        *(row for mode in _MTUS for row in _ends(mode)),
        *(row for mode in ("gre", "gretap", "ipip", "sit") for row in _over4(mode)),
        *(row for mode in ("ip6gre", "ip6gretap", "ip6ip6") for row in _over6(mode)),
        *(row for mode in ("vti", "vti6") for row in _keyed(mode)),
        *(row for mode in ("gre", "gretap", "ip6gre", "ip6gretap") for row in _gre(mode)),
        Row(
            "Ip6tnl",
            "mode",
            "proto",
            {"tunnel-mode ipip6": "ipip6", "tunnel-mode ip6ip6": "ip6ip6", "tunnel-mode ip4ip6": "ipip6"},
            "any",
            _scene("any"),
        ),
    ),
)
