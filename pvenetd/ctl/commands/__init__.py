"""The commands, a noun a file; `every` has them all, and a hook needs its own only."""

from __future__ import annotations

GROUPS = {
    "interfaces": "the host's interfaces: configuration and live state",
    "vm": "guests and their NICs",
    "firewall": "the firewall of host and guests",
    "firewall rule": "rules of a file or a security group, by position",
    "firewall group": "security groups",
    "firewall ipset": "IP sets",
    "firewall alias": "names for addresses",
    "nat": "translated addresses",
    "token": "API tokens, for programs that come by the network",
    "hook": "for the hooks of other programs",
}
"""First words that several commands share; those with two stand below those with one."""
