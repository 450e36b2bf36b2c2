"""``nodes/{node}/network`` as Proxmox VE has it; plan, apply, confirm and rollback beside it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal, NotRequired, cast

from pydantic import BeforeValidator, Field, WithJsonSchema
from typing_extensions import TypedDict

from pvenetd.api.route import Beside, Caller, Iface, OfNode, Routes, nodes
from pvenetd.daemon.applies import Asked, OpRecord, shown, shown_all
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.interfaces import ProblemRecord, problem_record
from pvenetd.daemon.nics import PinnedNic
from pvenetd.daemon.records import Interface, InterfaceRecord
from pvenetd.errors import NotFound
from pvenetd.management import Session
from pvenetd.names import is_ifname

routes = Routes()

_ANY = {
    "any_bridge": ("bridge", "OVSBridge", "vnet"),
    "any_local_bridge": ("bridge", "OVSBridge"),
}
_TASK = ("srvreload", "networking")
"""What Proxmox VE calls an apply, among its tasks."""
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


class Staged(TypedDict):
    """What stands beside the interfaces."""

    changes: NotRequired[str]
    """A unified diff of what is staged against what is active, while something is."""


@routes.get("/nodes/{node}/network", shared=True)
async def network(daemon: Daemon, params: NetworkList) -> Beside[list[Interface], Staged]:
    """Return every interface but lo; while an edit is staged its difference stands beside, as ``changes``."""
    records = [_proxmox(record) for record in await daemon.interfaces.records() if record["iface"] != "lo"]
    if params.type and params.type != "include_sdn":
        wanted = _ANY.get(params.type, (params.type,))
        records = [record for record in records if record["type"] in wanted]
    changes = daemon.store.changes()
    return Beside(records, {"changes": changes} if changes else {})


class OneInterface(OfNode):
    """An interface by its name."""

    iface: Iface


@routes.get("/nodes/{node}/network/{iface}")
async def one(daemon: Daemon, params: OneInterface) -> Interface:
    """Return one interface."""
    return _proxmox(await daemon.interfaces.show(params.iface))


class Reload(OfNode):
    """Proxmox VE's apply."""

    regenerate_frr: Annotated[bool, Field(alias="regenerate-frr")] = False
    """Taken for the sake of Proxmox VE's clients: there is no FRR here."""


@routes.put("/nodes/{node}/network")
async def reload(daemon: Daemon, params: Reload, caller: Caller) -> str:
    """Apply what is staged; return a task's UPID when it is done.

    Who asks by the network has to be reachable afterwards as before: else all is rolled back.
    """
    del params
    async with daemon.tasks.run(*_TASK, caller.name) as task:
        await daemon.interfaces.apply(Asked(session=caller.session, sure=True))
    return task.upid(nodes()[0])


@routes.get("/nodes/{node}/pvenetd/interfaces", shared=True)
async def interfaces(daemon: Daemon, params: OfNode) -> list[InterfaceRecord]:
    """Return every interface as configured, its live state and its line beside."""
    del params
    return await daemon.interfaces.records()


@routes.get("/nodes/{node}/pvenetd/interfaces/{iface}")
async def interface(daemon: Daemon, params: OneInterface) -> InterfaceRecord:
    """Return one interface as configured, its live state and its line beside."""
    return await daemon.interfaces.show(params.iface)


class Problems(TypedDict):
    """What is wrong."""

    problems: list[ProblemRecord]


class Check(OfNode):
    """What to assume."""

    nics: str | None = None
    """Names of physical NICs, with commas, instead of the kernel's."""


@routes.get("/nodes/{node}/pvenetd/check")
async def check(daemon: Daemon, params: Check) -> Problems:
    """Return all that is wrong with the configuration that would be applied."""
    nics = None if params.nics is None else [name for name in params.nics.split(",") if name]
    return {"problems": [problem_record(problem) for problem in await daemon.interfaces.check(nics=nics)]}


class Pin(OfNode):
    """Which NICs to give their names for good."""

    ifaces: str = ""
    """Names, with commas; all that are present without."""
    remove: bool = False
    """Take it back."""


@routes.post("/nodes/{node}/pvenetd/pin")
async def pin(daemon: Daemon, params: Pin) -> list[PinnedNic]:
    """Write, or remove, the .link files by which NICs keep their names at the next boot; return each."""
    names = [name for name in params.ifaces.split(",") if name]
    if wrong := [name for name in names if not is_ifname(name)]:
        raise NotFound(f"the kernel takes no name like '{wrong[0]}'")
    return daemon.interfaces.nics.pin(names, remove=params.remove)


@routes.get("/nodes/{node}/pvenetd/plan")
async def plan(daemon: Daemon, params: OfNode) -> list[OpRecord]:
    """Return the operations that an apply would run, in order, each with its line of configuration.

    Where guests lose their network meanwhile, it stands as ``outages`` with the operation it begins with.
    """
    del params
    return shown_all(await daemon.interfaces.forecast())


@routes.get("/nodes/{node}/pvenetd/drift")
async def drift(daemon: Daemon, params: OfNode) -> list[OpRecord]:
    """Return the operations that would bring back what differs from the active configuration though nobody edited it.

    What is staged, or edited in place and not applied, does not count.
    """
    del params
    return [shown(op) for op in await daemon.interfaces.drift()]


def _session(text: object) -> Session:
    peer, _, local, *_ = [*str(text).split(), "", "", ""]
    try:
        return Session(str(ip_address(peer)), str(ip_address(local)))
    except ValueError:
        raise ValueError("should be CLIENT CLIENT-PORT SERVER SERVER-PORT, as in SSH_CONNECTION") from None


class Apply(OfNode):
    """How to apply."""

    confirm: Annotated[int, Field(ge=1, le=86400)] | None = None
    """Seconds within which it has to be confirmed, or is rolled back."""
    dry_run: bool = False
    """Only tell what would be done."""
    replace: bool = False
    """Take the place of an apply that waits to be confirmed; undone, it leads back to before that one."""
    session: Annotated[Session, BeforeValidator(_session), WithJsonSchema({"type": "string"})] | None = None
    """The connection the caller comes by, as SSH_CONNECTION tells it: a plan that would cut it is refused (409).

    Without it, that of the request, where it comes by the network."""
    yes: bool = False
    """Run such a plan all the same."""
    no_probe: bool = False
    """Do not ask afterwards who answered before."""


class Ended(TypedDict):
    """How it ended, for people."""

    outcome: str


class ApplyRecord(Ended):
    """What was done, or would be."""

    ops: list[OpRecord]
    id: NotRequired[str]
    """What waits to be confirmed, where that was asked for."""


@routes.post("/nodes/{node}/pvenetd/apply")
async def apply(daemon: Daemon, params: Apply, caller: Caller) -> ApplyRecord:
    """Make what is staged active and bring the kernel to it; return the operations done and how it ended.

    With `confirm`, ``id`` names what waits.
    """
    if params.dry_run:
        return {"ops": shown_all(await daemon.interfaces.forecast()), "outcome": "nothing was changed"}
    if params.confirm is not None:
        daemon.trial.require_none()
    session = params.session or caller.session
    asked = Asked(params.confirm, session, sure=params.yes, replace=params.replace, probe=not params.no_probe)
    async with daemon.tasks.run(*_TASK, caller.name):
        done = await daemon.interfaces.apply(asked)
    ops, pending = shown_all(done), daemon.engine.pending
    if pending:
        return {"ops": ops, "outcome": f"rolled back in {params.confirm} s unless confirmed", "id": pending.id}
    return {"ops": ops, "outcome": "applied" if ops else "in sync"}


class Confirm(OfNode):
    """What to confirm."""

    id: Annotated[str, Field(pattern="^[0-9a-f]{8}$")] = ""
    """The apply that is meant; without it, whichever waits."""
    extend: Annotated[int, Field(ge=1, le=86400)] | None = None
    """Do not confirm it: let it wait so many seconds longer."""


class Confirmed(Ended):
    """What was confirmed, or waits longer."""

    id: str


@routes.post("/nodes/{node}/pvenetd/confirm")
async def confirm(daemon: Daemon, params: Confirm) -> Confirmed:
    """Keep what was applied, or let it wait longer; any session may, of whoever may write."""
    if daemon.trial.pending and not daemon.engine.pending:
        if params.extend is None:
            return {"outcome": "confirmed", "id": daemon.trial.confirm(params.id)}
        waits = daemon.trial.extend(params.extend, params.id)
        return {"outcome": f"rolled back in {waits.left():.0f} s unless confirmed", "id": waits.id}
    if params.extend is None:
        return {"outcome": "confirmed", "id": await daemon.interfaces.confirm(params.id)}
    pending = daemon.interfaces.extend(params.extend, params.id)
    return {"outcome": f"rolled back in {daemon.engine.left():.0f} s unless confirmed", "id": pending.id}


@routes.post("/nodes/{node}/pvenetd/rollback")
async def rollback(daemon: Daemon, params: OfNode) -> Ended:
    """Undo what waits to be confirmed, or return to the configuration before the last apply."""
    del params
    if daemon.trial.pending and not daemon.engine.pending:
        await daemon.trial.roll_back()
    else:
        await daemon.interfaces.roll_back()
    return {"outcome": "rolled back"}


def _proxmox(record: InterfaceRecord) -> Interface:
    return cast("Interface", {key: value for key, value in record.items() if key not in _BEYOND})
