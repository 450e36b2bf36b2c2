"""Connections that the kernel tracks, in either family, forwarded or not: which are found, and which forgotten."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pvenetd.drivers import conntrack
from pvenetd.nat.flows import Connection
from tests.kernel.talk import SILENCE, Listeners
from tests.kernel.test_nat import FORWARDS, PORTS, made
from tests.kernel.world import inside


@pytest.mark.netns
@pytest.mark.parametrize(("address", "guest"), [("192.0.2.1", "198.51.100.102"), ("2001:db8::1", "2001:db8:1::66")])
@pytest.mark.parametrize(("proto", "number"), [("tcp", 6), ("udp", 17)])
def test_a_forwarded_connection_is_found_and_forgotten_alone(proto: str, number: int, address: str, guest: str) -> None:
    seen: list[Connection] = []

    def mine(one: Connection) -> bool:
        seen.append(one)
        return one.forwarded and one.protocol == number and one.port == 8080

    with made(FORWARDS, "mark", filtered=False) as there:
        with Listeners(there, "vm/102", "vm/100", ports=PORTS) as listening:
            assert listening.ask("outside", proto, address, 8080).startswith("vm/102:80 ")
            assert listening.ask("outside", proto, guest, 9000).startswith("vm/102:9000 ")
        with inside(there.names["host"]):
            assert conntrack.forget(mine) == 1
            count = len(seen)
            seen.clear()
            assert conntrack.forget(mine) == 0
    assert len(seen) == count - 1
    assert not any(one.forwarded for one in seen)


@pytest.mark.netns
def test_what_nobody_answers_is_told_apart() -> None:
    seen: list[Connection] = []
    with made("nat-masquerade vmbr0", "mark", filtered=False) as there:
        with Listeners(there, "vm/102", ports=(80,)) as listening:
            listening.ask("outside", "udp", "192.0.2.1", 8080, patience=SILENCE)
        with inside(there.names["host"]):
            assert conntrack.forget(lambda one: bool(seen.append(one))) == 0
    (found,) = (one for one in seen if one.port == 8080)
    here = ip_address("192.0.2.1")
    assert found == Connection(17, here, 8080, here, forwarded=False, answered=False)
