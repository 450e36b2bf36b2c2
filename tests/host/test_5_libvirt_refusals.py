"""A guest that cannot be plugged as it should be does not start: why stands in libvirt's error and in our journal."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.guest.domain import Domain, Wiring, interface, metadata
from tests.host.left import comes_back, everything
from tests.host.machine import SERVICE, SOCKET, ctl, journal, main_pid, port
from tests.host.virtual import NET, NETS, RULES, RULES_FILE
from tests.netns import run

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("libvirt")]

WIRINGS = (Wiring.SCRIPT, Wiring.OURS, Wiring.BRIDGE, Wiring.PLAIN)


@pytest.mark.parametrize(
    ("net", "why"),
    [
        pytest.param("bridge='vmbr7' firewall='1'", "there is no bridge 'vmbr7'", id="no bridge"),
        pytest.param("bridge='vmbr0' tag='5000' firewall='1'", "tag: '5000'", id="no such VLAN"),
    ],
)
def test_a_guest_whose_nic_cannot_be(domain: Callable[..., Domain], net: str, why: str) -> None:
    is_refused_however_it_is_wired(domain, net, why)


@pytest.fixture
def broken_rules() -> Iterator[None]:
    """Break guest 100's firewall file, when none of its rules were ever loaded."""
    RULES_FILE.write_text(RULES + "IN ACCEPT -p tcp -dport 99999\n")
    yield
    RULES_FILE.write_text(RULES)
    ctl("reconcile")


@pytest.mark.usefixtures("broken_rules")
def test_a_guest_whose_rules_are_broken(domain: Callable[..., Domain]) -> None:
    is_refused_however_it_is_wired(domain, NET, "100.fw:7")


def is_refused_however_it_is_wired(domain: Callable[..., Domain], net: str, why: str) -> None:
    before, follower = everything(), journal()
    for wiring in WIRINGS:
        guest = domain(interface(wiring), metadata=metadata(net))
        assert why in guest.refused(), wiring
        follower.expect(why)
        guest.remove()
        assert comes_back(before) == before, wiring
    follower.stop()


@contextmanager
def hanging() -> Iterator[None]:
    """Let the daemon not answer."""
    pid = main_pid()
    run("systemctl", "service-watchdogs", "no")  # on a slow machine it would be faster than the hook's deadline
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        run("systemctl", "service-watchdogs", "yes")


@contextmanager
def stopped() -> Iterator[None]:
    """Let there be no daemon, and nobody who starts one."""
    run("systemctl", "stop", SOCKET, SERVICE)
    try:
        yield
    finally:
        run("systemctl", "start", SOCKET, SERVICE)


@pytest.mark.reliability(
    "a guest is started while the daemon hangs, or is not there",
    guarantee="it does not start unprotected: refused within 10 s, with the reason",
)
@pytest.mark.parametrize(
    ("away", "why"),
    [
        pytest.param(hanging, "pvenetd did not answer within 10 s", id="hangs"),
        pytest.param(stopped, "pvenetd is not running", id="is not there"),
    ],
)
def test_a_guest_whose_daemon(
    domain: Callable[..., Domain], away: Callable[[], AbstractContextManager[None]], why: str
) -> None:
    guest = domain(interface(Wiring.SCRIPT), interface(Wiring.BRIDGE, 1), metadata=metadata(*NETS[:2]))
    before = everything()
    with away():
        assert why in guest.refused()
    assert comes_back(before) == before
    guest.start()
    guest.destroy()


@pytest.mark.reliability("libvirtd is restarted while the daemon is not there", guarantee="the guest goes on")
def test_a_guest_lives_on_when_libvirtd_comes_back_without_the_daemon(domain: Callable[..., Domain]) -> None:
    guest = domain(interface(Wiring.SCRIPT), metadata=metadata(NET))
    guest.start()
    before, pid = everything(), guest.pid()
    with stopped():
        run("systemctl", "restart", "libvirtd.service")
        assert (guest.state(), guest.pid()) == ("running", pid)
        assert port("tap100i0")["master"] == "vmbr0"
    assert comes_back(before) == before
