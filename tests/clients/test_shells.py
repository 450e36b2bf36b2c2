"""What the shells that people use offer behind ``pvenetctl``: typed into the shells themselves."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """\
#!/bin/sh
[ "$1" = complete ] && exec {python} -m pvenetd.ctl.main "$@"
echo "<ran:$*>"
"""
TYPED = [
    ("vm sh\t10\t", "vm show 100"),
    ("vm plug 100 ne\t", "vm plug 100 net0"),
    ("--js\tstat\t", "--json status"),
    ("capture vm/1\t", "capture vm/100/net0"),
    ("ports --wat\t", "ports --watch"),
    ("firewall simulate --from outs\t--to vm/\t", "firewall simulate --from outside --to vm/100/net0"),
    ("interfaces show l\t", "interfaces show lo"),
    ("interfaces create vmbr1 bridge-age\t120", "interfaces create vmbr1 bridge-ageing=120"),
    ("interfaces check ./a-fi\t", "interfaces check ./a-file"),
]
"""What is typed, and what is run then."""


@pytest.fixture
def here(tmp_path: Path) -> dict[str, str]:
    """An environment whose ``pvenetctl`` says what it is told to do."""
    guests = tmp_path / "root/etc/pvenetd/qemu-server"
    guests.mkdir(parents=True)
    (guests / "100.conf").write_text("net0: virtio=02:00:5E:00:53:01,bridge=vmbr0\n")
    (tmp_path / "a-file").touch()
    program = tmp_path / "bin/pvenetctl"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    functions = tmp_path / "functions"
    functions.mkdir()
    shutil.copy(ROOT / "man/pvenetctl.zsh", functions / "_pvenetctl")
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PVENETD_ROOT": str(tmp_path / "root"),
        "PYTHONPATH": str(ROOT),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }


def bash(here: dict[str, str], typed: list[str]) -> list[str]:
    return at_a_terminal(here, ["bash", "--norc", "--noprofile", "-i"], f". {ROOT}/man/pvenetctl.bash", typed)


def zsh(here: dict[str, str], typed: list[str]) -> list[str]:
    prepare = f"fpath=({here['HOME']}/functions $fpath); autoload -Uz compinit; compinit -D -u"
    return at_a_terminal(here, ["zsh", "-f", "-i"], prepare, typed)


def at_a_terminal(here: dict[str, str], shell: list[str], prepare: str, typed: list[str]) -> list[str]:
    """Type lines at a terminal of *shell*'s own; return what was run."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(here["HOME"])
        os.execvpe(shell[0], shell, here)
    try:
        os.write(terminal, f"{prepare}; echo '<re''ady>'\n".encode())
        told = _until(terminal, "<ready>", 1)
        for number, line in enumerate(typed, 1):
            *parts, last = line.split("\t")
            for part in parts:  # what is typed on, a shell may lose while it completes
                os.write(terminal, f"pvenetctl {part}\t".encode() if part is parts[0] else f"{part}\t".encode())
            os.write(terminal, f"{last}\n".encode())
            told += _until(terminal, "<ran:", number - told.count("<ran:"))
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)
    return [one.partition(">")[0].rstrip() for one in told.split("<ran:")[1:]]


def _until(terminal: int, words: str, times: int) -> str:
    """Return what the terminal shows until *words* have come so often, and the line they are in is over."""
    told, deadline = "", time.monotonic() + PATIENCE
    while told.count(words) < times or ">" not in told.rpartition(words)[2] + (">" if words[-1] == ">" else ""):
        assert select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0], told
        told += os.read(terminal, 1 << 16).decode(errors="replace")
    return told


def fish(here: dict[str, str], typed: list[str]) -> list[str]:
    """Return what fish makes of lines: it tells by itself what it would offer."""
    return [_by_fish(here, line) for line in typed]


def _by_fish(here: dict[str, str], line: str) -> str:
    *parts, last = line.split("\t")
    found = ""
    for part in parts:
        code = f"source {ROOT}/man/pvenetctl.fish; complete --do-complete $argv[1]"
        command = ["fish", "--no-config", "-c", code, f"pvenetctl {found}{part}"]
        offered = subprocess.run(command, env=here, cwd=here["HOME"], capture_output=True, text=True, check=True).stdout
        words = f"{found}{part}".split(" ")
        (only,) = (one.partition("\t")[0] for one in offered.splitlines())
        found = " ".join([*words[:-1], only]) + ("" if only.endswith("=") else " ")
    return (found + last).rstrip()


@pytest.mark.parametrize("shell", [bash, zsh, fish])
def test_a_shell_completes(shell: Callable[[dict[str, str], list[str]], list[str]], here: dict[str, str]) -> None:
    assert shell(here, [line for line, _ in TYPED]) == [ran for _, ran in TYPED]
