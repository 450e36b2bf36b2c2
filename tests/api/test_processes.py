"""pvenetd and pvenetctl as programs, on the real kernel, in a network namespace of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.server import GUEST, INTERFACES
from tests.netns import fresh, run, show

pytestmark = pytest.mark.netns

HERE = Path(__file__).parent.parent.parent
PVENETD = (sys.executable, "-m", "pvenetd")
PVENETCTL = (sys.executable, "-m", "pvenetd.ctl.main")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A host with a cable in eth0 and a guest, whose namespace this is."""
    for name, text in (
        ("etc/network/interfaces", INTERFACES),
        ("etc/pvenetd/qemu-server/100.conf", GUEST),
        ("etc/pvenetd/firewall/cluster.fw", "[OPTIONS]\nenable: 1\n"),
        ("etc/pvenetd/firewall/100.fw", "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 22\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with fresh() as namespaces:
        namespaces.cable("eth0")
        yield tmp_path


def ctl(root: Path, words: str, status: int = 0) -> str:
    """Return what a command prints, by way of the environment variable instead of the option."""
    done = subprocess.run(
        [*PVENETCTL, *words.split()],
        cwd=HERE,
        env={**os.environ, "PVENETD_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


@contextmanager
def daemon(root: Path, *before: str, keep: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """Run pvenetd, by way of the program *before* it, as long as the context lasts."""
    words = [*before, *PVENETD, "--root", str(root)]
    with subprocess.Popen(words, cwd=HERE, stderr=subprocess.PIPE, text=True, pass_fds=keep) as process:
        assert process.stderr
        try:
            assert any("serving" in line for line in process.stderr)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait() == 0


def link(name: str) -> dict[str, Any]:
    return next((one for one in show("ip", "-j", "link") if one["ifname"] == name), {})


def test_a_host_from_its_file_to_a_plugged_guest(root: Path) -> None:
    with daemon(root) as process:
        assert "+ link vmbr0 bridge" in ctl(root, "plan")
        ctl(root, "apply")
        assert ctl(root, "plan") == ""
        assert link("eth0")["master"] == "vmbr0"
        run("ip", "tuntap", "add", "tap100i0", "mode", "tap")  # as QEMU does before it calls its hook
        ctl(root, "hook qemu-ifup tap100i0")
        assert link("tap100i0")["master"] == "vmbr0"
        assert "filtered  qemu" in ctl(root, "vm list")
        assert "→ guest 100 web (net0, filtered)" in ctl(root, "topology")
        second = subprocess.run([*PVENETD, "--root", root], cwd=HERE, capture_output=True, text=True)
        assert (second.returncode, "another pvenetd serves" in second.stderr) == (1, True)
        ctl(root, "hook qemu-ifdown tap100i0")
        assert "master" not in link("tap100i0")
        process.kill()
        process.wait()
        assert "pvenetd is not running" in ctl(root, "status", 1)
        assert ctl(root, "hook qemu-ifdown tap100i0") == ""
        assert "not running" in ctl(root, "hook qemu-ifup tap100i0", 1)
        process.returncode = 0
    with daemon(root):
        assert "configuration  in sync" in ctl(root, "status")


def test_without_a_daemon(root: Path) -> None:
    assert "+ link vmbr0 bridge" in ctl(root, "plan")
    before = run("ip", "-d", "address")
    assert json.loads(ctl(root, "interfaces check --json")) == {"problems": []}
    assert "absent" in ctl(root, "interfaces list")
    assert run("ip", "-d", "address") == before
    assert not run("nft", "list", "ruleset")
    assert "loaded: base, groups, guard, host, vm:100" in ctl(root, "firewall apply")
    assert "tap100i0" in run("nft", "list", "table", "bridge", "pvenetd")
    assert run("ip", "-d", "address") == before
    text = ctl(root, "firewall compile --vmid 100")
    (root / "rules").write_text(text)
    run("nft", "-f", str(root / "rules"))


def test_who_is_not_root_may_check_files_and_nothing_else(root: Path) -> None:
    def refused(words: str) -> str:
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run([*nobody, *PVENETCTL, *words.split()], cwd=HERE, capture_output=True, text=True)
        assert done.returncode == 1
        return done.stderr

    with tempfile.TemporaryDirectory() as name:
        there = Path(name)
        shutil.copytree(root, there, dirs_exist_ok=True)
        there.chmod(0o755)
        assert refused(f"--root {there} plan") == "only root sees the kernel without asking pvenetd\n"
        (there / "etc/pvenetd/firewall/100.fw").write_text("x\n")
        assert refused(f"--root {there} firewall check") == ""
        with daemon(there):
            assert refused(f"--root {there} status").startswith("may not talk to pvenetd at ")
            assert refused(f"--root {there} firewall check") == ""


def test_the_firewall_loaded_without_a_daemon_leaves_plugged_taps(root: Path) -> None:
    with daemon(root):
        ctl(root, "apply")
        ctl(root, "vm plug 100")
    ctl(root, "firewall apply")
    assert link("tap100i0")["master"] == "vmbr0"


def test_the_socket_that_systemd_opened_is_served_and_left(root: Path) -> None:
    path = root / "run/pvenetd/api.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(str(path))
        given.listen()
        shell = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{given.fileno()}'
        with daemon(root, "bash", "-c", shell, "-", keep=(given.fileno(),)):
            assert "pvenetd" in ctl(root, "status")
        assert path.is_socket()
