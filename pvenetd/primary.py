"""Which IPv4 address of a network comes first on a link: the kernel's source address there, and the order of adding.

Put back after a deletion, an address is its network's last; so what had come after it has to follow once more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_interface

from pvenetd.plan import Op
from pvenetd.resource import Key
from pvenetd.state import Address, State

Order = Mapping[str, list[str]]
"""Link → its IPv4 addresses as the kernel has them."""


def order(touched: Collection[Key], before: State) -> dict[str, list[str]]:
    """Return the order on each link of which an address is *touched*, as it is *before*."""
    links = {key[1] for key in touched if key[0] == "address" and ":" not in key[2]}
    return {link: found for link in sorted(links) if (found := _addresses(link, before))}


def reordered(wanted: Order, now: State) -> tuple[Op, ...]:
    """Return what brings the addresses that are there *now* into the order that is *wanted*.

    A network's first stays meanwhile, so no route goes: the kernel makes it the first when the others have gone.
    """
    ops: list[Op] = []
    for link, texts in wanted.items():
        there = _addresses(link, now)
        for network in dict.fromkeys(ip_interface(text).network for text in texts):
            first, *others = [text for text in texts if text in there and ip_interface(text).network == network] or [""]
            if [text for text in there if text in (first, *others)] != [first, *others]:
                for text in others:
                    address = now["address", link, text]
                    ops += [Op("-", address), Op("+", address)]
    return tuple(ops)


def _addresses(link: str, state: State) -> list[str]:
    return [
        one.address for one in state.values() if isinstance(one, Address) and one.dev == link and ":" not in one.address
    ]
