"""Who sends by way of the host is told of a refusal by a guest: the host itself, and those for whom it routes.

A bridge's hooks answer nothing of that, and IP's, which could, do not know the port.  What knows the guest's MAC
address and sees only the host's own frames is the way into the bridge: the egress hook of the bridge's device.  There
the chains that answer for guests are asked (`firewall.answer`); a frame that one of them refuses is forwarded to
``lo``, taken by the host as its own, and refused by IP before it is routed or tracked, as the packet of its connection
that it still is.  Whatever of this is missing, the frame goes on and is dropped at the guest's port, which decides.

Only what begins a connection is asked.  The netdev family knows no connections, so IP marks it (`SENT`); all else pays
for a look at the mark.  Frames on ``lo`` have no MAC addresses: one that has was forwarded there.  Should somebody have
taken away what refuses it there, it is routed anew, and not asked again.

Where br_netfilter keeps by which port a packet came, the kernel sends a reset out by that port itself, to the address
that the frame came from; that is the bridge's by now.  So TCP is told by ICMP there, which takes it for the same
(RFC 1122, 4.2.3.9).

A chain of this family belongs to its device, and loses it with it; before Linux 6.16 it does not find it again.

Sources: nft(8), "ADDRESS FAMILIES", "FWD STATEMENT"; net/netfilter/nft_fwd_netdev.c, drivers/net/loopback.c,
net/ipv4/netfilter/nf_reject_ipv4.c (nf_send_reset).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pvenetd.firewall.nft import GUARD, sealed
from pvenetd.firewall.nft import SENT as PIECE
from pvenetd.firewall.nft_base import BY_BRIDGE, SENT, Design
from pvenetd.firewall.nft_words import is_quotable
from pvenetd.state import Chains

_CLEARED = f"meta mark set meta mark & {0xFFFFFFFF ^ SENT ^ BY_BRIDGE:#010x}"
_BY_ICMP = "reject with icmpx port-unreachable"
_ANSWERS = "add element netdev pvenetd answers "
_NAMES = re.compile(r"[A-Za-z0-9_.-]+")
"""What the name of a chain may hold."""


def refuses(text: str) -> bool:
    """Return whether, by the *text* of a guest's piece, it refuses anything."""
    return _ANSWERS in text


def is_asked(device: str, text: str) -> bool:
    """Return whether, by the *text* of what `sent` returns, what is sent by *device* is asked."""
    return f' hook egress device "{device}" ' in text


def sent(devices: Collection[str], design: Design) -> Chains | None:
    """Return what has guests' refusals told to who sends by way of the host; None where there is no device.

    *devices* are bridges that are there, and VLAN interfaces on them: a frame to a VLAN has no tag yet in its own.
    """
    names = sorted(name for name in devices if is_quotable(name) and _NAMES.fullmatch(name))
    if not names or design == "iptables":
        return None
    text = _shared(names, design) + "".join(map(_egress, names))
    return sealed(PIECE, text, owner=GUARD)


def _shared(names: list[str], design: Design) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    out = f"{{ {listed} }}" if len(names) > 1 else listed
    came, told = "", ""
    if design == "mark":
        came = f'\t\tmeta iifkind {{ "bridge", "vlan" }} meta mark set meta mark | {SENT | BY_BRIDGE:#010x} accept\n'
        told = f"\t\tmeta mark & {BY_BRIDGE:#010x} != 0 meta l4proto 6 counter {_CLEARED} {_BY_ICMP}\n"
    return f"""\
table inet pvenetd {{
	chain {PIECE}-begins {{
		iifname "lo" return
{came}		meta mark set meta mark | {SENT:#010x}
	}}
	chain {PIECE}-first {{
		type filter hook postrouting priority 301; policy accept;
		ct state new,untracked oifname {out} jump {PIECE}-begins
	}}
	chain {PIECE}-answer {{
{told}		{_CLEARED}
		goto refuse
	}}
	chain {PIECE}-refused {{
		type filter hook prerouting priority -450; policy accept;
		iifname "lo" @ll,0,48 != 0 goto {PIECE}-answer
	}}
}}
table netdev pvenetd {{
	chain {PIECE}-arrived {{
		type filter hook ingress device "lo" priority 0; policy accept;
		meta pkttype other meta pkttype set host
	}}
}}
"""


def _egress(name: str) -> str:
    return f"""\
table netdev pvenetd {{
	chain {PIECE}-to-{name} {{
		type filter hook egress device "{name}" priority 0; policy accept;
		meta mark & {SENT:#010x} == 0 accept
		ether daddr vmap @answers
		goto pass
	}}
}}
"""
