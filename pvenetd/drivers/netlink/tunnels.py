"""Attributes of tunnels and their kin: name → number and form, by IFLA_INFO_KIND.

What the kernel calls IFLA_GRE_X, IFLA_IPTUN_X and IFLA_VTI_X is IFLA_TUNNEL_X here: one meaning, one name.

Sources: linux/if_tunnel.h, linux/if_link.h.
"""

from __future__ import annotations

from collections.abc import Mapping

Table = Mapping[str, tuple[int, str]]


def _gre(address: str) -> Table:
    return {
        "IFLA_TUNNEL_LINK": (1, "uint32"),
        "IFLA_TUNNEL_IFLAGS": (2, "be16"),
        "IFLA_TUNNEL_OFLAGS": (3, "be16"),
        "IFLA_TUNNEL_IKEY": (4, "be32"),
        "IFLA_TUNNEL_OKEY": (5, "be32"),
        "IFLA_TUNNEL_LOCAL": (6, address),
        "IFLA_TUNNEL_REMOTE": (7, address),
        "IFLA_TUNNEL_TTL": (8, "uint8"),
        "IFLA_TUNNEL_TOS": (9, "uint8"),
        "IFLA_TUNNEL_PMTUDISC": (10, "uint8"),
        "IFLA_TUNNEL_ENCAP_LIMIT": (11, "uint8"),
        "IFLA_TUNNEL_FLOWINFO": (12, "be32"),
        "IFLA_TUNNEL_FLAGS": (13, "uint32"),
    }


def _iptun(address: str, flags: str) -> Table:
    return {
        "IFLA_TUNNEL_LINK": (1, "uint32"),
        "IFLA_TUNNEL_LOCAL": (2, address),
        "IFLA_TUNNEL_REMOTE": (3, address),
        "IFLA_TUNNEL_TTL": (4, "uint8"),
        "IFLA_TUNNEL_TOS": (5, "uint8"),
        "IFLA_TUNNEL_ENCAP_LIMIT": (6, "uint8"),
        "IFLA_TUNNEL_FLOWINFO": (7, "be32"),
        "IFLA_TUNNEL_FLAGS": (8, flags),
        "IFLA_TUNNEL_PROTO": (9, "uint8"),
        "IFLA_TUNNEL_PMTUDISC": (10, "uint8"),
    }


def _vti(address: str) -> Table:
    return {
        "IFLA_TUNNEL_LINK": (1, "uint32"),
        "IFLA_TUNNEL_IKEY": (2, "be32"),
        "IFLA_TUNNEL_OKEY": (3, "be32"),
        "IFLA_TUNNEL_LOCAL": (4, address),
        "IFLA_TUNNEL_REMOTE": (5, address),
    }


_MACVLAN: Table = {"IFLA_MACVLAN_MODE": (1, "uint32")}

TABLES: Mapping[str, Table] = {
    "gre": _gre("ip4addr"),
    "gretap": _gre("ip4addr"),
    "ip6gre": _gre("ip6addr"),
    "ip6gretap": _gre("ip6addr"),
    "ipip": _iptun("ip4addr", "uint16"),
    "sit": _iptun("ip4addr", "uint16"),
    "ip6tnl": _iptun("ip6addr", "uint32"),
    "vti": _vti("ip4addr"),
    "vti6": _vti("ip6addr"),
    "macvlan": _MACVLAN,
    "macvtap": _MACVLAN,
    "geneve": {
        "IFLA_GENEVE_REMOTE6": (7, "ip6addr"),
        "IFLA_GENEVE_DF": (13, "uint8"),
    },
    "vxlan": {
        "IFLA_VXLAN_PORT_RANGE": (10, "ports"),
        "IFLA_VXLAN_DF": (29, "uint8"),
    },
}
