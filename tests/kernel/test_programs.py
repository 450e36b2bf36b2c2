"""Programs that live on, and commands that come to an end: real ones."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvenetd.drivers.programs import PATH, Programs, unit_name
from tests.patience import PATIENCE

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("namespaces")]
ENVIRONMENT = {"PATH": PATH}
NAME = "pvenetd-test@eno1"
SLEEP = ("sleep", "600")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    found = Programs(tmp_path)
    yield found
    found.stop(NAME)


def lives(pid: int | None) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


def test_a_program_is_found_again_and_there_is_one_of_it(programs: Programs, tmp_path: Path) -> None:
    assert programs.running(NAME) is None
    programs.start(NAME, SLEEP, ENVIRONMENT)
    first = programs.running(NAME)
    again = Programs(tmp_path)
    assert again.running(NAME) == first is not None
    again.start(NAME, ("sleep", "601"), ENVIRONMENT)
    assert not lives(first)
    assert again.running(NAME) not in (None, first)
    again.stop(NAME)
    assert again.running(NAME) is None


def test_who_has_died_or_has_another_ones_number_does_not_run(programs: Programs, tmp_path: Path) -> None:
    programs.start(NAME, SLEEP, ENVIRONMENT)
    pid = programs.running(NAME)
    assert pid
    os.kill(pid, signal.SIGKILL)
    subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], timeout=PATIENCE)
    assert programs.running(NAME) is None
    mine = Path("/proc/self/stat").read_text().split()
    mine[21] = str(int(mine[21]) - 1)
    (tmp_path / "run/pvenetd/programs" / NAME).write_text(" ".join(mine))
    assert programs.running(NAME) is None


def test_a_program_sees_its_own_root(programs: Programs, tmp_path: Path) -> None:
    script = "echo mine >/etc/seen; echo mine >/var/seen; echo mine >/run/seen; exec sleep 600"
    programs.start(NAME, ("sh", "-c", script), ENVIRONMENT)
    done = programs.run(
        ("sh", "-c", f"until [ -s {tmp_path}/run/seen ]; do sleep 0.1; done"), ENVIRONMENT, seconds=PATIENCE
    )
    assert done.status == 0
    assert [(tmp_path / name / "seen").read_text() for name in ("etc", "var", "run")] == ["mine\n"] * 3
    assert not Path("/etc/seen").exists()


def test_what_is_not_there_is_an_error(programs: Programs) -> None:
    with pytest.raises(FileNotFoundError):
        programs.start(NAME, ("no-such-program",), ENVIRONMENT)


def test_a_command_comes_to_an_end(programs: Programs) -> None:
    done = programs.run(
        ("sh", "-c", "cat; echo $LANG >&2; exit 3"), {**ENVIRONMENT, "LANG": "C"}, seconds=PATIENCE, given=b"a\n"
    )
    assert (done.status, done.output) == (3, "a\nC\n")
    with pytest.raises(TimeoutError):
        programs.run(SLEEP, ENVIRONMENT, seconds=0.1)


def test_what_a_command_leaves_running_keeps_nobody_waiting(programs: Programs) -> None:
    done = programs.run(("sh", "-c", "sleep 600 & echo $!"), ENVIRONMENT, seconds=PATIENCE)
    os.kill(int(done.output), signal.SIGKILL)


def test_names_of_units() -> None:
    assert unit_name("pvenetd-dhcp", "eno1.5") == "pvenetd-dhcp@eno1.5"
    assert unit_name("pvenetd-dhcp", "a b/é") == "pvenetd-dhcp@a\\x20b\\x2f\\xc3\\xa9"
