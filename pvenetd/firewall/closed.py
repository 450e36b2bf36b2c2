"""Chains that let nothing pass: of a guest whose file is broken, and never was right."""

from __future__ import annotations

from pvenetd.firewall.compile import Guest
from pvenetd.firewall.ruleset import Chain, Piece, Port, Rule

_ORIGIN = "broken rules"
"""Of no rule that anybody wrote: those have a file and a line."""


def closed(guest: Guest) -> Piece:
    """Return chains that drop all that is sent to and by the NICs of *guest* that are to be filtered."""
    name, drop = f"vm-{guest.vmid}", (Rule("drop", origin=_ORIGIN),)
    ports = (Port(nic.port, *((f"{name}-in", f"{name}-out") if nic.firewall else ())) for nic in guest.nics.values())
    chains = (Chain("bridge", f"{name}-in", drop), Chain("bridge", f"{name}-out", drop))
    return Piece(f"vm:{guest.vmid}", chains, tuple(ports))


def is_broken(piece: Piece) -> bool:
    """Return whether *piece* is such chains."""
    return any(rule.origin == _ORIGIN for chain in piece.chains for rule in chain.rules)


def is_closed(text: str) -> bool:
    """Return whether *text*, of a guest's piece, is that of such chains: it has never had others."""
    return f'comment "{_ORIGIN}"' in text
