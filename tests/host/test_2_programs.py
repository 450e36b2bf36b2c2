"""Programs and commands on a host with systemd: units, outside the daemon's sandbox and its cgroup."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvenetd.drivers.programs import PATH, Programs
from tests.host.machine import unit
from tests.netns import run
from tests.patience import PATIENCE

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]
ENVIRONMENT = {"PATH": PATH}
NAME = "pvenetd-test@eno1"


@pytest.fixture
def programs() -> Iterator[Programs]:
    found = Programs(Path("/"))
    assert found.by_systemd
    yield found
    found.stop(NAME)


def test_a_program_is_a_unit(programs: Programs) -> None:
    programs.start(NAME, ("sleep", "600"), ENVIRONMENT, "a test")
    pid = programs.running(NAME)
    assert unit(f"{NAME}.service", "MainPID")["MainPID"] == str(pid)
    assert f"{NAME}.service" in Path(f"/proc/{pid}/cgroup").read_text()
    programs.start(NAME, ("sleep", "601"), ENVIRONMENT)
    assert programs.running(NAME) not in (None, pid)
    programs.stop(NAME)
    assert programs.running(NAME) is None
    assert unit(f"{NAME}.service", "LoadState")["LoadState"] == "not-found"


def test_a_command_is_a_unit(programs: Programs) -> None:
    done = programs.run(("sh", "-c", "cat; cat /proc/self/cgroup; exit 3"), ENVIRONMENT, seconds=PATIENCE, given=b"a\n")
    assert done.status == 3
    assert done.output.startswith("a\n")
    assert Path(f"/proc/{os.getpid()}/cgroup").read_text() not in done.output
    with pytest.raises(TimeoutError):
        programs.run(("sleep", "600"), ENVIRONMENT, seconds=1)


def test_what_a_command_leaves_running_lives_on(programs: Programs) -> None:
    done = programs.run(("sh", "-c", "sleep 600 & echo $!"), ENVIRONMENT, seconds=PATIENCE)
    run("kill", done.output.strip())


def test_the_daemon_may_do_all_this(programs: Programs) -> None:
    script = "from pathlib import Path; from pvenetd.drivers.programs import Programs; p = Programs(Path('/')); "
    script += f"e = {ENVIRONMENT!r}; p.start({NAME!r}, ('sleep', '600'), e); "
    script += "print(p.run(('sh', '-c', 'touch /etc/pvenetd-test && rm /etc/pvenetd-test'), e, seconds=60).status)"
    shown = run("systemctl", "cat", "pvenetd.service")
    kept = ("CapabilityBoundingSet", "NoNewPrivileges", "Protect", "Private", "Restrict", "System", "Memory", "Lock")
    sandbox = [f"--property={line}" for line in shown.splitlines() if line.startswith(kept)]
    done = run("systemd-run", "--pipe", "--wait", "--quiet", *sandbox, "python3", "-c", script)
    assert done == "0\n"
    assert programs.running(NAME)
