"""The host's life with the package: an apply, a QEMU guest, and a daemon that is restarted, killed and stopped.

Each test finds the host as the one before has left it, with vmbr0 on eno1 and vmbr1 masqueraded.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.host.conftest import INTERFACES, TEXT
from tests.host.flow import OUTSIDE, Flow
from tests.host.machine import (
    CTL,
    LIBEXEC,
    SERVICE,
    SOCKET,
    apt,
    asked,
    ctl,
    ended,
    journal,
    main_pid,
    newer,
    port,
    unit,
    version,
)
from tests.netns import lasting, run, show
from tests.patience import until
from tests.sandbox.process import Process

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

TAP = "tap100i0"
CONFIG = Path("/etc/pvenetd")
MONITOR = Path("/run/qemu-server/100.qmp")
DROP_IN = Path(f"/run/systemd/system/{SERVICE}.d/test.conf")

NAT = """
auto vmbr1
iface vmbr1 inet static
	address 10.10.10.1/24
	bridge-ports none
	bridge-stp off
	bridge-fd 0
	post-up   echo 1 > /proc/sys/net/ipv4/ip_forward
	post-up   iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE
	post-down iptables -t nat -D POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE
"""
COMMANDS = """\
	post-up   ip route add 198.51.100.0/24 via 10.10.10.2
	post-up   sysctl -q -w net.ipv4.conf.vmbr1.proxy_arp=1
	post-up   echo 1 > /sys/class/net/vmbr1/bridge/multicast_querier
	post-up   ethtool -K vmbr1 gro off
	post-up   iptables-legacy -A INPUT -i vmbr1 -p udp --dport 53 -j ACCEPT
	post-down iptables-legacy -D INPUT -i vmbr1 -p udp --dport 53 -j ACCEPT
	post-up   logger -t network "$IFACE is up" && touch /run/vmbr1-is-up /var/lib/misc/vmbr1-is-up
"""
"""What people's files do, from a look at many: whatever the unit is bound to: systemd runs it outside."""

CLUSTER = """\
[OPTIONS]
enable: 1
policy_in: ACCEPT
"""
GUEST = """\
[OPTIONS]
enable: 1
policy_in: DROP

[RULES]
IN ACCEPT -p tcp -dport 22
"""


def rules() -> str:
    """Return the tables of ours."""
    return lasting(run("nft", "--stateless", "list", "ruleset"))


@pytest.fixture(scope="module")
def tap() -> str:
    """Both bridges as pvenetd makes them, and guest 100 configured: tagged on vmbr0, filtered."""
    INTERFACES.with_suffix(".new").write_text(TEXT + NAT + COMMANDS)
    assert "+ link vmbr1 bridge" in ctl("plan")
    ctl("apply")
    (CONFIG / "firewall/cluster.fw").write_text(CLUSTER)
    (CONFIG / "firewall/100.fw").write_text(GUEST)
    (CONFIG / "qemu-server/100.conf").write_text("net0: virtio=02:00:00:00:01:00,bridge=vmbr0,tag=20,firewall=1\n")
    ctl("firewall", "check")
    ctl("firewall", "apply")
    return "tap100i0"


@pytest.fixture
def guest(tap: str) -> Iterator[Process]:
    """QEMU, its guest's processor not yet started, its tap plugged by the hook."""
    netdev = f"tap,id=net0,ifname={tap},script={LIBEXEC}/qemu-ifup,downscript={LIBEXEC}/qemu-ifdown"
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "32", "-nodefaults", "-display", "none", "-S"]
    command += ["-netdev", netdev, "-device", "virtio-net-pci,id=net0,netdev=net0,romfile=", "-monitor", "stdio"]
    MONITOR.parent.mkdir(exist_ok=True)
    command += ["-qmp", f"unix:{MONITOR},server=on,wait=off"]
    qemu = Process("QEMU", command)
    qemu.expect("monitor - type")
    yield qemu
    qemu.stop()


def _lines_of_the_guest() -> set[tuple[str, str]]:
    """Return the files and lines that the journal names of operations on the guest's port."""
    said = run("journalctl", "-q", "-o", "json", "-u", SERVICE, "VMID=100", "OWNER=vm:100")
    told = [one for one in map(json.loads, said.splitlines()) if f"link {TAP} " in one.get("OP", "")]
    return {(one["FILE"], one["LINE"]) for one in told}


@pytest.mark.usefixtures("tap")
def test_apply_shows_in_the_kernel() -> None:
    assert ctl("plan") == ""
    assert port("vmbr0")["linkinfo"]["info_data"]["vlan_filtering"] == 1
    assert port("eno1")["master"] == "vmbr0"
    addresses = {one["ifname"]: {it["local"] for it in one["addr_info"]} for one in show("ip", "-4", "-j", "address")}
    assert addresses["vmbr0"] == {"192.0.2.2"}
    assert addresses["vmbr1"] == {"10.10.10.1"}
    assert re.search('oifname "vmbr0" ip saddr 10.10.10.0/24 .*masquerade', rules())
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"


@pytest.mark.usefixtures("tap")
def test_commands_of_the_file_may_do_what_commands_do_there() -> None:
    assert show("ip", "-j", "route", "show", "198.51.100.0/24")[0]["dev"] == "vmbr1"
    assert Path("/proc/sys/net/ipv4/conf/vmbr1/proxy_arp").read_text() == "1\n"
    assert Path("/sys/class/net/vmbr1/bridge/multicast_querier").read_text() == "1\n"
    assert "dport 53" in run("iptables-legacy-save")
    assert Path("/run/vmbr1-is-up").exists()


@pytest.mark.usefixtures("guest")
def test_guest_is_plugged_behind_its_chains() -> None:
    link = port(TAP)
    assert link["master"] == "vmbr0"
    assert {"UP", "LOWER_UP"} <= set(link["flags"])
    assert link["ifalias"] == "pvenetd:vm:100 (configured)"
    vlans = next(one["vlans"] for one in show("bridge", "-j", "vlan") if one["ifname"] == TAP)
    assert [(vlan["vlan"], sorted(vlan["flags"])) for vlan in vlans] == [(20, ["Egress Untagged", "PVID"])]
    assert TAP in run("nft", "list", "map", "bridge", "pvenetd", "in")
    nic = asked("vm", "show", "100")["nics"][0]
    assert (nic["plugged"], nic["filtered"]) == (1, 1)
    until(lambda: _lines_of_the_guest() == {(str(CONFIG / "qemu-server/100.conf"), "1")}, "the journal has its line")


@pytest.mark.usefixtures("guest")
def test_packets_are_captured_within_the_units_bounds_for_a_member_of_the_group(tmp_path: Path) -> None:
    there = tmp_path / "packets"
    member = "setpriv --reuid=nobody --regid=nogroup --groups=pvenetd"
    words = "capture vm/100/net0 -c 1 -w - arp or 'icmp6 or vlan 7'"
    capturing = Process("capture", ["sh", "-c", f"exec {member} pvenetctl {words} >{there}"])
    capturing.expect("pvenetd captures")
    run("ip", "link", "set", TAP, "down")
    capturing.wait()
    capturing.stop()
    assert "link-type EN10MB" in run("sh", "-c", f"tcpdump -n -r {there} 2>&1")
    run("ip", "link", "set", TAP, "up")


@pytest.mark.usefixtures("tap")
def test_guest_without_a_configuration_does_not_start() -> None:
    command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "32", "-nodefaults", "-display", "none", "-S"]
    qemu = Process("QEMU", [*command, "-netdev", f"tap,id=net0,ifname=tap999i0,script={LIBEXEC}/qemu-ifup"])
    assert qemu.wait() != 0
    qemu.stop()
    assert not port("tap999i0")


@pytest.mark.usefixtures("guest")
def test_restart_of_the_daemon_leaves_the_guest_alone() -> None:
    before = port(TAP), rules()
    run("systemctl", "restart", SERVICE)
    assert ctl("plan") == ""
    assert (port(TAP), rules()) == before


@pytest.mark.reliability(
    "`kill -9` of the daemon on a Debian host",
    guarantee="systemd starts it again; its guest notices nothing",
)
@pytest.mark.usefixtures("guest")
def test_killed_daemon_is_started_again() -> None:
    before, pid = port(TAP), main_pid()
    ended(pid, signal.SIGKILL)
    assert ctl("plan") == ""
    assert main_pid() not in (0, pid)
    assert port(TAP) == before


@pytest.mark.reliability(
    "the kernel kills the daemon for want of memory (a bound of 20 MiB on its unit)",
    guarantee="systemd starts it again, as often as it takes; its guest notices nothing",
)
@pytest.mark.usefixtures("guest")
def test_daemon_that_is_killed_for_memory_is_started_again() -> None:
    before, pid = port(TAP), main_pid()
    follower = journal()
    run("systemctl", "set-property", "--runtime", SERVICE, "MemoryMax=20M")
    follower.expect("oom-kill")
    follower.stop()
    run("systemctl", "set-property", "--runtime", SERVICE, "MemoryMax=infinity")
    assert ctl("plan") == ""  # waits for the next daemon
    assert main_pid() not in (0, pid)
    assert port(TAP) == before


@pytest.mark.usefixtures("guest")
def test_a_guests_file_and_its_monitor_are_followed_within_the_units_bounds() -> None:
    settings, config = CONFIG / "pvenetd.toml", CONFIG / "qemu-server/100.conf"
    before = config.read_text()
    settings.write_text(f'qmp = "{MONITOR.with_stem("*")}"\n')
    run("systemctl", "restart", SERVICE)
    try:
        config.write_text(before.replace("tag=20", "tag=30"))
        until(lambda: pvid() == 30, "the file is followed")
        ctl("vm", "set", "100", f"net0={before.strip().removeprefix('net0: ')}")
        assert pvid() == 20
        assert config.read_text() == before
        until(lambda: "connected" in ctl("events"), "the monitor is followed")
        ctl("vm", "set", "100", f"net0={before.strip().removeprefix('net0: ')},link_down=1")
        until(lambda: "what=link nic=net0 up=0" in ctl("events"), "the cable is pulled")
        assert ctl("hook", "pve", "100", "pre-start") == "nothing to do\n"
    finally:
        config.write_text(before)
        settings.unlink()
        run("systemctl", "restart", SERVICE)


@pytest.mark.usefixtures("guest")
def test_the_firewall_is_edited_within_the_units_bounds() -> None:
    file = CONFIG / "firewall/100.fw"
    before = file.read_text()
    file.chmod(0o640)
    ctl("firewall", "rule", "add", "vm/100", "type=in", "action=ACCEPT", "proto=tcp", "dport=4242")
    assert "4242" in rules()
    ctl("firewall", "group", "create", "web")
    ctl("firewall", "rule", "set", "vm/100", "0", "type=group", "action=web", "--delete", "proto", "--delete", "dport")
    ctl("firewall", "group", "set", "web", "rename=www")
    assert "GROUP www" in file.read_text()
    ctl("firewall", "rule", "delete", "vm/100", "0")
    ctl("firewall", "group", "delete", "www")
    assert (file.read_text(), file.stat().st_mode & 0o777) == (before, 0o640)
    assert "4242" not in rules()


def pvid() -> int:
    """Return the VLAN of the guest's untagged frames."""
    (vlans,) = (one["vlans"] for one in show("bridge", "-j", "vlan") if one["ifname"] == TAP)
    return next(int(vlan["vlan"]) for vlan in vlans if "PVID" in vlan["flags"])


@pytest.mark.usefixtures("guest")
def test_chains_stay_while_the_daemon_is_down() -> None:
    before = port(TAP), rules()
    with Flow() as flow:
        run("systemctl", "stop", SOCKET, SERVICE)
        assert (port(TAP), rules()) == before
        run("systemctl", "start", SOCKET, SERVICE)
        assert ctl("plan") == ""
        assert flow.lost() == set()
    assert (port(TAP), rules()) == before


@pytest.mark.parametrize(("missing", "held"), [("", True), ("CAP_NET_RAW", False)])
@pytest.mark.usefixtures("tap")
def test_without_net_raw_nobody_is_asked_whether_he_still_answers(missing: str, held: bool) -> None:
    settings, staged = CONFIG / "pvenetd.toml", INTERFACES.with_suffix(".new")
    settings.write_text(f'[apply]\nprobes = ["{OUTSIDE}"]\nprobe_seconds = 1\n')
    with Flow(), bound(f"CapabilityBoundingSet=~{missing}" if missing else ""):
        before = INTERFACES.read_text()
        staged.write_text(before.replace("bridge-ports eno1", "bridge-ports none", 1))
        done = subprocess.run([CTL, "apply", "--yes"], capture_output=True, text=True)
        assert (f"{OUTSIDE}" in done.stderr and "rolled back" in done.stderr) == held, done.stderr
        if not done.returncode:
            ctl("rollback")
        assert INTERFACES.read_text() == before
        staged.unlink(missing_ok=True)
    settings.unlink()
    run("systemctl", "restart", SERVICE)
    assert ctl("plan") == ""


def test_without_net_admin_the_daemon_does_not_start() -> None:
    with pytest.raises(AssertionError, match=r"pvenetd\.service failed"), bound("CapabilityBoundingSet=~CAP_NET_ADMIN"):
        pass
    run("systemctl", "restart", SERVICE)


@contextmanager
def bound(setting: str) -> Iterator[None]:
    """Have the daemon run with another setting of its unit for a while."""
    DROP_IN.parent.mkdir(exist_ok=True)
    DROP_IN.write_text(f"[Service]\n{setting}\n")
    run("systemctl", "daemon-reload")
    try:
        run("systemctl", "restart", SERVICE)
        yield
    finally:
        DROP_IN.unlink()
        run("systemctl", "daemon-reload")


@pytest.mark.reliability(
    "the daemon hangs (SIGSTOP) while an apply waits to be confirmed",
    guarantee="the watchdog starts another, which undoes the apply; its guest notices nothing",
)
@pytest.mark.usefixtures("guest")
def test_hanging_daemon_is_started_again_by_the_watchdog() -> None:
    before, text = port(TAP), INTERFACES.read_text()
    with bound("WatchdogSec=4"):
        INTERFACES.with_suffix(".new").write_text(text.replace("192.0.2.2/24", "192.0.2.3/24"))
        ctl("apply", "--confirm", "3600")
        assert asked("status")["interfaces"]["state"] == "waiting for confirmation"
        follower, pid = journal(), main_pid()
        os.kill(pid, signal.SIGSTOP)
        follower.expect("Watchdog timeout")
        ctl("interfaces", "revert")  # waits for the next daemon; the edit waits again
        follower.stop()
        assert (INTERFACES.read_text(), ctl("plan")) == (text, "")
        assert main_pid() not in (0, pid)
        assert int(unit(SERVICE, "NRestarts")["NRestarts"]) >= 1
        assert port(TAP) == before


@pytest.mark.reliability(
    "an upgrade while a guest runs", guarantee="its port and its rules are as before, no packet is lost"
)
@pytest.mark.usefixtures("guest")
def test_upgrade_leaves_the_guest_alone(tmp_path: Path) -> None:
    before, pid, old = (port(TAP), rules()), main_pid(), version()
    with Flow() as flow:
        apt("install", newer(tmp_path))
        assert ctl("plan") == ""
        assert flow.lost() == set()
    assert version() != old
    assert main_pid() not in (0, pid)
    assert (port(TAP), rules()) == before


@pytest.mark.reliability("`kill -9` of a guest's QEMU", guarantee="nothing is left of it")
def test_of_a_killed_guest_nothing_is_left(guest: Process) -> None:
    guest.signal(signal.SIGKILL)
    guest.wait()
    assert not port(TAP)
    assert asked("vm", "show", "100")["nics"][0]["plugged"] == 0
    assert ctl("plan") == ""


@pytest.mark.reliability(
    "another program deletes a guest's bridge, and makes it anew",
    guarantee="the guest is plugged again",
)
@pytest.mark.usefixtures("guest")
def test_guest_comes_back_when_ifupdown_makes_its_bridge_anew() -> None:
    run("ifdown", "vmbr0")
    assert not port("vmbr0")
    run("ifup", "vmbr0")
    assert port(TAP)["master"] == "vmbr0"
    assert {"UP", "LOWER_UP"} <= set(port(TAP)["flags"])


@pytest.mark.usefixtures("tap")
def test_of_a_guest_without_configuration_no_rules_are_left() -> None:
    assert "vm:100" in rules()
    (CONFIG / "qemu-server/100.conf").unlink()
    ctl("reconcile")
    assert "vm:100" not in rules()
    assert TAP not in rules()
