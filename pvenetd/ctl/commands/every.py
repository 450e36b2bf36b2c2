"""Every command, a noun a file, in the order they are documented."""

from __future__ import annotations

from pvenetd.ctl.command import Command
from pvenetd.ctl.commands import (
    apply,
    capture,
    firewall,
    guests,
    hook,
    host,
    ifupdown,
    interfaces,
    log,
    nat,
    rules,
    token,
    trace,
)

COMMANDS: tuple[Command, ...] = (
    *host.COMMANDS,
    *apply.COMMANDS,
    *interfaces.COMMANDS,
    *ifupdown.COMMANDS,
    *guests.COMMANDS,
    *firewall.COMMANDS,
    *rules.COMMANDS,
    *nat.COMMANDS,
    *log.COMMANDS,
    *trace.COMMANDS,
    *capture.COMMANDS,
    *token.COMMANDS,
    *hook.COMMANDS,
)
