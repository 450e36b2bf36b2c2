"""What an apply refuses, and where edits end up: the daemon's interfaces on the fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pvenetd.daemon.applies import Asked
from pvenetd.daemon.interfaces import Interfaces
from pvenetd.daemon.store import ACTIVE, STAGED, Store
from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import Engine
from pvenetd.errors import Conflict
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from pvenetd.state import state

OLD = b"auto vmbr0\niface vmbr0 inet static\n\taddress 192.0.2.1/24\n\tbridge-ports eth0\n"
NEW = OLD.replace(b"192.0.2.1", b"192.0.2.2")


class Host:
    def __init__(self, root: Path) -> None:
        self.files = Files(root)
        self.files.write(ACTIVE, OLD)
        self.machine = Fake([Ethernet.model_construct(name="eth0", kind="ethernet")])
        self.journal = Journal(self.files)
        self.engine = Engine(self.machine, self.journal)
        self.interfaces = Interfaces(Store(self.files), self.engine, self.journal, "ct")

    def addresses(self) -> list[str]:
        return [key[2] for key in self.machine.observe() if key[:2] == ("address", "vmbr0")]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    found = Host(tmp_path)
    await found.interfaces.apply()
    yield found
    found.engine.close()


async def test_a_staged_edit_becomes_active_and_rollback_returns_to_what_was(host: Host) -> None:
    host.files.write(STAGED, NEW)
    await host.interfaces.apply()
    assert (host.files.read(ACTIVE), host.files.read(STAGED), host.addresses()) == (NEW, None, ["192.0.2.2/24"])
    await host.interfaces.roll_back()
    assert (host.files.read(ACTIVE), host.addresses()) == (OLD, ["192.0.2.1/24"])


async def test_an_edit_in_place_that_is_not_confirmed_waits_in_the_staged_file(host: Host) -> None:
    host.files.write(ACTIVE, NEW)
    await host.interfaces.apply(Asked(confirm=60.0))
    assert host.addresses() == ["192.0.2.2/24"]
    await host.interfaces.roll_back()
    assert (host.files.read(ACTIVE), host.files.read(STAGED), host.addresses()) == (OLD, NEW, ["192.0.2.1/24"])


async def test_a_second_apply_is_refused_while_one_waits(host: Host) -> None:
    host.files.write(STAGED, NEW)
    await host.interfaces.apply(Asked(confirm=60.0))
    with pytest.raises(Conflict, match="pvenetctl confirm"):
        await host.interfaces.apply()
    await host.interfaces.confirm()
    assert (await host.interfaces.apply()).ops == ()


async def test_a_bridge_that_guests_are_on_is_not_deleted(host: Host) -> None:
    tap = Tap(name="tap100i0", owner="vm:100", master="vmbr0", group=100)
    await host.engine.desire("vm:100", state([tap]))
    host.files.write(STAGED, b"auto lo\niface lo inet loopback\n")
    with pytest.raises(Conflict, match="tap100i0 is plugged into vmbr0, which would be deleted"):
        await host.interfaces.apply()
    assert host.files.read(ACTIVE) == OLD
    assert ("link", "vmbr0") in host.machine.observe()


async def test_without_an_earlier_configuration_there_is_nothing_to_return_to(tmp_path: Path) -> None:
    host = Host(tmp_path)
    with pytest.raises(Conflict, match="no configuration before this one"):
        await host.interfaces.roll_back()
    host.engine.close()
