"""After a rollback each network's first address is the one it was: the kernel sends from it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pvenetd.drivers.files import Files, Journal
from pvenetd.drivers.host import Host
from pvenetd.engine import Engine
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.plan import Op
from pvenetd.state import INTERFACES, Address, Route, state
from tests.netns import Namespaces, run, show

OURS, OTHERS = ("192.0.2.2/24", "192.0.2.4/24", "198.51.100.2/24"), ("192.0.2.3/24", "198.51.100.3/24")
NIC = Ethernet(name="eno1", owner=INTERFACES)
GATEWAY = Route(family="inet", via="192.0.2.1", dev="eno1", owner=INTERFACES)


def addresses() -> list[tuple[str, bool]]:
    """Return the addresses, network by network, each network's in the kernel's order."""
    (link,) = show("ip", "-j", "-4", "address", "show", "eno1")
    found = [(one["local"], bool(one.get("secondary"))) for one in link["addr_info"]]
    return sorted(found, key=lambda one: one[0].rpartition(".")[0])


@pytest.mark.netns
@pytest.mark.parametrize("kept", [(), OURS[1:2], OURS[1:]], ids=["all go", "one stays", "the first goes"])
async def test_the_first_address_is_the_first_again(
    kept: tuple[str, ...], tmp_path: Path, namespaces: Namespaces
) -> None:
    namespaces.cable("eno1")
    run("ip", "link", "set", "eno1", "up")
    files = Files(tmp_path)
    with closing(Host(files)) as host:
        for text in (OURS[0], OTHERS[0], *OURS[1:], OTHERS[1]):
            host.apply(Op("+", Address(dev="eno1", address=text, owner=INTERFACES if text in OURS else "")))
        host.apply(Op("+", GATEWAY))
    before = addresses(), run("ip", "route")
    assert before[0][0] == ("192.0.2.2", False)
    wanted = state([NIC, GATEWAY, *(Address(dev="eno1", address=text, owner=INTERFACES) for text in kept)])
    with closing(Host(files)) as host:
        engine = Engine(host, Journal(files))
        await engine.apply(wanted, {}, confirm=600)
        assert addresses() != before[0]
        await engine.roll_back()
        engine.close()
    assert (addresses(), run("ip", "route")) == before
