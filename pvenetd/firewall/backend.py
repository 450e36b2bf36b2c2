"""What a ruleset is loaded as: nft text, or what iptables and ipset are to have and nft text for what is below IP.

A piece is one resource in either backend.  With iptables its text is that of a `Part`, a line `_BELOW`, and nft's.

Sources: nft(8), iptables-restore(8), ipset(8).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache

from pvenetd.firewall import iptables, iptables_base, layer2, nft
from pvenetd.firewall.apart import fenced, fenced_base
from pvenetd.firewall.iptables_commit import commit, read
from pvenetd.firewall.iptables_parts import Part, parse_part
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.ruleset import Piece, Ruleset
from pvenetd.resource import Resource
from pvenetd.state import Chains, Sysctl

_BELOW = "# nft\n"


@cache
def base(design: Design) -> Chains:
    """Return what everything else stands on."""
    if design != "iptables":
        return nft.base(design)
    return joined(iptables_base.base_part(), fenced_base(layer2.layer2_base()))


def chains(piece: Piece, design: Design) -> Chains:
    """Return one piece; a guest's belongs to the guest."""
    if design != "iptables":
        return nft.chains(piece, design)
    below = layer2.layer2_chains(piece)
    return joined(iptables.part(piece), fenced(piece, below) if below else None)


def sysctls(design: Design) -> list[Sysctl]:
    """Return what makes the kernel show bridged packets to who is to filter them."""
    return nft.sysctls(design)


def pieces(ruleset: Ruleset, design: Design) -> list[Resource]:
    """Return what is to be loaded: the sysctls that the design needs, the base, every piece; nothing without any."""
    if design != "iptables":
        return nft.pieces(ruleset, design)
    if not ruleset.pieces:
        return []
    guests = any(piece.ports and piece.chains for piece in ruleset.pieces)
    found = (chains(one, design) for one in ruleset.pieces)
    return [*(sysctls(design) if guests else ()), base(design), *found]


def joined(part: Part, below: Chains | None) -> Chains:
    """Return *part*, of iptables, and what is *below* it in nft as one resource."""
    digest = hashlib.sha256(f"{part.digest} {below.digest if below else ''}".encode()).hexdigest()
    owner = part.name if part.name.startswith("vm:") else nft.FIREWALL
    return Chains(
        name=part.name,
        digest=digest,
        text=part.text + (_BELOW + below.text if below else ""),
        owner=below.owner if below else owner,
    )


def split(one: Chains) -> tuple[Part | None, Chains | None]:
    """Return what iptables is to have of a piece, and what nft, as `joined` has put them together."""
    if not one.text.startswith("# "):
        return None, one
    above, _, below = one.text.partition(_BELOW)
    return parse_part(above), one.model_copy(update={"text": below}) if below else None


def is_filtered(port: str, text: str) -> bool:
    """Return whether, by the *text* of a piece, what goes to and comes from *port* is led to chains of its own."""
    above, _, below = text.partition(_BELOW)
    return nft.is_filtered(port, below or above) or bool(re.search(rf" -[jg] {re.escape(port)}-(?:IN|OUT)\b", above))


def is_of(one: Chains, design: Design) -> bool:
    """Return whether a guest's piece was made for the backend of *design*."""
    return (split(one)[0] is not None) == (design == "iptables")


def render(resources: Iterable[Resource], design: Design) -> dict[str, str]:
    """Return texts that load all of it, by the tool that takes each; nft's whatever of ours was loaded before.

    Of nftables that is one; of iptables ``ipset``, ``iptables``, ``ip6tables`` and ``nft``, in the order they are run.
    """
    found = sorted((one for one in resources if isinstance(one, Chains)), key=lambda one: len(one.needs))
    if design != "iptables":
        return {"nft": nft.render(found)}
    both = [split(one) for one in found]
    whole = commit(read("", "", ""), [part for part, _ in both if part])
    below = nft.render(one for _, one in both if one)
    return {"ipset": whole.sets, "iptables": whole.v4, "ip6tables": whole.v6, "nft": below}
