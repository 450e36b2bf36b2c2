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
MODULES = {
    "apply": ("apply",),
    "capture": ("capture",),
    "confirm": ("apply",),
    "events": ("log",),
    "fdb": ("host",),
    "firewall": ("firewall", "rules", "log", "trace"),
    "hook": ("hook",),
    "ifdown": ("ifupdown",),
    "ifquery": ("ifupdown",),
    "ifreload": ("ifupdown",),
    "ifup": ("ifupdown",),
    "interfaces": ("interfaces",),
    "nat": ("nat",),
    "plan": ("apply",),
    "ports": ("host",),
    "reconcile": ("host",),
    "rollback": ("apply",),
    "status": ("host",),
    "token": ("token",),
    "topology": ("host",),
    "vm": ("guests",),
}
"""The modules that have the commands with a first word, in the order they are documented: others are not imported."""
