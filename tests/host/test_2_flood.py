"""One guest of the host's floods: others' packets, the table of connections, and the logs."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pvenetd.firewall import quota
from tests.host.flow import HERE, Flow
from tests.host.machine import ctl
from tests.kernel.world import PROTOCOLS, frame, in_ip, packet_socket, transport
from tests.netns import run
from tests.patience import PATIENCE
from tests.reliability import Outcome
from tests.sandbox.pings import Pings

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

FLOODER, OTHER = 101, 102
NOBODY, NOBODYS_MAC = "192.0.2.77", "02:00:00:00:00:77"
"""Outside; who is not there does not answer, so that the host waits for him."""
ALLOWED, LOGGED = 2000, 9
SYNS, EVERY = 60_000, 4
"""First packets of connections, one of so many to the port that is logged."""
TABLE = 40_000
"""Connections that the host keeps track of: fewer than are begun."""
MORE_LINES = 30
"""Of the kernel and of the daemon, whatever the pace."""
CONFIG = Path("/etc/pvenetd")
MOST = Path("/proc/sys/net/netfilter/nf_conntrack_max")
TRACKED = MOST.with_name("nf_conntrack_count")
LOG = Path("/var/log/pvenetd/firewall.log")
FILES = {
    "firewall/cluster.fw": "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n",
    f"firewall/{FLOODER}.fw": f"[OPTIONS]\nenable: 1\n[RULES]\nOUT DROP -p tcp -dport {LOGGED} -log info\n",
    f"firewall/{OTHER}.fw": "[OPTIONS]\nenable: 1\n",
}


def mac(vmid: int) -> str:
    return f"02:00:00:00:00:{vmid:02x}"


@contextmanager
def guest(vmid: int) -> Iterator[str]:
    """Plug a container: a namespace, in which its NIC's other end is; yield that."""
    name, veth, conf = f"guest{vmid}", f"veth{vmid}i0", CONFIG / f"lxc/{vmid}.conf"
    conf.write_text(f"net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr={mac(vmid)}\n")
    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", name, "address", mac(vmid))
        run("ip", "-n", name, "address", "add", f"192.0.2.{vmid}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        ctl("vm", "plug", str(vmid))
        yield name
    finally:
        run("ip", "netns", "delete", name)
        conf.unlink()
        ctl("reconcile")


@pytest.fixture
def guests() -> Iterator[list[str]]:
    """Two guests' namespaces, filtered, on a host whose table of connections is small."""
    for name, text in FILES.items():
        (CONFIG / name).write_text(text)
    ctl("firewall", "apply")
    most = MOST.read_text()
    MOST.write_text(str(TABLE))
    with guest(FLOODER) as flooder, guest(OTHER) as other:
        yield [flooder, other]
    MOST.write_text(most)
    for name in FILES:
        (CONFIG / name).unlink()
    ctl("firewall", "apply")


def syn(port: int) -> bytes:
    """Return a SYN whose source port and sequence number add up to 0xffff: its checksum holds for any such pair."""
    source = f"192.0.2.{FLOODER}"
    segment = transport("tcp", source, NOBODY, 1, port, seq=0xFFFE)
    return frame(mac(FLOODER), NOBODYS_MAC, 0x0800, in_ip(PROTOCOLS["tcp"], source, NOBODY, segment))


def flooded(space: str) -> float:
    """Begin `SYNS` connections; return the seconds that took."""
    allowed, told = syn(ALLOWED), syn(LOGGED)
    began = time.monotonic()
    with packet_socket(space) as sender:
        sender.settimeout(PATIENCE)
        for number in range(SYNS):
            one, source = allowed if number % EVERY else told, 1024 + number
            sender.send(
                one[:34] + struct.pack("!H", source) + one[36:38] + struct.pack("!I", 0xFFFF - source) + one[42:]
            )
    return time.monotonic() - began


def lines() -> list[str]:
    return run("journalctl", "-q", "-o", "cat", "_TRANSPORT=kernel", "+", "_SYSTEMD_UNIT=pvenetd.service").splitlines()


def logged() -> int:
    return len(LOG.read_text().splitlines()) if LOG.exists() else 0


@pytest.mark.reliability(
    "a guest of the host's sends 60,000 SYNs to who does not answer, a quarter of them to a port that is logged",
    guarantee="the host's table of connections has room for others, whose traffic goes on; logs are rate limited",
)
def test_a_flood_of_one_guest_leaves_others_and_logs_alone(guests: list[str], outcome: Outcome) -> None:
    flooder, other = guests
    inside = ["ip", "netns", "exec", other]
    before, tracked, already = len(lines()), int(TRACKED.read_text()), logged()
    with Flow() as flow:
        pings = Pings(inside, HERE, 0.02)
        seconds = flooded(flooder)
        through = int(TRACKED.read_text()) - tracked
        lost = len(flow.lost())
        pings.go_on()
        lost += len(pings.lost())
        sent = flow.count() + len(pings.process.lines) + lost
        pings.stop()
    assert quota.BURST // 2 < through < min(TABLE, quota.BURST + quota.RATE * (seconds + 1))
    assert run(*inside, "ping", "-n", "-q", "-c", "20", "-i", "0.02", "-W", "60", HERE), "new ones are begun"
    said = lines()[before:]
    assert len(said) < MORE_LINES, said
    assert not [line for line in said if "table full" in line]
    told = logged() - already
    assert 0 < told < MORE_LINES + seconds
    outcome(
        seen=f"in {seconds:.0f} s {through:,} were let through; others lost {lost} of {sent:,} pings; "
        f"{told} lines in the log of {SYNS // EVERY:,} packets"
    )
