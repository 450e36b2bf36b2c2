"""Changes of guests' NICs: by Proxmox VE's paths, and with what was done by our own."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from pvenetd.api.guests import Done, OfGuest
from pvenetd.api.route import NET_N, Caller, Routes, nodes, words
from pvenetd.daemon.applies import shown
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import EditError
from pvenetd.plan import Op

routes = Routes()


class Edit(OfGuest):
    """A guest, and the netN strings it is to have."""

    model_config = ConfigDict(extra="allow", frozen=True)
    judges: ClassVar[bool] = True

    delete: str | tuple[str, ...] = ()
    """NICs that go: a list, or parted by commas."""
    digest: Annotated[str, Field(max_length=64)] | None = None
    """The ``digest`` of what was read: a definition that has changed since then refuses the edit."""

    @classmethod
    def undeclared(cls) -> dict[str, Any]:
        """Return what a guest may be given."""
        text = "A NIC in Proxmox VE's words: virtio=02:00:5E:00:53:01,bridge=vmbr0,tag=5,firewall=1"
        return {"patternProperties": {NET_N: {"type": "string", "description": text}}}

    async def run(self, daemon: Daemon) -> tuple[Op, ...]:
        """Do it.  Raises as `GuestEdits.edit` does."""
        given = self.model_extra or {}
        if odd := {key: "should be text" for key, value in given.items() if not isinstance(value, str)}:
            raise EditError(odd)
        return await daemon.guest_edits.edit(self.vmid, given, words(self.delete), self.digest)


@routes.put("/nodes/{node}/qemu/{vmid}/config")
async def configure(daemon: Daemon, params: Edit) -> None:
    """Change a VM's NICs, live if it runs; refused, or failed, everything stays as it was."""
    await params.run(daemon)


@routes.post("/nodes/{node}/qemu/{vmid}/config")
async def configure_by_task(daemon: Daemon, params: Edit, caller: Caller) -> str:
    """Change a VM's NICs as PUT does; return a task's UPID when it is done."""
    async with daemon.tasks.run("qmconfig", str(params.vmid), caller.name) as task:
        await params.run(daemon)
    return task.upid(nodes()[0])


@routes.put("/nodes/{node}/lxc/{vmid}/config")
async def configure_container(daemon: Daemon, params: Edit) -> None:
    """Change a container's NICs, live if it runs."""
    await params.run(daemon)


@routes.put("/nodes/{node}/pvenetd/vms/{vmid}")
async def change(daemon: Daemon, params: Edit) -> Done:
    """Change a guest's NICs; return what was done to those that are plugged."""
    return {"ops": [shown(op) for op in await params.run(daemon)]}
