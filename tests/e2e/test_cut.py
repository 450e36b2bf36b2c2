"""A daemon that cuts connections: what it follows by itself, and what has changed while it was down."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import applied
from tests.kernel.talk import Connection
from tests.patience import until
from tests.sandbox.world import GUEST, NAT_HOST, World

pytestmark = pytest.mark.netns

FILE = "etc/pvenetd/firewall/100.fw"
RULES = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 80:89\n"


@pytest.fixture
def cutting() -> Iterator[World]:
    """Yield a host whose settings have connections cut."""
    with applied(NAT_HOST, "[firewall]\ncut_established = true\n") as built:
        built.write(FILE, RULES)
        built.ctl("firewall", "apply")
        yield built


def cuts(world: World) -> list[tuple[int, dict[str, int]]]:
    """Return how many connections were cut, and by which lines, each time."""
    events = json.loads(world.ctl("events", "--json"))
    return [(told["connections"], told["rules"]) for told in events if told["event"] == "cut"]


def test_connections_end_when_a_file_changes_or_has_changed_meanwhile(cutting: World) -> None:
    guest, _pump = cutting.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    ends = cutting.provider.name, guest.name, GUEST
    with Connection(*ends, 80) as one, Connection(*ends, 81) as other, Connection(*ends, 82) as third:
        cutting.write(FILE, RULES.replace("80:89", "81:89"))
        until(lambda: cuts(cutting) == [(1, {"policy_in": 1})], "the file is followed")
        assert one.ended()
        assert other.goes_on()
        daemon = cutting.daemon
        assert daemon
        daemon.signal(signal.SIGTERM)
        daemon.wait()
        cutting.write(FILE, RULES.replace("IN", "IN DROP -p tcp -dport 81\nIN", 1).replace("80:89", "81:89"))
        assert other.goes_on()
        cutting.start_daemon()
        until(lambda: len(cuts(cutting)) == 1, "a daemon that starts does so too")
        assert cuts(cutting) == [(1, {"100.fw:4": 1})]
        assert other.ended()
        assert third.goes_on()


def test_who_applies_is_told_what_was_cut(world: World) -> None:
    world.write(FILE, RULES)
    world.ctl("firewall", "apply")
    guest, _pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    ends = world.provider.name, guest.name, GUEST
    with Connection(*ends, 80) as one, Connection(*ends, 81) as other:
        world.write(FILE, RULES.replace("IN", "IN DROP -p tcp -dport 80\nIN", 1))
        assert "cut" not in world.ctl("firewall", "apply")
        assert one.goes_on()
        told = world.ctl("firewall", "apply", "--cut").splitlines()
        assert told[1:3] == ["connections that were cut: 1", "  1 by 100.fw:4"]
        assert one.ended()
        assert other.goes_on()
