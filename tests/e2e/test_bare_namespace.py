"""A network namespace in which nothing was ever up, and no daemon: what pvenetctl does there by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
