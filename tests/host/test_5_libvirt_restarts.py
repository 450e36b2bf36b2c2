"""libvirtd and the daemon, killed, restarted or upgraded while a guest talks: no packet is lost or evades its rules."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.guest.domain import Domain, Wiring, interface, metadata
from tests.host.left import comes_back, everything
from tests.host.machine import SERVICE, apt, ctl, ended, newer, unit
from tests.host.talk import ADDRESSES, Talk
from tests.host.virtual import NETS
from tests.netns import run
from tests.reliability import Outcome

pytestmark = pytest.mark.host

LIBVIRTD = "libvirtd.service"
BOTH = (SERVICE, LIBVIRTD)


def restart(*services: str) -> None:
    """Restart services in good order."""
    run("systemctl", "restart", *services)


def kill(*services: str) -> None:
    """Kill what systemd has started, and have it started again."""
    for service in services:
        ended(int(unit(service, "MainPID")["MainPID"]), signal.SIGKILL)
    run("systemctl", "start", *services)


def upgrade(*_: str) -> None:
    """Install the package's next version."""
    with TemporaryDirectory() as place:
        apt("install", newer(Path(place)))


TIMES = ((restart, (LIBVIRTD,)), (kill, (LIBVIRTD,)), (kill, BOTH), (upgrade, (SERVICE,)))
"""What happens, and to whom; tests/e2e has the daemon alone restarted and killed, an upgrade restarts it here."""


@pytest.mark.reliability(
    "libvirtd, the daemon, or both are restarted, killed or upgraded while a guest talks",
    guarantee="no packet is lost, and none gets past its rules",
)
def test_a_guest_goes_on_talking_behind_its_rules(
    domain: Callable[..., Domain], talk: Callable[[Domain], Talk], outcome: Outcome
) -> None:
    """It has a NIC of each kind: its tap is made by libvirt for our script, by us, by libvirt for itself."""
    wirings = (Wiring.SCRIPT, Wiring.OURS, Wiring.PLAIN)
    nics = [interface(wiring, index) for index, wiring in enumerate(wirings)]
    guest = domain(*nics, metadata=metadata(*NETS), addresses=ADDRESSES)
    guest.start()
    ours = talk(guest)
    before, pid = everything(), guest.pid()
    for happens, services in TIMES:
        happens(*services)
        ours.goes_on()
        assert ctl("plan") == ""
        assert (guest.state(), guest.pid()) == ("running", pid)
        assert comes_back(before) == before
        outcome()
    guest.power_off(ours.shell)
    ours.is_filtered()
