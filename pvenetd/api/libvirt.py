"""libvirt's domains: its hook, and the wiring that is written into one."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from pvenetd.api.guests import Done
from pvenetd.api.route import OfNode, Routes, Vmid
from pvenetd.daemon.applies import shown
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.domains import Adopted

routes = Routes()

Name = Annotated[str, Field(min_length=1, max_length=255)]


class LibvirtHook(OfNode):
    """What libvirt tells its hook."""

    texts: ClassVar[frozenset[str]] = frozenset({"xml"})

    domain: Name
    operation: Annotated[str, Field(max_length=64)]
    """``prepare``, ``start``, ``started``, ``stopped``, ``release``, ``reconnect``, ``migrate``, ``restore``, …"""
    sub: Annotated[str, Field(max_length=64)] = ""
    xml: str


@routes.post("/nodes/{node}/pvenetd/hook/libvirt")
async def hook(daemon: Daemon, params: LibvirtHook) -> Done:
    """Follow a domain that starts, ends, or is found again; what is refused keeps it from starting."""
    ops = await daemon.domains.hook(params.operation, params.domain, params.xml)
    return {"ops": [shown(op) for op in ops]}


class Adoption(OfNode):
    """Which domain is to be wired to us."""

    domain: Name
    vmid: Vmid | None = None


@routes.post("/nodes/{node}/pvenetd/adopt")
async def adopt(daemon: Daemon, params: Adoption) -> Adopted:
    """Write the wiring we recommend into a domain's configuration; it is in effect when it starts next."""
    return await daemon.domains.adopt(params.domain, params.vmid)
