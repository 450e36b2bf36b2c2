"""The linters, as tests: what they say is what fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

PLACES_OF_SCRIPTS = (".ci", "debian", "hooks", "ifupdown", "tests")
"""Where programs without a suffix live; their first line tells what they are written in."""


def scripts(*interpreters: str) -> list[str]:
    """Return the scripts whose first line names one of *interpreters*."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PLACES_OF_SCRIPTS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    found = []
    for name in map(Path, filter(None, tracked.decode().split("\0"))):
        if not (ROOT / name).is_file():
            continue
        with (ROOT / name).open("rb") as file:
            first = file.readline(80).decode(errors="replace").split()
        if first and first[0].startswith("#!") and Path(first[-1]).name in interpreters:
            found.append(str(name))
    return found


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check"], id="ruff"),
        pytest.param(["ruff", "format", "--check"], id="format"),
    ],
)
def test_python_style(command: list[str]) -> None:
    run(*command, ".", *(name for name in scripts("python3") if not name.endswith(".py")))


def test_types() -> None:
    run("mypy", "--strict")


def test_imports_follow_the_table() -> None:
    run("lint-imports", "--no-cache")


def test_pvenetctl_starts_without_the_large_packages() -> None:
    large = ("aiohttp", "asyncio", "pydantic", "pyroute2", "rich")
    modules = "sys, pvenetd.ctl.main, pvenetd.ctl.commands.every"
    run("python", "-c", f"import {modules}; sys.exit(' '.join(set({large}) & set(sys.modules)) or 0)")


def test_shell_scripts() -> None:
    names = scripts("sh", "bash")
    assert "tests/lab/guest-init" in names
    run("/usr/bin/shellcheck", *names)


def run(tool: str, *arguments: str) -> None:
    """Run a linter of the environment (or by its path) and fail with what it says."""
    result = subprocess.run([BIN / tool, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode:
        pytest.fail(result.stdout.decode(errors="replace"), pytrace=False)
