"""When, in what order, and back: on the fake, with time as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.engine import AS_IT_WAS, Engine
from pvenetd.errors import Conflict, KernelError, VerifyError
from pvenetd.journal import versions
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from pvenetd.plan import Op
from pvenetd.resource import Key
from pvenetd.state import INTERFACES, Address, Chains, State, state
from tests.harness import Failing, plain
from tests.patience import PATIENCE

HOURS = 3600.0
ACTIVE = "etc/network/interfaces"
NIC = Ethernet.model_construct(name="eno1", kind="ethernet")
CHANGE = {ACTIVE: versions(b"old", b"new")}

BRIDGED = state(
    [
        Ethernet(name="eno1", owner=INTERFACES, master="vmbr0"),
        Bridge(name="vmbr0", owner=INTERFACES),
        Address(dev="vmbr0", address="192.0.2.1/24", owner=INTERFACES),
    ]
)


def guest(bridge: str = "vmbr0") -> State:
    return state(
        [
            Chains(name="vm:100", digest="1" * 64, owner="vm:100"),
            Tap(name="tap100i0", owner="vm:100", group=100, master=bridge, disable_ipv6=True),
        ]
    )


class Host:
    """An engine on a fake, and all that is seen of it."""

    def __init__(self, root: Path) -> None:
        self.machine = Fake([NIC, Chains.model_construct(name="base", digest="0" * 64, owner="firewall")])
        self.files = Files(root)
        self.files.write(ACTIVE, b"old")
        self.journal = Journal(self.files)
        self.engine = Engine(self.machine, self.journal)
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.engine.told = self._hear

    def _hear(self, what: str, _facts: Mapping[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self.told.put_nowait, what)

    def everything(self) -> object:
        return plain(self.machine.observe()), self.files.read(ACTIVE), self.journal.pending()

    async def hears(self, what: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.told.get() != what:
                pass


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    found = Host(tmp_path)
    yield found
    found.engine.close()


async def test_confirmed_in_time_it_stays(host: Host) -> None:
    await host.engine.apply(BRIDGED, CHANGE, confirm=HOURS)
    assert host.engine.pending is not None
    assert host.files.read(ACTIVE) == b"new"
    await host.engine.confirm()
    assert host.engine.pending is None
    assert host.journal.pending() is None
    assert host.engine.owners() == {INTERFACES: BRIDGED}


async def test_not_confirmed_in_time_all_is_as_before(host: Host) -> None:
    before = host.everything()
    await host.engine.apply(BRIDGED, CHANGE, confirm=0.01)
    await host.hears("rolled back")
    assert host.everything() == before
    assert host.engine.pending is None
    assert host.engine.failed[INTERFACES] == f"not confirmed in time; {AS_IT_WAS}"
    assert not host.engine.desired()


async def test_a_deadline_outlives_the_caller_who_set_it(host: Host) -> None:
    before = host.everything()
    caller = asyncio.create_task(host.engine.apply(BRIDGED, CHANGE, confirm=0.01))
    await asyncio.sleep(0)
    caller.cancel()
    await host.hears("rolled back")
    assert host.everything() == before


async def test_rolled_back_by_hand(host: Host) -> None:
    before = host.everything()
    await host.engine.apply(BRIDGED, CHANGE, confirm=HOURS)
    await host.engine.roll_back()
    assert host.everything() == before


async def test_nothing_waits(host: Host) -> None:
    for call in (host.engine.confirm, host.engine.roll_back):
        with pytest.raises(Conflict):
            await call()


async def test_one_apply_at_a_time(host: Host) -> None:
    first = asyncio.create_task(host.engine.apply(BRIDGED, CHANGE, confirm=HOURS))
    await asyncio.sleep(0)
    with pytest.raises(Conflict, match="another apply, or its rollback, is running"):
        await host.engine.apply({}, {})
    await first
    with pytest.raises(Conflict, match="waits to be confirmed"):
        await host.engine.apply({}, {})


async def test_the_last_confirmed_state_is_what_a_rollback_returns_to(host: Host) -> None:
    await host.engine.apply(BRIDGED, {})
    before = host.everything()
    await host.engine.apply({}, CHANGE, confirm=HOURS)
    assert ("link", "vmbr0") not in host.machine.observe()
    await host.engine.roll_back()
    assert host.everything() == before
    assert host.engine.owners() == {INTERFACES: BRIDGED}


async def test_a_restart_undoes_what_nobody_confirmed(host: Host) -> None:
    before = host.everything()
    await host.engine.apply(BRIDGED, CHANGE, confirm=HOURS)
    restarted = Engine(host.machine, Journal(host.files))
    assert await restarted.recover()
    assert host.everything() == before
    assert not await restarted.recover()
    restarted.close()


@pytest.mark.parametrize("at", range(2))
async def test_a_guest_that_fails_leaves_everything_as_it_was(host: Host, at: int) -> None:
    await host.engine.apply(BRIDGED, {})
    before = host.everything()
    failing = Engine(Failing(host.machine, at), host.journal)
    with pytest.raises(KernelError) as caught:
        await failing.desire("vm:100", guest())
    assert caught.value.outcome == AS_IT_WAS
    assert host.everything() == before
    assert AS_IT_WAS in failing.failed["vm:100"]
    assert not failing.owners()
    await failing.desire("vm:100", guest())
    assert not failing.failed
    failing.close()


async def test_guests_come_and_go_by_themselves(host: Host) -> None:
    await host.engine.apply(BRIDGED, {})
    before = host.everything()
    ops = await host.engine.desire("vm:100", guest())
    assert [str(op).split(" digest")[0] for op in ops] == [
        "+ chains vm:100",
        "+ link tap100i0 tap master=vmbr0 disable_ipv6=yes",
    ]
    assert not await host.engine.desire("vm:100", guest())
    assert [str(op) for op in await host.engine.desire("vm:100", {})] == ["- link tap100i0", "- chains vm:100"]
    assert host.everything() == before


async def test_a_guest_whose_bridge_is_not_there_is_refused(host: Host) -> None:
    before = host.everything()
    with pytest.raises(KernelError, match=r"^\+ link tap100i0 .*: No such device \(errno 19\)$"):
        await host.engine.desire("vm:100", guest("vmbr7"))
    assert host.everything() == before


async def test_an_apply_leaves_guests_plugged(host: Host) -> None:
    await host.engine.apply(BRIDGED, {})
    await host.engine.desire("vm:100", guest())
    more = {**BRIDGED, **state([Bridge(name="vmbr1", owner=INTERFACES)])}
    assert [str(op) for op in await host.engine.apply(more, {})] == ["+ link vmbr1 bridge"]
    assert host.engine.owners().keys() == {INTERFACES, "vm:100"}


async def test_what_the_kernel_does_not_keep_is_told_and_undone(host: Host) -> None:
    class Forgetful(Failing):
        def apply(self, *ops: Op) -> None:
            if ops[0].resource.key != ("address", "vmbr0", "192.0.2.1/24"):
                super().apply(*ops)

    before = host.everything()
    engine = Engine(Forgetful(host.machine, -1), host.journal)
    with pytest.raises(VerifyError) as caught:
        await engine.apply(BRIDGED, CHANGE)
    assert str(caught.value) == "still to do after apply:\n  + address vmbr0 192.0.2.1/24"
    assert host.everything() == before
    engine.close()


class Stuck(Failing):
    """A machine that takes one operation, and from then on none, until it is told to."""

    free = False

    def apply(self, *ops: Op) -> None:
        self.count += 1
        if self.count > 1 and not self.free:
            raise KernelError(str(ops[0]), 16, "Device or resource busy")
        self._machine.apply(*ops)


async def test_a_rollback_that_failed_is_tried_again_and_keeps_its_record(host: Host) -> None:
    machine = Stuck(host.machine, -1)
    engine = Engine(machine, host.journal)
    before = host.everything()
    with pytest.raises(KernelError):
        await engine.apply(BRIDGED, CHANGE)
    with pytest.raises(Conflict, match="could not be rolled back"):
        await engine.apply(BRIDGED, CHANGE)
    with pytest.raises(KernelError):
        await engine.roll_back()
    assert engine.stuck()
    machine.free = True
    await engine.roll_back()
    assert host.everything() == before
    assert not engine.stuck()
    assert not engine.failed
    with pytest.raises(Conflict, match="nothing waits"):
        await engine.roll_back()
    engine.close()


async def test_a_rollback_that_fails_says_what_is_left(host: Host) -> None:
    engine = Engine(Stuck(host.machine, -1), host.journal)
    with pytest.raises(KernelError) as caught:
        await engine.apply(BRIDGED, CHANGE)
    assert (
        caught.value.outcome == "not all of it could be rolled back: - link vmbr0: Device or resource busy (errno 16)"
    )
    engine.close()
    assert await host.engine.recover(), "a later run can still undo it"
    assert host.files.read(ACTIVE) == b"old"
    assert ("link", "vmbr0") not in host.machine.observe()


async def test_work_goes_on_when_its_caller_is_gone(host: Host) -> None:
    class Slow(Failing):
        started, go_on = Event(), Event()

        def observe(self, keys: Collection[Key] = (), *, only: bool = False, anew: Collection[Key] = ()) -> State:
            self.started.set()
            assert self.go_on.wait(PATIENCE)
            return super().observe(keys, only=only, anew=anew)

    await host.engine.apply(BRIDGED, {})
    machine = Slow(host.machine, -1)
    engine = Engine(machine, host.journal)
    caller = asyncio.create_task(engine.desire("vm:100", guest("vmbr0")))
    await asyncio.to_thread(machine.started.wait, PATIENCE)
    caller.cancel()
    machine.go_on.set()
    assert await engine.observe()
    assert engine.owners().keys() == {"vm:100"}
    engine.close()
