"""An interface with DHCP on a host with systemd: its client is a unit, and outlives the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pvenetd.drivers.clients import PROGRAMS
from tests.host.conftest import INTERFACES
from tests.host.machine import SERVICE, asked, ctl, ended, journal, main_pid, unit
from tests.netns import run, show
from tests.patience import PATIENCE, until
from tests.sandbox.process import Process

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

NIC, UNIT = "eno9", "pvenetd-dhcp@eno9.service"
STANZA = f"""
auto {NIC}
iface {NIC} inet dhcp
	metric 900
"""
SETTINGS = Path("/etc/pvenetd/pvenetd.toml")


@pytest.fixture
def server() -> Iterator[Process]:
    """A DHCP server on the other end of a cable."""
    run("ip", "netns", "add", "lessor")
    run("ip", "link", "add", NIC, "type", "veth", "peer", "name", NIC, "netns", "lessor")
    run("ip", "-n", "lessor", "link", "set", NIC, "up")
    run("ip", "-n", "lessor", "address", "add", "203.0.113.1/24", "dev", NIC)
    words = ["ip", "netns", "exec", "lessor", "dnsmasq", "-k", "--log-facility=-", "--conf-file=/dev/null", "--port=0"]
    more = [f"--interface={NIC}", "--bind-interfaces", "--dhcp-range=203.0.113.9,203.0.113.99,120", "--no-ping"]
    dns = ["--dhcp-option=option:dns-server,203.0.113.53", "--dhcp-leasefile=/run/lessor", "--log-dhcp"]
    found = Process("dnsmasq", [*words, *more, *dns])
    found.expect("sockets bound|DHCP, IP range")
    yield found
    found.stop()
    run("ip", "netns", "delete", "lessor")


def leased() -> list[str]:
    links = show("ip", "-4", "-j", "address", "show", "dev", NIC)
    return [one["local"] for link in links for one in link.get("addr_info", [])]


@pytest.mark.reliability(
    "the daemon is stopped and killed while the host has leased its address",
    guarantee="the lease goes on",
)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_lease_survives_the_daemon(program: str, server: Process) -> None:
    before, settings = INTERFACES.read_text(), SETTINGS.read_text() if SETTINGS.exists() else None
    SETTINGS.write_text(f'[dhcp]\nclient = "{program}"\n')
    resolv_conf = Path("/etc/resolv.conf").read_bytes()
    run("systemctl", "restart", SERVICE)
    try:
        INTERFACES.with_suffix(".new").write_text(before + STANZA)
        ctl("apply", "--yes")
        server.expect(r"DHCPACK\(eno9\) 203\.0\.113\.")
        until(leased, "the address is there")
        assert unit(UNIT, "ActiveState")["ActiveState"] == "active"
        client = unit(UNIT, "MainPID")["MainPID"]
        assert UNIT in Path(f"/proc/{client}/cgroup").read_text()

        run("systemctl", "restart", SERVICE)
        assert ctl("plan") == ""
        ended(main_pid(), 9)
        assert journal().expect("serving /")
        assert asked("interfaces", "show", NIC)["method"] == "dhcp"
        assert ctl("plan") == ""
        assert unit(UNIT, "MainPID")["MainPID"] == client

        run("systemctl", "kill", "--signal=KILL", UNIT)
        until_dead(client)
        assert f"client {NIC} inet" in ctl("plan")
        ctl("apply", "--yes")
        assert unit(UNIT, "MainPID")["MainPID"] not in ("0", client)
        server.expect(r"DHCPACK\(eno9\) 203\.0\.113\.")
    finally:
        INTERFACES.with_suffix(".new").write_text(before)
        ctl("apply", "--yes")
        Path("/etc/resolv.conf").write_bytes(resolv_conf)
        SETTINGS.unlink() if settings is None else SETTINGS.write_text(settings)
    server.expect(r"DHCPRELEASE\(eno9\)")
    until(lambda: not leased(), "the address is gone")
    assert unit(UNIT, "LoadState")["LoadState"] == "not-found"


def until_dead(pid: str) -> None:
    run("timeout", f"{PATIENCE:g}", "tail", f"--pid={pid}", "-f", "/dev/null")
