"""Which options there are: those of every stanza, those that are kept and not applied, those nobody has heard of.

Sources: interfaces(5), bridge-utils-interfaces(5), ifupdown2's ifupdown-addons-interfaces(5).
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from functools import cache

from pvenetd import addressing, methods, sysctls
from pvenetd.kinds import KINDS, port
from pvenetd.kinds.ethtool import OPTIONS as CARD_OPTIONS
from pvenetd.kinds.link import options
from pvenetd.nat.option import OPTIONS as NAT_OPTIONS

PHASES = ("pre-up", "up", "post-up", "pre-down", "down", "post-down")
PORT_OPTIONS = ("bridge-access", "bridge-allow-untagged", "bridge-vids", "bridge-pvid")
"""What a port's stanza says of its VLANs; a bridge's own says the last two for all its ports."""
ALWAYS_OPTION = "always-run-commands"
"""Runs the commands at every apply, as ifupdown2 does, not only when the interface comes up or their text changed."""
NOT_APPLIED = frozenset(
    """
    address-virtual address-virtual-ipv6-addrgen
    bitrate bond-active-slave bond-give-a-chance bond-lacp-bypass-allow bond-queue-id bootfile
    bridge-always-up bridge-gcint bridge-hashel bridge-igmp-querier-src bridge-mcqv4src bridge-port-pvids
    bridge-port-vids bridge-vlan-vni-map
    driver-message-level endpoint ethernet-port hwaddr local media mode
    provider requires server ttl unit uplink-id use vxlan-purge-remotes
    """.split()  # noqa: SIM905 - ninety quoted words are harder to read
)
"""Options of ifupdown and ifupdown2 that are kept and told of, and not applied by this version."""
NEEDLESS = frozenset({"bridge-maxwait", "bridge-ports-condone-regex", "bridge-waitport"})
"""What they ask for holds anyway: a late port is plugged when it comes, a port that is not ours stays."""
OTHERS = ("wpa-", "wireless-", "ovs-", "mstpctl-", "batman-", "offload-", "hardware-")


@cache
def known(of_its_kind: frozenset[str]) -> frozenset[str]:
    """Return the options of a kind with what every stanza may say."""
    everybodys = {*addressing.OPTIONS, *sysctls.OPTIONS, *methods.OPTIONS, *port.OPTIONS, *CARD_OPTIONS}
    ours = {*PHASES, *PORT_OPTIONS, *NEEDLESS, *NAT_OPTIONS, ALWAYS_OPTION, "bond-master", "link-type"}
    return of_its_kind | everybodys | ours


@cache
def every() -> frozenset[str]:
    """Return the options that mean something in some stanza."""
    return known(frozenset(option for kind in KINDS.values() for option in options(kind)))


def is_kept(option: str) -> bool:
    """Return whether *option* is one of ifupdown's or ifupdown2's that this version does not apply."""
    return option in NOT_APPLIED or option.startswith(OTHERS)


def near(option: str, good: Collection[str]) -> str:
    """Return the option that *option* may have been meant for, nothing where there is none like it."""
    return next(iter(get_close_matches(option, [*good, *NOT_APPLIED], 1, 0.75)), "")
