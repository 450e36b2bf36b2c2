"""ifup, ifdown, ifreload, ifquery on the fake: what they touch, what is remembered, what they print."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pvenetd.ctl.commands import ifupdown
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.hand import Wish
from pvenetd.daemon.store import ACTIVE, STAGED
from pvenetd.errors import NotFound
from tests.unit.test_boot import Host

TEXT = """\
auto lo
iface lo inet loopback

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.1/24
	bridge-ports eno1
	post-up true up
	post-down true down

auto vmbr0.5
iface vmbr0.5 inet static
	address 198.51.100.1/24

iface vmbr1 inet static
	address 203.0.113.1/24
	bridge-ports none

iface home inet static
	address 203.0.113.9/24
"""


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    found = Host(tmp_path)
    found.text(TEXT)
    yield found
    for engine in found.engines:
        engine.close()


def links(host: Host) -> set[str]:
    return {key[1] for key, one in host.machine.observe().items() if key[0] == "link" and one.owner} - {"lo"}


async def test_ifdown_takes_what_stands_on_it_along_and_ifup_brings_it_back_with_what_it_stands_on(host: Host) -> None:
    daemon = await host.start()
    host.ran()
    await daemon.hand.down(Wish(("vmbr0",)))
    assert links(host) == set()
    assert "post-down true down" in host.ran()
    await daemon.hand.up(Wish(("vmbr0.5",)))
    assert links(host) == {"eno1", "vmbr0", "vmbr0.5"}
    assert "post-up true up" in host.ran()
    assert await daemon.interfaces.drift() == ()


async def test_what_is_down_by_hand_stays_so_until_a_reload(host: Host) -> None:
    daemon = await host.start()
    await daemon.hand.down(Wish(("vmbr0.5",)))
    await daemon.hand.up(Wish(("vmbr1",)))
    assert links(host) == {"eno1", "vmbr0", "vmbr1"}
    daemon = await host.start()
    assert links(host) == {"eno1", "vmbr0", "vmbr1"}
    await daemon.hand.reload(Wish(everything=True))
    assert links(host) == {"eno1", "vmbr0", "vmbr0.5", "vmbr1"}


async def test_one_interface_is_brought_up_whatever_else_was_edited(host: Host) -> None:
    daemon = await host.start()
    host.text(TEXT.replace("192.0.2.1/24", "192.0.2.7/24"))
    await daemon.hand.up(Wish(("vmbr1",)))
    assert host.addresses() == {"192.0.2.1/24", "198.51.100.1/24", "203.0.113.1/24"}
    host.files.write(STAGED, b"")
    await daemon.hand.up(Wish(everything=True))
    assert host.addresses() == {"192.0.2.7/24", "198.51.100.1/24", "203.0.113.1/24"}
    assert host.files.read(STAGED) == b""


async def test_a_stanza_of_another_name(host: Host) -> None:
    daemon = await host.start()
    host.turn_up("wlan0")
    await daemon.hand.up(Wish(("wlan0=home",)))
    assert "203.0.113.9/24" in host.addresses()
    await daemon.hand.down(Wish(("wlan0",)))
    assert "203.0.113.9/24" not in host.addresses()


async def test_a_dry_run_does_nothing(host: Host) -> None:
    daemon = await host.start()
    before = host.machine.observe()
    outcome = await daemon.hand.down(Wish(("vmbr0.5",), dry_run=True))
    assert "- link vmbr0.5" in map(str, outcome.ops)
    assert host.machine.observe() == before


async def test_patterns_are_left_out_and_what_is_unknown_is_told(host: Host) -> None:
    daemon = await host.start()
    await daemon.hand.down(Wish(everything=True, exclude=("vmbr0",)))
    assert links(host) == {"eno1", "vmbr0"}
    with pytest.raises(NotFound, match="no interface eth9"):
        await daemon.hand.up(Wish(("eth9",)))


def printed(data: list[Any], *words: str) -> list[str]:
    parser = argparse.ArgumentParser()
    ifupdown._query(parser)
    return [str(line) for line in ifupdown._answer(data, parser.parse_args(words))]


async def test_ifquery_tells_the_configuration(host: Host) -> None:
    daemon = await host.start()
    assert printed(daemon.query.names(Wish(everything=True)), "-l") == ["lo", "vmbr0", "vmbr0.5"]
    assert printed(daemon.query.configured(Wish(("vmbr0.5",)))) == [
        "auto vmbr0.5",
        "iface vmbr0.5 inet static",
        "\taddress 198.51.100.1/24",
        "",
    ]
    assert ifupdown._verdict(await daemon.query.up(Wish(("vmbr0",)))) == 0
    assert ifupdown._verdict(await daemon.query.up(Wish(("vmbr1",)))) == 1
    assert printed(await daemon.query.up(Wish(())), "--state") == ["lo=lo", "vmbr0=vmbr0", "vmbr0.5=vmbr0.5"]


async def check(daemon: Daemon, name: str) -> tuple[int, list[str]]:
    data = await daemon.query.checked(Wish((name,)))
    return ifupdown._verdict(data), [line.split()[-1] for line in printed(data, "-c") if "[" in line]


async def test_ifquery_checks_each_line(host: Host) -> None:
    daemon = await host.start()
    assert await check(daemon, "vmbr0") == (0, ["[pass]"] * 5)
    del host.machine._now["address", "vmbr0", "192.0.2.1/24"]
    assert await check(daemon, "vmbr0") == (1, ["[fail]", "[fail]", "[pass]", "[pass]", "[pass]"])
    host.files.write(ACTIVE, TEXT.replace("bridge-ports eno1", "bridge-ports eno1\n\tbridge-ageing 7").encode())
    assert (await check(daemon, "vmbr0"))[1] == ["[fail]", "[fail]", "[pass]", "[fail]", "[pass]", "[pass]"]
    assert (await check(daemon, "vmbr1"))[0] == 0
