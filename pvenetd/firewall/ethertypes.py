"""Names of Ethernet protocols, as ``layer2_protocols`` has them.

Sources: /etc/ethertypes of Debian's netbase; IANA "IEEE 802 Numbers".
"""

from __future__ import annotations

import re

from pvenetd.firewall.values import Wrong, near

_NAMES = {
    "IPv4": 0x0800, "X25": 0x0805, "ARP": 0x0806, "FR_ARP": 0x0808, "BPQ": 0x08FF, "DEC": 0x6000, "DNA_DL": 0x6001,
    "DNA_RC": 0x6002, "DNA_RT": 0x6003, "LAT": 0x6004, "DIAG": 0x6005, "CUST": 0x6006, "SCA": 0x6007, "TEB": 0x6558,
    "RAW_FR": 0x6559, "RARP": 0x8035, "ATALK": 0x809B, "AARP": 0x80F3, "802_1Q": 0x8100, "IPX": 0x8137,
    "NetBEUI": 0x8191, "IPv6": 0x86DD, "PPP": 0x880B, "MPLS": 0x8847, "MPLS_MULTI": 0x8848, "ATMMPOA": 0x884C,
    "PPP_DISC": 0x8863, "PPP_SES": 0x8864, "ATMFATE": 0x8884, "EAPOL": 0x888E, "S-TAG": 0x88A8, "EAP_PREAUTH": 0x88C7,
    "LLDP": 0x88CC, "MACSEC": 0x88E5, "PBB": 0x88E7, "MVRP": 0x88F5, "PTP": 0x88F7, "FCOE": 0x8906, "FIP": 0x8914,
    "ROCE": 0x8915,
}  # fmt: skip
_BY_NAME = {name.lower(): number for name, number in _NAMES.items()}


def ethertypes(text: str) -> tuple[int, ...]:
    """Return the numbers of a list of names, or of hexadecimal numbers (``88cc``, ``0x88cc``).  Raises `Wrong`."""
    return tuple(dict.fromkeys(_ethertype(word) for word in re.split(r"[,; ]+", text.strip(",; "))))


def _ethertype(word: str) -> int:
    if found := _BY_NAME.get(word.lower()):
        return found
    if re.fullmatch(r"(0x)?[0-9a-fA-F]{4}", word) and int(word, 16) >= 0x0600:
        return int(word, 16)  # below, it is a length (IEEE 802.3, 3.2.6)
    raise Wrong(f"unknown Ethernet protocol '{word}'", near(word, _NAMES))
