"""Edits of the interfaces by ``nodes/{node}/network``, as Proxmox VE has them: staged until they are applied."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from pvenetd.api.network import OneInterface
from pvenetd.api.route import OfNode, Routes, words
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.edits import Difference, creation, deletion, setting
from pvenetd.edits.wish import Wish

routes = Routes()

Digest = Annotated[str, Field(max_length=64)] | None


class Edit(OfNode):
    """An interface and what it is to have: Proxmox VE's keys, and any option by its own name."""

    model_config = ConfigDict(extra="allow", frozen=True)
    judges: ClassVar[bool] = True

    iface: str
    type: str | None = None
    delete: str | tuple[str, ...] = ()
    """Keys whose option goes: a list, or parted by commas."""
    digest: Digest = None
    """The ``digest`` of what was read: other files since then refuse the edit."""

    @classmethod
    def undeclared(cls) -> dict[str, Any]:
        """Return what an interface may be given."""
        from pvenetd.api.keys import properties

        return {"properties": properties()}

    def wish(self) -> Wish:
        """Return what is asked for, and what is wrong with it already."""
        given = self.model_extra or {}
        wrong = {key: "should be text, a number, or a list of these" for key, value in given.items() if _odd(value)}
        values = {key: tuple(map(_text, one)) if isinstance(one, list) else _text(one) for key, one in given.items()}
        return Wish(self.iface, values, frozenset(words(self.delete)), self.type, wrong)


def _odd(value: object) -> bool:
    return not all(isinstance(one, str | int | float) for one in (value if isinstance(value, list) else [value]))


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


@routes.post("/nodes/{node}/network")
async def create(daemon: Daemon, params: Edit) -> None:
    """Stage a new interface."""
    await daemon.interfaces.edit(creation(params.wish()), params.digest)


@routes.put("/nodes/{node}/network/{iface}")
async def update(daemon: Daemon, params: Edit) -> None:
    """Stage a change of an interface: only what is sent changes."""
    await daemon.interfaces.edit(setting(params.wish()), params.digest)


class Deletion(OneInterface):
    """Which interface goes."""

    digest: Digest = None
    """The ``digest`` of what was read: other files since then refuse the edit."""


@routes.delete("/nodes/{node}/network/{iface}")
async def delete(daemon: Daemon, params: Deletion) -> None:
    """Stage that an interface goes; one that others stand on is refused."""
    await daemon.interfaces.edit(deletion(params.iface), params.digest)


@routes.delete("/nodes/{node}/network")
async def revert(daemon: Daemon, params: OfNode) -> None:
    """Drop what is staged."""
    del params
    await daemon.interfaces.revert()


@routes.get("/nodes/{node}/pvenetd/diff")
async def diff(daemon: Daemon, params: OfNode) -> Difference:
    """Return what is staged against what is active: as a unified diff, and by interface and option."""
    del params
    return daemon.interfaces.difference()
