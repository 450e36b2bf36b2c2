"""The package as Debian wants it: lintian has nothing to say, and who builds it again gets the same bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.sandbox.space import CHECKOUT, scratch

DEBIAN = CHECKOUT / "debian"
OLDER = ("newer-standards-version", "package-supports-alternative-init-but-no-init.d-script")
"""Tags of Debian 12's lintian that Debian 13's does not know, or that come of its age."""
ELSEWHERE = {
    "DEB_BUILD_OPTIONS": "parallel=2",
    "HOME": "/nonexistent",
    "LANG": "tr_TR.UTF-8",
    "LC_ALL": "C",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/nowhere",
    "TZ": "Pacific/Kiritimati",
    "USER": "somebody",
}
"""What another builder's environment may have."""


@pytest.fixture(scope="module")
def built() -> Iterator[Path]:
    """A directory with all that a build makes."""
    place = scratch()
    _run(["tests/build-deb", place / "built"], CHECKOUT)
    yield place / "built"
    shutil.rmtree(place)


def test_lintian_has_nothing_to_say(built: Path) -> None:
    (changes,) = built.glob("*.changes")
    said = _run(["lintian", "--allow-root", "--pedantic", "--display-info", changes], built).splitlines()
    assert [line for line in said if not any(f": {tag} " in line for tag in OLDER)] == []


def test_another_builder_gets_the_same_bytes(built: Path, tmp_path: Path) -> None:
    """Another directory, time, time zone, user's name, and a umask that lets nobody else read."""
    (source,) = built.glob("*.dsc")
    tree = tmp_path / "elsewhere" / "tree"
    tree.parent.mkdir()
    _run(["dpkg-source", "--no-check", "-x", source, tree], tmp_path)
    command = ["dpkg-buildpackage", "-us", "-uc", "-b"]
    done = subprocess.run(
        command, cwd=tree, env=ELSEWHERE, umask=0o077, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:]
    packages = {file.name: file.read_bytes() for file in built.glob("*.deb")}
    again = {file.name: file.read_bytes() for file in tree.parent.glob("*.deb")}
    assert {name.partition("_")[0] for name in packages} == {"pvenetd", "pvenetd-ifupdown"}
    assert again.keys() == packages.keys()
    assert [name for name in packages if packages[name] != again[name]] == []


def test_installing_asks_no_question(built: Path, tmp_path: Path) -> None:
    for package in built.glob("*.deb"):
        _run(["dpkg-deb", "--control", package, tmp_path / package.name], built)
        names = {file.name for file in (tmp_path / package.name).iterdir()}
        assert "control" in names
        assert not {"config", "templates"} & names


def test_each_test_of_autopkgtest_is_there() -> None:
    named = re.findall(r"^Tests: (.+)$", (DEBIAN / "tests/control").read_text(), re.MULTILINE)
    files = [DEBIAN / "tests" / name for line in named for name in line.split()]
    assert {file for file in (DEBIAN / "tests").iterdir() if file.name != "control"} == set(files)
    assert all(os.access(file, os.X_OK) for file in files)


def _run(command: Sequence[str | Path], where: Path) -> str:
    """Return what a program prints; fail with what it says."""
    done = subprocess.run(command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{command[0]}: exit status {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout
