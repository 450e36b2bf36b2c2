"""Bonds, by ``ip -d -j link``."""

from __future__ import annotations

from tests.kernel.options import Family, Row, Scene


def _bond(mode: str) -> Scene:
    text = f"auto bond0\niface bond0 inet manual\n\tbond-slaves eno1 eno2\n\tbond-mode {mode}\n\t@\n"
    return Scene(text, "ip -d -j link show bond0", "0.linkinfo.info_data")


_ROUND_ROBIN, _BACKUP, _LACP = (_bond(mode) for mode in ("balance-rr", "active-backup", "802.3ad"))
_ANY_MODE = Scene(_BACKUP.text.replace("\tbond-mode active-backup\n", ""), _BACKUP.command, _BACKUP.path)

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
        Row(
            "Bond",
            "lacp_rate",
            "ad_lacp_rate",
            {"bond-lacp-rate fast": "fast", "bond-lacp-rate slow": "slow", "bond-lacp-rate 1": "fast"},
            scene=_LACP,
        ),
        Row("Bond", "min_links", "min_links", {"bond-min-links 1": 1, "bond-min-links 2": 2}, 0),
        Row("Bond", "primary", "primary", {"bond-primary eno1": "eno1", "bond-primary eno2": "eno2"}),
    ),
)
