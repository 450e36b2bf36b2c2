"""Rules that are loaded, what they have counted, and what the files say otherwise."""

from __future__ import annotations

from pvenetd.api.route import OfNode, Routes, Vmid
from pvenetd.daemon import rule_changes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.leases import LeaseRecord
from pvenetd.daemon.rule_changes import RuleChange
from pvenetd.daemon.rules import RuleRecord

routes = Routes()


class OfGuest(OfNode):
    """Whose rules."""

    vmid: Vmid | None = None
    """One guest's alone."""


@routes.get("/nodes/{node}/pvenetd/firewall/rules")
async def rules(daemon: Daemon, params: OfGuest) -> list[RuleRecord]:
    """Return every rule that is loaded, with its FILE:LINE and the packets and bytes it has counted."""
    return await daemon.rules.records(params.vmid)


@routes.get("/nodes/{node}/pvenetd/firewall/leases")
async def leases(daemon: Daemon, params: OfGuest) -> list[LeaseRecord]:
    """Return the addresses that DHCP servers have leased to guests' NICs, from which server and until when.

    They are those of guests with ``ipfilter_learn: 1``.
    """
    return daemon.leases.records(params.vmid)


@routes.get("/nodes/{node}/pvenetd/firewall/diff")
async def difference(daemon: Daemon, params: OfNode) -> list[RuleChange]:
    """Return what the files say otherwise than what is loaded, in rules and options; comments are nothing."""
    del params
    broken = {one.path for one in await daemon.firewall.problems() if one.severity == "error"}
    return [*rule_changes.records(daemon.store, daemon.firewall.files, broken)]
