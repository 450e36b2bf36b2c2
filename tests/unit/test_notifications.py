"""What it takes to follow a change in the kernel: it depends on what has changed, not on how many guests there are.

Who asks for all of them waits, and nobody else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest

from pvenetd.commands import OWNER
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.slices import SLICE, in_slices
from pvenetd.daemon.store import ACTIVE, Store
from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.veth import Veth
from pvenetd.plan import Op
from pvenetd.resource import Key
from pvenetd.settings import Settings
from pvenetd.state import Address, State

TEXT = "auto eno1\niface eno1 inet manual\n\nauto vmbr0\niface vmbr0 inet manual\n\tbridge-ports eno1\n"
LAST = 999


class Counting(Fake):
    """A kernel that counts what it tells."""

    def __init__(self) -> None:
        super().__init__([Ethernet.model_construct(name="eno1", kind="ethernet", up=False)])
        self.told: list[int] = []
        """How much each answer had."""
        self.wholes = 0
        """How often somebody has asked for all there is."""

    def observe(self, keys: Collection[Key] = (), *, only: bool = False, anew: Collection[Key] = ()) -> State:
        found = super().observe(keys, only=only, anew=anew)
        self.told.append(len(found))
        self.wholes += not only
        return found


async def told(root: Path, guests: int, what: str) -> tuple[list[int], int]:
    """Return what the kernel told while *what* was followed, one guest among *guests* being concerned."""
    files, machine = Files(root / str(guests)), Counting()
    files.write(OWNER, b"")
    files.write(ACTIVE, TEXT.encode())
    files.write("etc/pvenetd/firewall/cluster.fw", b"[OPTIONS]\nenable: 1\n")
    for number, vmid in enumerate([*range(100, 99 + guests), LAST]):
        nic = f"net0: virtio=02:00:5E:00:53:{number:02X},bridge=vmbr0,firewall=1,tag=5\n"
        files.write(f"etc/pvenetd/qemu-server/{vmid}.conf", nic.encode())
        files.write(f"etc/pvenetd/firewall/{vmid}.fw", b"[OPTIONS]\nenable: 1\n")
        machine.appear(Tap(name=f"tap{vmid}i0", up=False, made_here=False))
    with closing(Engine(machine, Journal(files))) as engine:
        daemon = Daemon(Store(files), engine, Journal(files), Settings(), "ct")
        try:
            await daemon.start()
            for _ in range(3):
                await daemon.noticed()
            machine.told, machine.wholes = [], 0
            await _happen(daemon, machine, what)
            await daemon.noticed()
            assert machine.told, "somebody has looked"
            return machine.told, machine.wholes
        finally:
            daemon.close()


async def _happen(daemon: Daemon, machine: Counting, what: str) -> None:
    match what:
        case "a guest's port is taken from its bridge":
            machine.meddle(f"tap{LAST}i0", master="")
        case "a guest's device goes":
            machine.vanish(f"tap{LAST}i0")
        case "a guest's device comes":
            machine.vanish(f"tap{LAST}i0")
            await daemon.noticed()
            machine.appear(Tap(name=f"tap{LAST}i0", up=False, made_here=False))
        case "a guest is plugged":
            await daemon.guests.unplug(LAST)
            await daemon.guests.plug(LAST)
        case "a container of others comes":
            machine.appear(Bridge(name="docker0"))
            machine.appear(Veth(name="veth1a2b3c4", peer="eth9", master="docker0"))


@pytest.mark.parametrize(
    "what",
    [
        "a guest's port is taken from its bridge",
        "a guest's device goes",
        "a guest's device comes",
        "a guest is plugged",
        "a container of others comes",
    ],
)
async def test_what_is_looked_at_does_not_grow_with_the_guests(tmp_path: Path, what: str) -> None:
    few, many = await told(tmp_path, 3, what), await told(tmp_path, 30, what)
    assert few == many
    assert few[1] == 0, "nobody asks for all there is"


async def test_an_address_of_the_hosts_that_changes_is_followed(tmp_path: Path) -> None:
    files, machine = Files(tmp_path), Counting()
    files.write(ACTIVE, TEXT.encode())
    files.write("etc/pvenetd/firewall/cluster.fw", b"[OPTIONS]\nenable: 1\n")
    with closing(Engine(machine, Journal(files))) as engine:
        daemon = Daemon(Store(files), engine, Journal(files), Settings(), "ct")
        await daemon.start()
        for network in ("192.0.2", "198.51.100"):
            for there in [one for one in machine.observe().values() if isinstance(one, Address) and one.dev == "eno1"]:
                machine.apply(Op("-", there))
            machine.apply(Op("+", Address(dev="eno1", address=f"{network}.1/24")))
            await daemon.noticed()
            chains = machine.observe()["chains", "host"]
            assert f"{network}.0/24" in getattr(chains, "text", "")
        daemon.close()


async def test_others_have_their_turn_between_the_guests() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async for _ in in_slices(range(5)):
        time.sleep(SLICE)  # noqa: ASYNC251 - work that takes so long
    task.cancel()
    assert turns == 5
