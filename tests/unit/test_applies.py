"""Who may decide about an apply that waits, what takes its place, who is asked whether he still answers, and drift."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from pvenetd.daemon.applies import Asked
from pvenetd.daemon.edits import creation, setting
from pvenetd.daemon.interfaces import Interfaces
from pvenetd.daemon.store import ACTIVE, STAGED, Store
from pvenetd.drivers.fake import Fake
from pvenetd.drivers.files import Files, Journal
from pvenetd.edits.wish import Wish
from pvenetd.engine import AS_IT_WAS, Engine
from pvenetd.errors import ConfigError, Conflict, CutsOff, Unreachable
from pvenetd.interfaces.includes import SHELTER
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.management import Session, Way
from pvenetd.plan import Op
from pvenetd.reach import Target
from pvenetd.settings import Apply
from pvenetd.state import Address
from tests.harness import plain

SOURCED = "etc/network/interfaces.d/guests"
OLD = b"""auto vmbr0
iface vmbr0 inet static
	address 192.0.2.1/24
	gateway 192.0.2.254
	bridge-ports eth0
source interfaces.d/*
"""
GUESTS = b"auto vmbr1\niface vmbr1 inet manual\n\tbridge-ports none\n"
NEW, NEWER = (OLD.replace(b"192.0.2.1/24", b"192.0.2.%d/24" % number) for number in (2, 3))
WAIT = Asked(confirm=600.0)
SETTINGS = Apply(probe_seconds=0.01)


class Silent:
    """Everybody answers but those who are silent; who was asked."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.asked: list[Target] = []

    def answering(self, targets: Collection[Target], seconds: float, every: float) -> set[Target]:
        del seconds, every
        self.asked += targets
        return {target for target in targets if target.address not in self.silent}


class Host:
    def __init__(self, root: Path) -> None:
        self.files = Files(root)
        self.files.write(ACTIVE, OLD)
        self.files.write(SOURCED, GUESTS)
        self.machine = Fake([Ethernet.model_construct(name="eth0", kind="ethernet")])
        self.others = Silent()
        self.engine = Engine(self.machine, Journal(self.files), self.others)
        self.interfaces = Interfaces(Store(self.files), self.engine, Journal(self.files), "ct", SETTINGS)

    def everything(self) -> object:
        names = (ACTIVE, STAGED, SOURCED, f"{SOURCED}.new")
        return plain(self.machine.observe()), [self.files.read(name) for name in names]

    def addresses(self) -> list[str]:
        return [key[2] for key in self.machine.observe() if key[:2] == ("address", "vmbr0")]

    async def apply(self, text: bytes, asked: Asked = WAIT) -> None:
        self.files.write(STAGED, text)
        await self.interfaces.apply(asked)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    found = Host(tmp_path)
    await found.interfaces.apply()
    yield found
    found.engine.close()


async def test_an_edit_that_waits_elsewhere_is_applied_and_comes_back(host: Host) -> None:
    """Beside its file another ifupdown would read it: so neither the edit nor the rollback puts it there."""
    host.files.write("usr/sbin/ifup", b"")
    change = setting(Wish("vmbr1", {"mtu": "1400"}))
    await host.interfaces.edit(change)
    waiting = f"{SHELTER}{SOURCED}.new"
    edited = GUESTS + b"\tmtu 1400\n"
    assert (host.files.read(waiting), host.files.read(f"{SOURCED}.new")) == (edited, None)
    before = host.everything()
    await host.interfaces.apply(WAIT)
    assert (host.files.read(waiting), host.files.read(SOURCED)) == (None, edited)
    await host.interfaces.roll_back()
    assert host.files.read(waiting) == edited
    assert host.everything() == before

    await host.interfaces.apply()
    host.files.write(SOURCED, GUESTS)
    await host.interfaces.apply(WAIT)
    await host.interfaces.roll_back()
    assert (host.files.read(waiting), host.files.read(SOURCED)) == (GUESTS, edited), "edited in place, it waits there"
    assert host.files.read(f"{SOURCED}.new") is None


async def test_the_first_configuration_is_applied_and_taken_back(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.files.remove(ACTIVE)
    with pytest.raises(ConfigError, match="No such file"):
        await host.interfaces.apply()
    await host.interfaces.edit(creation(Wish("vmbr0", {"type": "bridge", "autostart": "1"}, kind="bridge")))
    before = host.everything()
    await host.interfaces.apply(WAIT)
    assert ("link", "vmbr0") in host.machine.observe()
    await host.interfaces.roll_back()
    assert host.everything() == before
    host.engine.close()


async def test_whoever_names_it_confirms_it(host: Host) -> None:
    await host.apply(NEW)
    assert host.engine.pending
    waits = host.engine.pending.id
    with pytest.raises(Conflict, match="00000000 does not wait"):
        await host.interfaces.confirm("00000000")
    with pytest.raises(Conflict, match=f"00000000 does not wait to be confirmed: {waits} does"):
        host.interfaces.extend(10, "00000000")
    assert await host.interfaces.confirm(waits) == waits
    assert host.addresses() == ["192.0.2.2/24"]
    with pytest.raises(Conflict, match="nothing waits"):
        await host.interfaces.confirm(waits)


async def test_what_waits_can_wait_longer(host: Host) -> None:
    await host.apply(NEW, Asked(confirm=0.2))
    assert host.interfaces.extend(600).id
    assert host.engine.left() > 500
    await host.interfaces.confirm()
    assert host.addresses() == ["192.0.2.2/24"]


async def test_a_second_takes_the_place_of_the_first_and_leads_back_to_before_it(host: Host) -> None:
    before = host.everything()
    await host.apply(NEW)
    host.files.write(SOURCED + ".new", GUESTS + b"\tbridge-ageing 120\n")
    with pytest.raises(Conflict, match="pvenetctl apply --replace"):
        await host.apply(NEWER)
    await host.apply(NEWER, replace(WAIT, replace=True))
    assert host.addresses() == ["192.0.2.3/24"]
    await host.interfaces.roll_back()
    host.files.remove(SOURCED + ".new")
    host.files.remove(STAGED)
    assert host.everything() == before


async def test_in_its_place_without_a_window_it_is_kept(host: Host) -> None:
    await host.apply(NEW)
    await host.apply(NEWER, Asked(replace=True))
    assert host.engine.pending is None
    assert host.addresses() == ["192.0.2.3/24"]
    await host.interfaces.roll_back()
    assert host.addresses() == ["192.0.2.1/24"], "before both"


async def test_one_that_is_refused_takes_nobodys_place(host: Host) -> None:
    await host.apply(NEW)
    assert host.engine.pending
    waits = host.engine.pending.id
    host.interfaces.way = lambda _peer, _local: Way("vmbr0")
    session = Session("192.0.2.99", "192.0.2.2")
    with pytest.raises(CutsOff, match=r"the address 192\.0\.2\.2/24 of vmbr0, which your session uses, goes"):
        await host.apply(NEWER, Asked(replace=True, session=session))
    assert host.engine.pending
    assert host.engine.pending.id == waits
    assert host.engine.left() > 500
    await host.interfaces.confirm(waits)


async def test_a_gateway_that_answered_before_has_to_answer_after(host: Host) -> None:
    before = host.everything()
    host.others.silent = {"192.0.2.253"}
    host.files.write(STAGED, OLD.replace(b"gateway 192.0.2.254", b"gateway 192.0.2.253"))
    with pytest.raises(Unreachable, match=r"default gateway 192\.0\.2\.253 \(ARP on vmbr0\)") as caught:
        await host.interfaces.apply()
    assert caught.value.outcome == AS_IT_WAS
    host.files.remove(STAGED)
    assert host.everything() == before
    assert not host.engine.stuck()


async def test_a_gateway_of_another_address_is_the_admins_to_see_while_he_is_waited_for(host: Host) -> None:
    host.others.silent = {"192.0.2.253"}
    await host.apply(OLD.replace(b"gateway 192.0.2.254", b"gateway 192.0.2.253"))
    assert host.engine.pending
    await host.interfaces.confirm()


async def test_who_was_silent_before_is_not_asked_after(host: Host) -> None:
    host.others.silent = {"192.0.2.254"}
    host.others.asked.clear()
    await host.apply(NEW, Asked(session=Session("198.51.100.1", "203.0.113.1")))
    assert [target.role for target in host.others.asked] == [
        "default gateway", "peer of the session", "peer of the session",
    ]  # fmt: skip


async def test_nobody_is_asked_where_nothing_is_to_do(host: Host) -> None:
    host.others.asked.clear()
    assert (await host.interfaces.apply(WAIT)).ops == ()
    assert host.others.asked == []
    assert host.engine.pending is None


async def test_drift_is_what_nobody_edited(host: Host) -> None:
    assert await host.interfaces.drift() == ()
    host.files.write(STAGED, NEW)
    assert await host.interfaces.drift() == (), "an edit that waits"
    host.files.write(ACTIVE, NEWER)
    host.files.write(SOURCED, b"")
    assert await host.interfaces.drift() == (), "nor one in place"
    gone = Address(dev="vmbr0", address="192.0.2.1/24", owner="interfaces")
    host.machine.apply(Op("-", gone))
    assert [str(op) for op in await host.interfaces.drift()] == [
        "+ address vmbr0 192.0.2.1/24",
        "+ route default dev=vmbr0 via=192.0.2.254",
    ]


async def test_every_file_comes_back(host: Host) -> None:
    before = host.everything()
    host.files.write(SOURCED + ".new", GUESTS.replace(b"vmbr1", b"vmbr2"))
    await host.apply(NEW)
    assert ("link", "vmbr2") in host.machine.observe()
    assert host.files.read(SOURCED) == GUESTS.replace(b"vmbr1", b"vmbr2")
    await host.interfaces.roll_back()
    assert host.files.read(SOURCED + ".new") == GUESTS.replace(b"vmbr1", b"vmbr2"), "the edit waits again"
    for name in (STAGED, SOURCED + ".new"):
        host.files.remove(name)
    assert host.everything() == before


async def test_a_rollback_after_the_commit_returns_every_file(host: Host) -> None:
    before = host.everything()
    host.files.write(SOURCED + ".new", GUESTS.replace(b"vmbr1", b"vmbr2"))
    await host.apply(NEW, Asked())
    await host.interfaces.roll_back()
    assert host.everything() == before


async def test_a_sourced_file_edited_in_place_waits_after_its_rollback(host: Host) -> None:
    host.files.write(SOURCED, GUESTS + b"\tbridge-ageing 120\n")
    await host.interfaces.apply(WAIT)
    await host.interfaces.roll_back()
    assert (host.files.read(SOURCED), host.files.read(SOURCED + ".new")) == (GUESTS, GUESTS + b"\tbridge-ageing 120\n")
