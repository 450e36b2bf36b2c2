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
from tests.host.talk import ADDRESS, Talk
from tests.host.virtual import NET
from tests.netns import run

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


@pytest.mark.reliability(
    "libvirtd, the daemon, or both are restarted, killed or upgraded while a guest talks",
    guarantee="no packet is lost, and none gets past its rules",
)
@pytest.mark.parametrize(
    ("wiring", "times"),
    [
        (
            Wiring.SCRIPT,
            [
                *((how, who) for how in (restart, kill) for who in ((SERVICE,), (LIBVIRTD,), BOTH)),
                (upgrade, (SERVICE,)),
            ],
        ),
        (Wiring.OURS, [(kill, BOTH)]),
        (Wiring.PLAIN, [(kill, BOTH)]),
    ],
)
def test_a_guest_goes_on_talking_behind_its_rules(
    domain: Callable[..., Domain],
    talk: Callable[[Domain], Talk],
    wiring: Wiring,
    times: list[tuple[Callable[..., None], tuple[str, ...]]],
) -> None:
    guest = domain(interface(wiring), metadata=metadata(NET), address=ADDRESS)
    guest.start()
    ours = talk(guest)
    before, pid = everything(), guest.pid()
    for happens, services in times:
        happens(*services)
        ours.goes_on()
        assert ctl("plan") == ""
        assert (guest.state(), guest.pid()) == ("running", pid)
        assert comes_back(before) == before
    guest.power_off(ours.shell)
    ours.is_filtered()
