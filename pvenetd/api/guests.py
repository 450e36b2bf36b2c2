"""Guests: as Proxmox VE lists them; plugging and unplugging their NICs, by hand and by QEMU's hooks."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, cast

from pydantic import AfterValidator, with_config
from typing_extensions import TypedDict

from pvenetd.api.route import NetN, OfNode, Routes, Vmid, index_of
from pvenetd.daemon.applies import OpRecord, shown
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.guest_edits import digest
from pvenetd.daemon.guest_records import GuestRecord
from pvenetd.guests import lines
from pvenetd.names import parse_tap

routes = Routes()


class OfGuest(OfNode):
    """A request about one guest."""

    vmid: Vmid


class Listed(TypedDict):
    """A guest as Proxmox VE's lists have it."""

    vmid: int
    name: str
    status: Literal["running", "stopped"]


class Done(TypedDict):
    """What was done."""

    ops: list[OpRecord]


@with_config({"extra": "allow"})
class Configured(TypedDict):
    """A guest's configuration by Proxmox VE's keys: its NICs as ``net0`` to ``net31``."""

    name: NotRequired[str]
    """Of a VM."""
    hostname: NotRequired[str]
    """Of a container."""
    digest: NotRequired[str]
    """Of its definition: a change that names it is refused where that has changed since."""


class Vms(OfNode):
    """Which VMs, and what of them."""

    full: bool = False
    """Taken for the sake of Proxmox VE's clients: there is no more to tell."""


@routes.get("/nodes/{node}/qemu", shared=True)
async def qemu(daemon: Daemon, params: Vms) -> list[Listed]:
    """Return every VM; one with a NIC in the network is running."""
    del params
    records = await daemon.guests.records()
    return [listed(guest, "VM") for guest in records if not is_container(daemon, guest["vmid"])]


def is_container(daemon: Daemon, vmid: int) -> bool:
    """Return whether a guest is defined as a container."""
    guest = daemon.store.guest(vmid)
    return guest is not None and guest.source == "lxc"


def listed(guest: GuestRecord, what: str) -> Listed:
    """Return a guest's record as Proxmox VE's lists have it; *what* it is names one without a name."""
    return {
        "vmid": guest["vmid"],
        "name": guest["name"] or f"{what} {guest['vmid']}",
        "status": "running" if any(nic["plugged"] for nic in guest["nics"]) else "stopped",
    }


class OfConfiguration(OfGuest):
    """Which configuration of a guest."""

    current: bool = False
    """Taken for the sake of Proxmox VE's clients: nothing waits to be made so at the guest's next start."""


@routes.get("/nodes/{node}/qemu/{vmid}/config")
async def config(daemon: Daemon, params: OfConfiguration) -> Configured:
    """Return a guest's name and NICs as its configuration has them."""
    return await configured(daemon, params.vmid, "name")


async def configured(daemon: Daemon, vmid: int, name: str) -> Configured:
    """Return a guest's configuration by Proxmox VE's keys, *name* that of its name.  Raises `NotFound`."""
    guest = await daemon.guests.show(vmid)
    nics = {nic["nic"]: nic["config"] for nic in guest["nics"] if nic["config"]}
    named = {name: guest["name"]} if guest["name"] else {}
    defined = daemon.store.guest(vmid)
    if defined and defined.source != "libvirt":
        written = {f"net{index}": text for index, text in lines.values(defined.text).items()}
        nics = {nic: lines.with_trunks(text, written.get(nic, "")) for nic, text in nics.items()}
    return cast("Configured", {**named, **nics, **({"digest": digest(defined)} if defined else {})})


@routes.get("/nodes/{node}/qemu/{vmid}/status/current")
async def current(daemon: Daemon, params: OfGuest) -> Listed:
    """Return whether a VM runs: whether one of its NICs is in the network."""
    return listed(await daemon.guests.show(params.vmid), "VM")


@routes.get("/nodes/{node}/pvenetd/vms", shared=True)
async def vms(daemon: Daemon, params: OfNode) -> list[GuestRecord]:
    """Return every guest with its NICs."""
    del params
    return await daemon.guests.records()


@routes.get("/nodes/{node}/pvenetd/vms/{vmid}")
async def vm(daemon: Daemon, params: OfGuest) -> GuestRecord:
    """Return one guest with its NICs."""
    found = await daemon.guests.show(params.vmid)
    for nic in found["nics"]:
        nic["leases"] = [one for one in daemon.leases.records(params.vmid) if one["nic"] == nic["nic"]]
    return found


class OfNic(OfGuest):
    """A request about one NIC of a guest, or all of them."""

    nic: NetN | None = None


@routes.post("/nodes/{node}/pvenetd/vms/{vmid}/plug")
async def plug(daemon: Daemon, params: OfNic) -> Done:
    """Plug a NIC, or all: its chains first, then its tap into its bridge."""
    ops = await daemon.guests.plug(params.vmid, index_of(params.nic))
    return {"ops": [shown(op) for op in ops]}


@routes.post("/nodes/{node}/pvenetd/vms/{vmid}/unplug")
async def unplug(daemon: Daemon, params: OfNic) -> Done:
    """Unplug a NIC, or all."""
    return {"ops": [shown(op) for op in await daemon.guests.unplug(params.vmid, index_of(params.nic))]}


def _tap(name: str) -> str:
    if not parse_tap(name):
        raise ValueError("is no guest's tap: tap<vmid>i<n>")
    return name


class QemuHook(OfNode):
    """What QEMU tells its ifup and ifdown scripts."""

    phase: Literal["up", "down"]
    ifname: Annotated[str, AfterValidator(_tap)]


@routes.post("/nodes/{node}/pvenetd/hook/qemu")
async def hook(daemon: Daemon, params: QemuHook) -> Done:
    """Plug or unplug a tap that QEMU has made, or is about to take away."""
    vmid, index = parse_tap(params.ifname) or (0, 0)
    if params.phase == "up":
        ops = await daemon.guests.plug(vmid, index, made_here=False)
    else:
        ops = await daemon.guests.unplug(vmid, index)
    return {"ops": [shown(op) for op in ops]}


class PveHook(OfGuest):
    """What Proxmox VE tells a guest's hookscript."""

    phase: Literal["pre-start", "post-start", "pre-stop", "post-stop"]


@routes.post("/nodes/{node}/pvenetd/hook/pve")
async def follow(daemon: Daemon, params: PveHook) -> Done:
    """Load a guest's chains before it starts, if all of its NICs can be plugged; then follow what there is of it."""
    if params.phase == "pre-start":
        ops = await daemon.guests.prepare(params.vmid)
    else:
        ops = await daemon.guests.reconcile(params.vmid) if params.phase != "pre-stop" else ()
    return {"ops": [shown(op) for op in ops]}
