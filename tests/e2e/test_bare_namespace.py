"""A network namespace in which nothing was ever up, and no daemon: what pvenetctl does there by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.firewall import have_bridge_netfilter
from tests.sandbox.space import CHECKOUT

INTERFACES = "auto vmbr1\niface vmbr1 inet static\n\taddress 10.10.10.1/24\n\tbridge-ports none\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "etc/network/interfaces": INTERFACES,
        "etc/pvenetd/qemu-server/100.conf": "net0: virtio=02:00:00:00:01:00,bridge=vmbr1,firewall=1\n",
        "etc/pvenetd/firewall/cluster.fw": "[OPTIONS]\nenable: 1\n",
        "etc/pvenetd/firewall/100.fw": "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 22\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.netns
def test_plan_and_firewall_apply_need_neither_daemon_nor_links(root: Path) -> None:
    ctl = f"{sys.executable} -m pvenetd.ctl.main --root {root}"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-ec", f"{ctl} plan; {ctl} firewall apply; {ctl} firewall apply; nft list ruleset"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stderr
    assert "+ link vmbr1 bridge" in done.stdout
    assert done.stdout.count("+ chains vm:100") <= 1
    assert "chain vm-100-in" in done.stdout
    assert '"tap100i0" : jump vm-100-in' in done.stdout


@pytest.mark.netns
def test_the_firewall_needs_no_interfaces_file(root: Path) -> None:
    """… to be loaded, compiled and asked; what goes wrong with the guests is told all at once, with its line."""
    (root / "etc/network/interfaces").unlink()
    (root / "etc/pvenetd/qemu-server/101.conf").write_text(
        "net0: virtio=02:00:00:00:01:01,bridge=vmbr1,firewall=maybe\n"
    )
    (root / "etc/pvenetd/firewall/101.fw").write_text("[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n")
    ctl = f"{sys.executable} -m pvenetd.ctl.main --root {root}"
    asked = f"{ctl} firewall simulate --from outside --proto tcp --dport 22 --to"
    done = subprocess.run(
        [
            "unshare",
            "-n",
            "sh",
            "-ec",
            f"{ctl} firewall compile; {ctl} nat list; {asked} vm/100; ! {ctl} firewall apply",
        ],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stderr
    assert "ACCEPT" in done.stdout
    assert "chain vm-100-in" in done.stdout
    assert 'oifname "tap101i0" counter drop comment "broken line"' in done.stdout
    assert "/etc/pvenetd/qemu-server/101.conf:1: error unknown-value: firewall: 'maybe'" in done.stderr


@pytest.mark.netns
def test_what_the_backend_cannot_do_is_said_with_its_line(root: Path) -> None:
    settings = '# here\n[firewall]\nbackend = "iptables"\ncut_established = true\n'
    (root / "etc/pvenetd/pvenetd.toml").write_text(settings)
    (root / "etc/pvenetd/firewall/100.fw").write_text("[OPTIONS]\nenable: 1\nipfilter_learn: 1\n")
    have_bridge_netfilter()
    ctl = f"{sys.executable} -m pvenetd.ctl.main --root {root} firewall"
    command = ["unshare", "-n", "sh", "-ec", f"{ctl} check; {ctl} apply"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("/etc/pvenetd/pvenetd.toml:4: warning no-effect: cut_established: the iptables") == 2
    assert done.stdout.count("/etc/pvenetd/firewall/100.fw:3: warning no-effect: ipfilter_learn: the iptables") == 2
