"""What every ruleset stands on: hooks, maps, the digests' set, and how a frame's connection is known.

The kernel offers one of two ways, never both at once; `drivers.nft.probe` finds out which.

``ct``
    Bridge conntrack (nf_conntrack_bridge, Linux 5.3): the bridge's chains ask ``ct state``.
``mark``
    br_netfilter shows bridged packets to the inet hooks.  There, connection tracking has the
    state, and bits of the packet mark carry it to the bridge's chains.  The bits are made anew
    for every packet where it enters a bridge or leaves the host, and are cleared before the host
    itself gets it, so policy routing never sees them.  What others keep in these bits is lost.

In both, one more bit tells of DHCP servers that nobody has allowed (`firewall.leases`); in ``mark`` another of a
guest's first packets (`firewall.quota`).

``iptables`` is a third design, of the backend of that name: IP is filtered there, with br_netfilter, and here is only
what is below (`firewall.backend`).

Sources: net/bridge/br_netfilter_hooks.c; net/bridge/netfilter/nf_conntrack_bridge.c.
"""

from __future__ import annotations

from typing import Literal

from pvenetd.firewall import leases, quota
from pvenetd.firewall.leases import MUTED
from pvenetd.firewall.nft_cut import BRIDGE_CHAINS, CUT_SETS, HOST_CHAINS, SEEN_SETS
from pvenetd.firewall.quota import BEGINS

Design = Literal["ct", "mark", "iptables"]

BRIDGED, ESTABLISHED, INVALID, REJECTED = 0x08000000, 0x10000000, 0x20000000, 0x40000000
"""Bits of the packet mark.  Away from Proxmox's (bit 31), Tailscale's (16 to 23), Kubernetes' (14, 15)."""

SENT, BY_BRIDGE = BRIDGED, 0x02000000
"""What they say of a packet on its way from the host into a bridge (`firewall.sent`): it begins a connection; it came
to the host by a bridge, and br_netfilter keeps by which port."""

_ALL = BRIDGED | ESTABLISHED | INVALID | REJECTED
_OTHERS = 0xFFFFFFFF ^ _ALL
_EVERY = _ALL | MUTED | BEGINS
"""The last two stay with a packet that the host routes."""


def _marked(bits: int) -> str:
    """Return what gives a packet's mark these bits of ours and no other."""
    return f"meta mark set meta mark & {_OTHERS:#010x} | {bits:#010x}"


def _states(bits: int) -> str:
    """Return the rules that mark a packet with its connection's state, beside *bits*: by far the most are established.

    One rule says it all, as every packet meets it.
    """
    rest = _marked(bits) if bits else f"meta mark & {_ALL:#010x} != 0 meta mark set meta mark & {_OTHERS:#010x}"
    return (
        f"\t\tct state established,related {_marked(bits | ESTABLISHED)} accept\n"
        f"\t\tct state invalid {_marked(bits | INVALID)} accept\n"
        f"\t\t{rest}\n"
    )


_MAPS = f"""\
table inet pvenetd {{
	map bridges {{
		type ifname : verdict
	}}
{CUT_SETS}{quota.INET_SETS}}}
table bridge pvenetd {{
{CUT_SETS}{SEEN_SETS}{quota.BRIDGE_SETS}	map bridges {{
		type ifname : verdict
	}}
	set pieces {{
		type ifname
	}}
	map answers {{
		type ether_addr : verdict
	}}
	map in {{
		type ifname : verdict
	}}
	map out {{
		type ifname : verdict
	}}
{leases.MAPS}	chain guard-in {{
	}}
	chain guard-out {{
	}}
}}
"""
"""Declared again, they keep what is in them: so the base is replaced below the guests and the guard."""

ANSWERS = """\
table netdev pvenetd {
	map answers {
		type ether_addr : verdict
	}
}
"""
"""As the bridge's map of that name, for what the host sends."""

_SEND_BACK = f"""\
{ANSWERS}table netdev pvenetd {{
	chain pass {{
		meta mark set meta mark & {0xFFFFFFFF ^ SENT ^ BY_BRIDGE:#010x} accept
	}}
	chain refuse {{
		meta l4proto != {{ 1, 58 }} counter meta mark set meta mark & {0xFFFFFFFF ^ SENT:#010x} fwd to "lo"
		goto pass
	}}
}}
"""

_REJECT = """\
		meta pkttype { broadcast, multicast } counter drop
		meta l4proto { 1, 58 } counter drop
		meta l4proto 6 counter reject with tcp reset
		meta l4proto 17 counter reject with icmpx port-unreachable
		counter reject with icmpx admin-prohibited
"""
"""Nobody is answered but the one who asked: no group, and no ICMP, lest two hosts answer each other."""

# Priority 10 is behind br_netfilter (0), which calls the inet hooks, and behind bridge conntrack (-200).
_DISPATCH = """\
	chain prerouting {
		type filter hook prerouting priority 10; policy accept;
		iifname vmap @out
		goto guard-out
	}
"""
# Who is in neither map is nobody's port that pvenetd knows: `firewall.guard` fills the chains that decide.

_CT = f"""\
table inet pvenetd {{
	chain refuse {{
{_REJECT}	}}
{HOST_CHAINS}}}
table bridge pvenetd {{
	chain refuse-out {{
{_REJECT}	}}
	chain refuse-in {{
		drop
	}}
{BRIDGE_CHAINS}{quota.chain(quota.BY_PORT)}	chain refusal {{
		meta l4proto 6 tcp flags & (syn | rst) == rst counter accept
		meta protocol ip icmp type 3 counter accept
		meta protocol ip6 icmpv6 type 1 counter accept
	}}
{_DISPATCH}	chain answer {{
		type filter hook prerouting priority 20; policy accept;
		ct state established,related accept
		ether daddr vmap @answers
	}}
	chain postrouting {{
		type filter hook postrouting priority 10; policy accept;
		oifname vmap @in
		goto guard-in
	}}
{leases.CHAIN}}}
"""
# What the bridge itself answers to a rejected frame belongs to no connection.  So "invalid" resets and
# unreachables pass into guests (`builtin.shared`): a guest's own TCP ignores those that it did not cause.

_MARK = f"""\
table inet pvenetd {{
	chain refuse {{
{_REJECT}	}}
{HOST_CHAINS}{quota.chain(quota.BY_MAC)}	chain mark-bridged {{
		type filter hook prerouting priority 300; policy accept;
		meta iifkind != "bridge" accept
{_states(BRIDGED)}	}}
	chain mark-sent {{
		type filter hook postrouting priority 300; policy accept;
{_states(0)}	}}
	chain reject-input {{
		type filter hook input priority -10; policy accept;
		meta mark & {REJECTED:#010x} != 0 goto refuse
		{quota.ASKING}
	}}
	chain reject-forward {{
		type filter hook forward priority -10; policy accept;
		meta mark & {REJECTED:#010x} != 0 goto refuse
		{quota.ASKING}
	}}
}}
table bridge pvenetd {{
	chain refuse-out {{
		meta protocol {{ ip, ip6 }} counter meta mark set meta mark | {REJECTED:#010x} accept
		counter drop
	}}
	chain refuse-in {{
		goto refuse-out
	}}
{BRIDGE_CHAINS}{quota.MARKING}	chain arrival {{
		type filter hook prerouting priority -300; policy accept;
		meta mark & {_EVERY:#010x} != 0 meta mark set meta mark & {0xFFFFFFFF ^ _EVERY:#010x}
	}}
{_DISPATCH}	chain input {{
		type filter hook input priority 10; policy accept;
		meta mark & {REJECTED:#010x} != 0 meta pkttype != host counter drop
		meta mark & {BRIDGED | ESTABLISHED | INVALID:#010x} != 0 meta mark set meta mark & {_OTHERS | REJECTED:#010x}
	}}
	chain forward {{
		type filter hook forward priority -10; policy accept;
		meta mark & {REJECTED:#010x} != 0 accept
		oifname vmap @in
		goto guard-in
	}}
	chain output {{
		type filter hook output priority 10; policy accept;
		oifname vmap @in
		goto guard-in
	}}
{leases.CHAIN}	chain postrouting {{
		type filter hook postrouting priority 10; policy accept;
		meta mark & {REJECTED:#010x} != 0 counter drop
	}}
}}
"""

_BRIDGES: dict[Design, str] = {
    "ct": """\
table bridge pvenetd {
	chain bridges-forward {
		type filter hook forward priority 10; policy accept;
		meta ibrname vmap @bridges
	}
}
""",
    "mark": f"""\
table inet pvenetd {{
	chain bridges-forward {{
		type filter hook forward priority -5; policy accept;
		meta mark & {BRIDGED:#010x} != 0 iifname vmap @bridges
	}}
}}
""",
}
"""A hook of its own, for every packet pays for one."""


_LAYER2 = f"""\
table inet pvenetd {{
	chain zones {{
		type filter hook prerouting priority -300; policy accept;
		iifname "fwbr*" ct zone set jhash iif mod 65535 seed 0x1 offset 1
	}}
	chain shown {{
		type filter hook forward priority -150; policy accept;
		iifname "fwbr*" meta mark & {BRIDGED:#010x} != 0 meta mark set meta mark & {0xFFFFFFFF ^ BRIDGED:#010x}
	}}
}}
table bridge pvenetd {{
	chain refuse-out {{
		counter drop
	}}
	chain refuse-in {{
		goto refuse-out
	}}
	chain pass {{
		meta mark set meta mark | {BRIDGED:#010x} accept
	}}
	chain arrival {{
		type filter hook prerouting priority -300; policy accept;
		meta mark & {BRIDGED:#010x} != 0 meta mark set meta mark & {0xFFFFFFFF ^ BRIDGED:#010x}
	}}
	chain passed {{
		type filter hook forward priority 10; policy accept;
		meta mark & {BRIDGED:#010x} != 0 counter drop comment "iptables has not seen it"
	}}
	chain input {{
		type filter hook input priority 10; policy accept;
		meta mark & {BRIDGED:#010x} != 0 counter drop comment "iptables has not seen it"
	}}
	chain prerouting {{
		type filter hook prerouting priority -10; policy accept;
		iifname vmap @out
		goto guard-out
	}}
	chain forward {{
		type filter hook forward priority -10; policy accept;
		oifname vmap @in
		goto guard-in
	}}
	chain output {{
		type filter hook output priority -10; policy accept;
		oifname vmap @in
		goto guard-in
	}}
}}
"""
# Before br_netfilter: what is stopped here, iptables never hears of.  A packet between two guests crosses both their
# bridges and the one between: each tracks it in a zone of its own, or the first to see a reset would have the others
# find no connection any more, and NAT would be settled where nothing is routed.  IP that iptables has to judge is
# marked, and the mark goes where IP's forward hook sees it in a port's own bridge.  Who still has it does not pass:
# somebody has switched br_netfilter off, as is often advised for bridges, or the port is in another bridge.


def layer2_text() -> str:
    """Return the nft text of the base where iptables has all rules about IP."""
    return _MAPS + _LAYER2


def base_text(design: Design) -> str:
    """Return the nft text of the base for one of the two ways."""
    return _MAPS + (_CT if design == "ct" else _MARK) + _SEND_BACK


def bridges_text(design: Design) -> str:
    """Return what leads what is forwarded in a bridge to the bridge's own chains, for hosts where one has any."""
    return _BRIDGES[design]


def maps_text() -> str:
    """Return the part of the base that outlives its replacement."""
    return _MAPS
