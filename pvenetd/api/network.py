"""``nodes/{node}/network`` as Proxmox VE has it; plan, apply, confirm and rollback beside it."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any, Literal

from pydantic import Field

from pvenetd.api.route import Beside, Iface, OfNode, Routes, nodes
from pvenetd.daemon.applies import shown
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.interfaces import problem_record

routes = Routes()

_ANY = {
    "any_bridge": ("bridge", "OVSBridge", "vnet"),
    "any_local_bridge": ("bridge", "OVSBridge"),
}
_BEYOND = ("live", "origin")
"""Keys that Proxmox VE's records don't have."""


class NetworkList(OfNode):
    """Which interfaces."""

    type: (
        Literal[
            "bridge", "bond", "eth", "alias", "vlan", "vxlan", "fabric", "vnet", "unknown",
            "OVSBridge", "OVSBond", "OVSPort", "OVSIntPort", "any_bridge", "any_local_bridge", "include_sdn",
        ]
        | None
    ) = None  # fmt: skip


@routes.get("/nodes/{node}/network")
async def network(daemon: Daemon, params: NetworkList) -> Any:
    """Return every interface but lo; while an edit is staged its difference stands beside, as ``changes``."""
    records = [_proxmox(record) for record in await daemon.interfaces.records() if record["iface"] != "lo"]
    if params.type and params.type != "include_sdn":
        wanted = _ANY.get(params.type, (params.type,))
        records = [record for record in records if record["type"] in wanted]
    changes = daemon.store.changes()
    return Beside(records, {"changes": changes}) if changes else records


class OneInterface(OfNode):
    """An interface by its name."""

    iface: Iface


@routes.get("/nodes/{node}/network/{iface}")
async def one(daemon: Daemon, params: OneInterface) -> dict[str, Any]:
    """Return one interface."""
    return _proxmox(await daemon.interfaces.show(params.iface))


class Reload(OfNode):
    """Proxmox VE's apply."""

    regenerate_frr: Annotated[bool, Field(alias="regenerate-frr")] = False
    """Taken for the sake of Proxmox VE's clients: there is no FRR here."""


@routes.put("/nodes/{node}/network")
async def reload(daemon: Daemon, params: Reload) -> str:
    """Apply what is staged; return a task's UPID when it is done."""
    del params
    began = time.time()
    await daemon.interfaces.apply()
    return f"UPID:{nodes()[0]}:{os.getpid():08X}:{0:08X}:{int(began):08X}:srvreload:networking:root@pam:"


@routes.get("/nodes/{node}/pvenetd/interfaces")
async def interfaces(daemon: Daemon, params: OfNode) -> list[dict[str, Any]]:
    """Return every interface as configured, its live state and its line beside."""
    del params
    return await daemon.interfaces.records()


@routes.get("/nodes/{node}/pvenetd/interfaces/{iface}")
async def interface(daemon: Daemon, params: OneInterface) -> dict[str, Any]:
    """Return one interface as configured, its live state and its line beside."""
    return await daemon.interfaces.show(params.iface)


class Check(OfNode):
    """What to assume."""

    nics: str | None = None
    """Names of physical NICs, with commas, instead of the kernel's."""


@routes.get("/nodes/{node}/pvenetd/check")
async def check(daemon: Daemon, params: Check) -> dict[str, Any]:
    """Return all that is wrong with the configuration that would be applied."""
    nics = None if params.nics is None else [name for name in params.nics.split(",") if name]
    return {"problems": [problem_record(problem) for problem in await daemon.interfaces.check(nics=nics)]}


@routes.get("/nodes/{node}/pvenetd/plan")
async def plan(daemon: Daemon, params: OfNode) -> list[dict[str, str]]:
    """Return the operations that an apply would run, in order, each with its line of configuration."""
    del params
    return [shown(op) for op in await daemon.interfaces.plan()]


class Apply(OfNode):
    """How to apply."""

    confirm: Annotated[int, Field(ge=1, le=86400)] | None = None
    """Seconds within which it has to be confirmed, or is rolled back."""
    dry_run: bool = False
    """Only tell what would be done."""


@routes.post("/nodes/{node}/pvenetd/apply")
async def apply(daemon: Daemon, params: Apply) -> dict[str, Any]:
    """Make what is staged active and bring the kernel to it; return the operations done and how it ended."""
    if params.dry_run:
        return {"ops": [shown(op) for op in await daemon.interfaces.plan()], "outcome": "nothing was changed"}
    ops = [shown(op) for op in await daemon.interfaces.apply(params.confirm)]
    if params.confirm:
        return {"ops": ops, "outcome": f"rolled back in {params.confirm} s unless confirmed"}
    return {"ops": ops, "outcome": "applied" if ops else "in sync"}


@routes.post("/nodes/{node}/pvenetd/confirm")
async def confirm(daemon: Daemon, params: OfNode) -> dict[str, Any]:
    """Keep what was applied."""
    del params
    await daemon.interfaces.confirm()
    return {"outcome": "confirmed"}


@routes.post("/nodes/{node}/pvenetd/rollback")
async def rollback(daemon: Daemon, params: OfNode) -> dict[str, Any]:
    """Undo what waits to be confirmed, or return to the configuration before the last apply."""
    del params
    await daemon.interfaces.roll_back()
    return {"outcome": "rolled back"}


def _proxmox(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _BEYOND}
