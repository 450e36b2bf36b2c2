"""How many connections a guest may begin: of the host's table of all connections, no guest fills more than its share.

A rate bounds what a flood costs; a count bounds what it leaves behind.  The kernel counts by a list of connections
that it walks for each new one (half a millisecond for 512), so a single list would do more harm than a flood: each
NIC has `LISTS`, and a connection is in that which its number in the kernel falls to.  Who sends one way (logs,
streams) begins one connection, however many packets that takes: only those that the kernel does not keep yet are
asked.

Bridges that track connections count by port.  Elsewhere only the inet hooks know of them: what a guest begins has a
bit of the packet mark there, and is counted by the MAC address that the guest's chain has let pass.  iptables has
the rate alone: its match connlimit has one list.

Sources: nft(8), "CONNECTION LIMIT"; net/netfilter/nf_conncount.c.
"""

from __future__ import annotations

from pvenetd.firewall.ruleset import Rule

RATE, BURST = 2000, 10_000
"""Connections that a NIC may begin each second, and at once."""
LISTS, PER_LIST = 512, 64
"""Lists of a NIC, and connections in each: 32,768, an eighth of what a host of 4 GiB and more keeps track of.

They do not fill alike: from some 21,000 on some are full, and a first packet that is sent again falls to another.
"""
BEGINS = 0x01000000
"""A bit of the packet mark: a guest's first packet, to be counted."""
NAME = "connection_limit"
BOUND = Rule("bound", origin=NAME)

_MOST_NICS = 4096
_FIRST = "ct state new ct status & confirmed == 0"
"""What makes conntrack keep one more connection."""


def sets(key: str) -> str:
    """Return the sets of a table that counts by *key*'s type: ``ifname``, ``ether_addr``."""
    return f"""\
	set begun {{
		type {key}
		size {_MOST_NICS}
		flags dynamic,timeout
		timeout 1m
	}}
	set flows {{
		type {key} . mark
		size {_MOST_NICS * LISTS}
		flags dynamic
	}}
"""


def rules(key: str, rate: int = RATE, burst: int = BURST, most: int = PER_LIST) -> tuple[str, str]:
    """Return what drops too many connections of who is told by *key*: too fast, too many."""
    note = f'counter drop comment "{NAME}"'
    return (
        f"{_FIRST} update @begun {{ {key} limit rate over {rate}/second burst {burst} packets }} {note}",
        f"{_FIRST} update @flows {{ {key} . jhash ct id mod {LISTS} ct count over {most} }} {note}",
    )


def chain(key: str) -> str:
    """Return the chain of a table that counts by *key*."""
    return "\tchain flows {\n" + "".join(f"\t\t{rule}\n" for rule in rules(key)) + "\t}\n"


SETS = ("begun", "flows")
"""They outlive every replacement of rules, as the connections do."""
BY_PORT, BY_MAC = "iifname", "ether saddr"
BRIDGE_SETS, INET_SETS = sets("ifname"), sets("ether_addr")
MARKING = f"\tchain flows {{\n\t\tmeta mark set meta mark | {BEGINS:#010x}\n\t}}\n"
"""Where bridges do not track connections."""
ASKING = f"meta mark & {BEGINS:#010x} != 0 jump flows"
"""Of the inet hooks, there."""
