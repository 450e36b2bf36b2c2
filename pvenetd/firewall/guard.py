"""Ports that nobody has announced: on a guarded bridge they get nothing, and nothing of theirs gets on.

A guest's device may be in a bridge before anybody has told of the guest: libvirt puts a hotplugged
one there by itself.  So whatever is called as guests' devices are, and is in none of the maps that
lead to guests' chains, is stopped in both directions, whatever the frame is.  A name that can be no
guest's is let through once the daemon has seen it; a guest's only by its own piece.

Sources: net/netfilter/nft_meta.c, net/bridge/netfilter/nft_meta_bridge.c; Proxmox VE's and libvirt's
names of devices.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from pvenetd.firewall.iptables_base import BRIDGES
from pvenetd.firewall.nft import GUARD, sealed
from pvenetd.firewall.nft_words import is_quotable
from pvenetd.names import IFNAMSIZ, parse_tap, parse_veth
from pvenetd.state import Chains

_PREFIXES = ("tap", "veth", "vnet")
"""How devices of guests are called: QEMU's and libvirt's taps, containers' pairs.  Others who are called so are
stopped, too, until they are known: telling them apart (``tap1*``, ``tap2*``, …) would cost every packet more."""


def is_lookalike(name: str) -> bool:
    """Return whether a device is called as guests' are, so that the guard stops it unless it is known."""
    return name.startswith(_PREFIXES)


def may_be_a_guests(name: str) -> bool:
    """Return whether a guest may come that has a device of this name: nobody else is let through by it.

    Who answers ``vnet3`` only libvirt can tell.
    """
    return parse_tap(name) is not None or parse_veth(name) is not None or name.startswith("vnet")


def is_guarded(bridge: str, bridges: Collection[str]) -> bool:
    """Return whether *bridge* is one of *bridges*, or one for a VLAN of theirs."""
    return bridge in bridges or any(bridge.startswith(f"{name}v") for name in bridges)


def guard(
    bridges: Collection[str], known: Collection[str], *, tells_bridge: bool, behind: bool = False
) -> Chains | None:
    """Return the chains that stop ports nobody has announced, None where there is no bridge to guard.

    *bridges* are those of the interfaces configuration; a bridge for one VLAN (``vmbr0v20``) belongs
    to the one it is named after.  *known* are devices that are no guest's.  Where the kernel cannot tell which
    bridge a frame is in (*tells_bridge*), or nft's language cannot spell one, all are guarded.  With *behind*, those
    that filtered ports have for themselves (`firewall.iptables`) are guarded too.
    """
    if not bridges:
        return None
    tells_bridge = tells_bridge and all(map(is_quotable, bridges))
    known = sorted(filter(is_quotable, known))
    own = [f"{BRIDGES}*"] if behind else []
    bridges = [*(one for one in _with_vlans(bridges) if not (own and one.startswith(BRIDGES))), *own]
    text = "".join(
        f"table bridge pvenetd {{\n\tchain guard-{way} {{\n"
        + "".join(f"\t\t{rule}\n" for rule in _rules(letter, bridges, known, tells_bridge=tells_bridge))
        + "\t}\n}\n"
        for way, letter in (("in", "o"), ("out", "i"))
    )
    return sealed(GUARD, text, owner=GUARD)


def _rules(letter: str, bridges: Collection[str], known: Collection[str], *, tells_bridge: bool) -> Iterator[str]:
    # Not as a set: three comparisons cost a packet from the uplink, as most are, half of a look-up among ranges.
    yield " ".join(f'{letter}ifname != "{prefix}*"' for prefix in _PREFIXES) + " accept"
    if known:
        yield f"{letter}ifname {_set(known)} accept"
    if tells_bridge:
        yield f"meta {letter}brname != {_set(bridges)} accept"
    yield 'counter drop comment "nobody announced it"'


def _with_vlans(bridges: Collection[str]) -> Iterator[str]:
    """Yield the bridges, and a wildcard for those of their VLANs; none that another one covers."""
    wildcards = [f"{name}v" for name in sorted(bridges) if len(name) + 2 < IFNAMSIZ]
    wildcards = [one for one in wildcards if not any(one != other and one.startswith(other) for other in wildcards)]
    yield from (name for name in sorted(bridges) if not name.startswith(tuple(wildcards)))
    yield from (f"{one}*" for one in wildcards)


def _set(names: Iterable[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return f"{{ {', '.join(quoted)} }}"
