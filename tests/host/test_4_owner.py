"""pvenetd in the place of ifupdown2: taken over without a change, up before the network is online, come what may."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conftest import INTERFACES, TEXT, Installed
from tests.host.flow import Flow
from tests.host.machine import SERVICE, Network, apt, asked, ctl, journal, main_pid, network, package, port, unit
from tests.host.modules import TUNNEL, V4, hidden
from tests.netns import run, show

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("owned")]

SETTINGS = Path("/etc/pvenetd/pvenetd.toml")
SCRIPT = Path("/etc/network/if-up.d/zz-told")
TOLD = Path("/run/told")
RAN = Path("/run/ran")
SWITCH: list[str] = []
"""What status said that taking over would change."""
PROBE = Path("/run/systemd/system/probe.service")
COMMANDS = """\
	post-up touch /etc/made-by-a-command
	post-up systemctl start probe.service
	post-down rm /etc/made-by-a-command
"""


@pytest.fixture(scope="module")
def owned(before: Network) -> Iterator[Installed]:
    """The host's network as pvenetd has applied it beside ifupdown2, and after it has taken its place."""
    del before
    PROBE.write_text(
        "[Unit]\nAfter=network-online.target\nWants=network-online.target\n"
        f"[Service]\nType=oneshot\nExecStart=/bin/sh -c 'ip -o address show vmbr0 >{TOLD}.online'\n"
    )
    run("systemctl", "daemon-reload")
    apt("install", package().resolve())
    # ifupdown2 has run a command, and knows of it.
    INTERFACES.write_text(f"{TEXT}\tpost-up echo again >>{RAN}\n")
    run("ifreload", "-a")
    ctl("apply")
    run("systemctl", "stop", "pvenetd.socket", SERVICE)
    run("rm", "/run/pvenetd/hooks.jsonl")  # as where nothing was ever applied by pvenetd
    run("systemctl", "start", "pvenetd.socket", SERVICE)
    RAN.unlink()
    SWITCH.extend(asked("status")["interfaces"]["switch"])
    as_it_was = network()
    with Flow() as flow:
        apt("install", next(package().parent.glob("pvenetd-ifupdown_*.deb")).resolve())
        lost = flow.lost()
    yield Installed(as_it_was, network(), lost)
    SCRIPT.unlink(missing_ok=True)


def addresses(name: str) -> set[str]:
    """Return the IPv4 addresses of a link, none where it is not there."""
    links = [one for one in show("ip", "-4", "-j", "address") if one["ifname"] == name]
    return {it["local"] for one in links for it in one["addr_info"]}


def boot() -> None:
    """Do what a boot does, short of one: the interfaces are gone, and with them what was run since the last."""
    run("systemctl", "stop", "pvenetd.socket", SERVICE, "network-online.target")
    run("ip", "link", "delete", "vmbr0")
    run("ip", "link", "set", "eno1", "down")
    run("rm", "-rf", "/run/pvenetd/hooks.jsonl", "/run/network", TOLD, f"{TOLD}.online")
    run("systemctl", "start", "probe.service")


@pytest.mark.parametrize("what", ["links", "addresses", "routes", "routes6", "rules", "vlans", "rulesets"])
def test_taking_over_changes_nothing(owned: Installed, what: str) -> None:
    assert owned.after[what] == owned.before[what]


@pytest.mark.reliability("pvenetd takes ifupdown2's place", guarantee="where the plan is empty no packet is lost")
def test_taking_over_is_foretold_and_loses_no_packet(owned: Installed) -> None:
    assert SWITCH == []
    assert owned.lost == set()
    assert run("dpkg", "--verify", "pvenetd", "pvenetd-ifupdown") == ""


def test_taking_over_runs_no_command_that_ifupdown2_has_run() -> None:
    assert not RAN.exists()
    INTERFACES.write_text(TEXT)
    run("ifreload", "-a")


def test_it_is_the_networking_service_and_the_network_waits_for_it() -> None:
    assert unit("networking.service", "Id") == {"Id": SERVICE}
    assert unit(SERVICE, "ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
    assert {"network.target", "network-online.target"} <= set(unit(SERVICE, "Before")["Before"].split())
    run("systemd-analyze", "verify", "--man=no", SERVICE)
    assert asked("status")["interfaces"]["mode"] == "owner"


@pytest.mark.reliability(
    "a shutdown, where ifupdown2 has left that shutdowns want networking.service",
    guarantee="it starts nothing, so every unit is stopped",
)
def test_no_shutdown_starts_it() -> None:
    assert SERVICE not in unit("shutdown.target", "Wants")["Wants"].split()


def test_at_boot_the_host_is_up_before_it_is_online_and_scripts_are_run() -> None:
    SCRIPT.write_text(f'#!/bin/sh\necho "$IFACE $ADDRFAM $METHOD $MODE $PHASE" >>{TOLD}\n')
    SCRIPT.chmod(0o755)
    boot()
    assert "192.0.2.2/24" in Path(f"{TOLD}.online").read_text()
    told = TOLD.read_text().splitlines()
    assert {"vmbr0 inet static start post-up", "eno1 inet manual start post-up"} < set(told)
    assert told[-1] == "--all meta none start post-up"
    assert ctl("plan") == ""


@pytest.mark.reliability(
    "a boot, where udev gives new devices MACs of its own (MACAddressPolicy=persistent)",
    guarantee="a bridge has its port's MAC, so a provider that knows that one lets the host through",
)
def test_a_bridge_has_its_ports_mac_after_a_boot() -> None:
    boot()
    run("udevadm", "settle", "--timeout=120")
    assert port("vmbr0")["address"] == port("eno1")["address"]


@pytest.mark.reliability("a boot while an edit waits", guarantee="the host comes up as it was; the edit waits still")
def test_a_staged_edit_does_not_go_live_by_a_boot() -> None:
    staged = INTERFACES.with_suffix(".new")
    staged.write_text(TEXT.replace("192.0.2.2/24", "192.0.2.3/24"))
    boot()
    assert addresses("vmbr0") == {"192.0.2.2"}
    assert staged.exists()
    ctl("interfaces", "revert")


@pytest.mark.reliability(
    "a boot with a broken interfaces file",
    guarantee="the last good configuration is applied, and that is said",
)
def test_the_last_good_configuration_is_applied_where_the_file_is_broken() -> None:
    INTERFACES.write_text(TEXT.replace("192.0.2.2/24", "192.0.2.300/24"))
    boot()
    assert addresses("vmbr0") == {"192.0.2.2"}
    assert "the last good one is applied" in asked("status")["errors"]["boot"]
    INTERFACES.write_text(TEXT)
    run("systemctl", "restart", "networking.service")
    assert asked("status")["errors"] == {}


@pytest.mark.reliability(
    "a boot with a broken pvenetd.toml",
    guarantee="the interfaces come up, by the last settings that were good, and that is said",
)
def test_broken_settings_keep_no_host_off_the_net() -> None:
    SETTINGS.write_text("[dhcp]\nclient = 'dhcpcd'\nclients = 1\n")
    boot()
    assert addresses("vmbr0") == {"192.0.2.2"}
    assert "pvenetd.toml:3: error unknown-value: dhcp.clients: " in asked("status")["errors"]["settings"]
    SETTINGS.unlink()
    run("systemctl", "restart", SERVICE)
    assert asked("status")["errors"] == {}


@pytest.mark.reliability(
    "a boot with a kernel module missing",
    guarantee="all but what needs it comes up; it is told by its name, and comes once the module is there",
)
def test_a_boot_without_a_module_brings_up_all_else() -> None:
    INTERFACES.write_text(TEXT + TUNNEL.format("gre", *V4))
    with hidden():
        boot()
        assert "192.0.2.2/24" in Path(f"{TOLD}.online").read_text()
        assert "the module ip_gre is not loaded" in asked("status")["errors"]["interfaces"]
    run("ifreload", "-a")
    assert addresses("tun0") == {"203.0.113.1"}
    assert asked("status")["errors"] == {}
    INTERFACES.write_text(TEXT)
    run("ifreload", "-a")


def test_ifquery_tells_by_its_exit_status_what_ifreload_mends() -> None:
    run("ifquery", "-a", "-c")
    run("ip", "address", "delete", "192.0.2.2/24", "dev", "vmbr0")
    assert subprocess.run(["ifquery", "--check", "vmbr0"], capture_output=True).returncode == 1
    run("ifreload", "-a")
    run("ifquery", "--check", "vmbr0", "-o", "json")
    assert run("ifquery", "--list").split() == ["lo", "vmbr0"]


def test_commands_may_do_what_the_daemon_may_not() -> None:
    INTERFACES.write_text(TEXT + COMMANDS)
    run("systemctl", "reload", "networking.service")
    assert Path("/etc/made-by-a-command").exists()
    INTERFACES.write_text(TEXT)
    run("ifreload", "-a")
    assert not Path("/etc/made-by-a-command").exists()


def test_a_device_that_turns_up_is_configured() -> None:
    late = "allow-hotplug usb0\niface usb0 inet static\n\taddress 198.51.100.1/24\n"
    INTERFACES.write_text(f"{TEXT}\n{late}auto usb0.5\niface usb0.5 inet static\n\taddress 203.0.113.1/24\n")
    run("ifreload", "-a")
    for _ in range(2):
        follower = journal()
        run("ip", "link", "add", "fresh0", "type", "dummy")
        run("ip", "link", "set", "fresh0", "name", "usb0")
        follower.expect("address usb0.5")
        follower.stop()
        run("ifquery", "--check", "usb0", "usb0.5")
        run("ip", "link", "delete", "usb0")
    INTERFACES.write_text(TEXT)
    run("ifreload", "-a")


def test_ifdown_and_ifup() -> None:
    run("ifdown", "vmbr0")
    assert not addresses("vmbr0")
    assert run("ifup", "-n", "vmbr0").startswith("+ ")
    run("ifup", "vmbr0")
    assert addresses("vmbr0") == {"192.0.2.2"}
    assert subprocess.run(["ifup", "eth99"], capture_output=True).returncode == 1


def test_its_removal_leaves_the_network_running() -> None:
    before = network()
    assert "nothing brings up the interfaces" in apt("remove", "pvenetd-ifupdown")
    assert asked("status")["interfaces"]["mode"] == "guest"
    assert network() == before


@pytest.mark.reliability(
    "`kill -9` of dpkg while it installs pvenetd-ifupdown",
    guarantee="the network runs on; installed again, one daemon runs and owns the interfaces",
)
def test_an_installation_that_was_killed_is_done_again(tmp_path: Path) -> None:
    owner = next(package().parent.glob("pvenetd-ifupdown_*.deb")).resolve()
    tree, killed = tmp_path / "tree", tmp_path / "killed.deb"
    run("dpkg-deb", "--raw-extract", str(owner), str(tree))
    (tree / "DEBIAN/preinst").write_text("#!/bin/sh\nkill -9 $PPID\n")
    run("dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(killed))
    before = network()
    assert subprocess.run(["dpkg", "-i", str(killed)], capture_output=True).returncode == -signal.SIGKILL
    run("dpkg", "--configure", "-a")
    run("dpkg", "-i", str(owner))  # apt takes what is half-installed for installed
    assert run("pgrep", "-f", "/usr/sbin/pvenetd").split() == [str(main_pid())]
    assert asked("status")["interfaces"]["mode"] == "owner"
    assert network() == before
