"""The fence about filtered ports of the iptables backend: only beside their own fwln, or nothing passes.

iptables filters a port that stands in a bridge of its own.  In any other bridge (libvirt puts it there by itself, or a
daemon with the other backend had) its frames would pass its rules by: they are dropped there, in both directions, and
so is what would be delivered to the host, or sent by it.

Sources: net/bridge/br_forward.c, br_input.c; nft(8).
"""

from __future__ import annotations

from pvenetd.firewall.nft import element, sealed
from pvenetd.firewall.ruleset import Piece
from pvenetd.state import Chains

MAP = """\
table bridge pvenetd {
	map apart {
		type ifname : verdict
	}
}
"""
"""Filtered ports, each with its piece."""

_BASE = f"""\
{MAP}table bridge pvenetd {{
	chain apart {{
		iifname "fwln*" return
		oifname "fwln*" return
		counter drop
	}}
	chain apart-forward {{
		type filter hook forward priority -20; policy accept;
		iifname vmap @apart
		oifname vmap @apart
	}}
	chain apart-input {{
		type filter hook input priority -20; policy accept;
		iifname "fwln*" counter drop
		iifname vmap @apart
	}}
	chain apart-output {{
		type filter hook output priority -20; policy accept;
		oifname vmap @apart
	}}
}}
"""


def fenced_base(below: Chains) -> Chains:
    """Return the base of what is below IP, with the fence."""
    return sealed(below.name, _BASE + _open(below), owner=below.owner)


def fenced(piece: Piece, below: Chains) -> Chains:
    """Return a guest's chains below IP, its filtered ports fenced in."""
    ports = (port.name for port in piece.ports if port.into or port.out)
    found = "".join(element("bridge", "apart", port, f' comment "{piece.name}" : jump apart') for port in ports)
    return sealed(below.name, _open(below) + found, owner=below.owner) if found else below


def _open(below: Chains) -> str:
    """Return the text without its seal."""
    return "".join(below.text.splitlines(keepends=True)[:-1])
