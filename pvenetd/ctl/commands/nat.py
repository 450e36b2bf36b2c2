"""Translated addresses."""

from __future__ import annotations

from pvenetd.ctl import show_nat
from pvenetd.ctl.command import Command, get

COMMANDS = (
    Command(
        ("nat", "list"),
        "list masquerade, forwards and one-to-one addresses, with their lines and counters",
        get("nat"),
        show_nat.show,
        offline=True,
        live=True,
    ),
)
