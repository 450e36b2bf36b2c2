"""Containers: as Proxmox VE lists them, what LXC is to be told of their NICs, and what LXC's hook tells."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator
from typing_extensions import TypedDict

from pvenetd.api.guests import Configured, Done, Listed, OfConfiguration, OfGuest, configured, is_container, listed
from pvenetd.api.route import OfNode, Routes
from pvenetd.daemon.applies import shown
from pvenetd.daemon.daemon import Daemon
from pvenetd.errors import NotFound
from pvenetd.guests.guest import Guest
from pvenetd.guests.lxc_conf import lxc_lines
from pvenetd.names import parse_veth

routes = Routes()


@routes.get("/nodes/{node}/lxc", shared=True)
async def lxc(daemon: Daemon, params: OfNode) -> list[Listed]:
    """Return every container; one with a NIC in the network is running."""
    del params
    records = await daemon.guests.records()
    return [listed(one, "CT") for one in records if is_container(daemon, one["vmid"])]


@routes.get("/nodes/{node}/lxc/{vmid}/config")
async def config(daemon: Daemon, params: OfConfiguration) -> Configured:
    """Return a container's name and NICs as its configuration has them."""
    _container(daemon, params.vmid)
    return await configured(daemon, params.vmid, "hostname")


@routes.get("/nodes/{node}/lxc/{vmid}/status/current")
async def current(daemon: Daemon, params: OfGuest) -> Listed:
    """Return whether a container runs: whether one of its NICs is in the network."""
    _container(daemon, params.vmid)
    return listed(await daemon.guests.show(params.vmid), "CT")


class Text(TypedDict):
    """Lines of a file."""

    text: str


@routes.get("/nodes/{node}/pvenetd/vms/{vmid}/lxc-config")
async def lxc_config(daemon: Daemon, params: OfGuest) -> Text:
    """Return the lines of lxc.container.conf(5) by which LXC makes a container's NICs and has them plugged."""
    return {"text": lxc_lines(_container(daemon, params.vmid))}


def _container(daemon: Daemon, ctid: int) -> Guest:
    guest = daemon.store.guest(ctid)
    if guest is None or guest.source != "lxc":
        raise NotFound(f"no container {ctid}: there is no /etc/pvenetd/lxc/{ctid}.conf")
    return guest


def _veth(name: str) -> str:
    if not parse_veth(name):
        raise ValueError(f"'{name}' is no container's port: lxc.net.0.veth.pair = veth<ctid>i0")
    return name


class LxcHook(OfNode):
    """What LXC tells its ``script.up`` and ``script.down``."""

    container: str = ""
    """LXC's name of the container."""
    phase: Literal["up", "down"]
    ifname: Annotated[str, AfterValidator(_veth)]
    """The host's end of the pair."""


@routes.post("/nodes/{node}/pvenetd/hook/lxc")
async def hook(daemon: Daemon, params: LxcHook) -> Done:
    """Plug the host's end of a pair that LXC has made, or let go of it before LXC takes it away."""
    ctid, index = parse_veth(params.ifname) or (0, 0)
    if params.phase == "up":
        ops = await daemon.guests.plug(ctid, index, made_here=False)
    else:
        ops = await daemon.guests.unplug(ctid, index)
    return {"ops": [shown(op) for op in ops]}
