"""Names in iptables and ipset: Proxmox VE's, where it has one for what is meant.

A chain's name has at most 28 bytes and a set's 31 (linux/netfilter/x_tables.h, XT_EXTENSION_MAXNAMELEN;
linux/netfilter/ipset/ip_set.h, IPSET_MAXNAMELEN, both with their end): of a longer one a digest takes the end's place.

Source: Proxmox VE's administration guide, chapter "Firewall", "Tips and Tricks", and its listings.
"""

from __future__ import annotations

import hashlib
import re

from pvenetd.firewall.ruleset import Chain

CHAIN_LENGTH, SET_LENGTH = 28, 31
REJECT = "PVEFW-reject"
"""Where refusals are made."""

SCOPE = "0"
"""Of the cluster's sets, where a guest's have its VMID."""

_SHARED = {
    "noise-drop-in": "PVEFW-Drop",
    "noise-drop-out": "PVEFW-Drop",
    "noise-reject-in": "PVEFW-Reject",
    "noise-reject-out": "PVEFW-Reject",
    "host-noise-drop-in": "PVEFW-HOST-Drop",
    "host-noise-drop-out": "PVEFW-HOST-Drop",
    "host-noise-reject-in": "PVEFW-HOST-Reject",
    "host-noise-reject-out": "PVEFW-HOST-Reject",
}
"""The same rules for both ways: what refuses is one chain here."""
_WAYS = {"in": "IN", "out": "OUT", "forward": "FW"}
_GROUP = re.compile(r"group-(.*)-(in|out|forward)")
_SAFE = re.compile(r"[\w.:-]+", re.ASCII)


def chain_name(chain: Chain | str) -> str:
    """Return what a chain of the intermediate form is called; a guest's own are called after its ports instead."""
    name = chain if isinstance(chain, str) else chain.name
    if name in _SHARED:
        return _SHARED[name]
    if found := _GROUP.fullmatch(name):
        return _fitting(f"GROUP-{found[1]}-{_WAYS[found[2]]}", CHAIN_LENGTH)
    if name.startswith("bridge-"):
        return _fitting(f"{name.removeprefix('bridge-')}-FW", CHAIN_LENGTH)
    if name.startswith("vm-"):
        return _fitting(f"PVEFW-{name.removeprefix('vm-')}", CHAIN_LENGTH)
    return _fitting(f"PVEFW-{name.upper()}", CHAIN_LENGTH)


def port_chain(port: str, way: str) -> str:
    """Return the chain of one way of a guest's port: ``tap100i0-IN``."""
    return _fitting(f"{port}-{_WAYS[way]}", CHAIN_LENGTH)


def set_name(name: str, version: int) -> str:
    """Return what a set of the cluster, ``dc-NAME``, is called."""
    return _set(SCOPE, name.removeprefix("dc-"), version)


def list_name(piece: str, version: int, listed: str) -> str:
    """Return what the set of a list that stands in a rule of *piece* is called: after what it holds, *listed*."""
    scope = piece.removeprefix("vm:") if piece.startswith("vm:") else piece[0].upper()
    return _set(scope, hashlib.sha256(f"{piece} {listed}".encode()).hexdigest()[:10], version)


def is_clusters(name: str) -> bool:
    """Return whether a set is one of the cluster's."""
    return name.startswith(f"PVEFW-{SCOPE}-")


def _set(scope: str, name: str, version: int) -> str:
    room = SET_LENGTH - len(f"PVEFW-{scope}--v{version}")
    return f"PVEFW-{scope}-{_fitting(name, room)}-v{version}"


def _fitting(name: str, length: int) -> str:
    """Return *name* in at most *length* characters; raise `ValueError` for what is no name."""
    if not _SAFE.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a name in iptables")
    if len(name) <= length:
        return name
    return f"{name[: length - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
