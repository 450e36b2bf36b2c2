"""What an interface's options can be about: thousands name the same ones, so that it is found out once for all."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from pvenetd import sysctls
from pvenetd.interfaces.edit import COMMANDS
from pvenetd.kinds.ethtool import OPTIONS as CARD_OPTIONS
from pvenetd.methods import APPLIED

_ADDRESSES = frozenset({"address", "gateway", "address-purge"})
_CLIENTS = frozenset({"dhcp", "dhcp6", "auto"})
"""Methods that may ask for a DHCP client."""


class Topics(NamedTuple):
    """What has to be looked for in stanzas; a topic that is not there has nothing, and nothing wrong either."""

    addresses: bool
    methods: bool
    card: bool
    settings: bool
    clients: bool
    dns: bool
    commands: bool
    ovs: bool


@lru_cache(maxsize=1 << 12)
def topics(options: tuple[str, ...], methods: tuple[tuple[str | None, str | None], ...]) -> Topics:
    """Return what stanzas with these *options* (with dashes), and of these families and *methods*, can be about."""
    there, used = frozenset(options), {method for _, method in methods}
    return Topics(
        addresses="static" in used or not _ADDRESSES.isdisjoint(there),
        methods=any(method not in APPLIED for _, method in methods),
        card=not there.isdisjoint(CARD_OPTIONS),
        settings="auto" in used or not there.isdisjoint(sysctls.OPTIONS),
        clients=not _CLIENTS.isdisjoint(used),
        dns=any(option.startswith("dns-") for option in there),
        commands=not there.isdisjoint(COMMANDS),
        ovs=any(option.startswith("ovs-") for option in there),
    )
