"""Files are whole or not there, and the journal gives back what it was given."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pvenetd.drivers.files import Files, Journal
from pvenetd.journal import content, versions

NAME = "etc/network/interfaces"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_what_is_written_is_read(files: Files) -> None:
    assert files.read(NAME) is None
    files.write(NAME, b"\xff\0 anything")
    assert files.read(f"/{NAME}") == b"\xff\0 anything"
    files.remove(NAME)
    files.remove(NAME)
    assert files.read(NAME) is None


def test_a_file_keeps_its_mode_and_a_secret_one_is_roots(files: Files) -> None:
    files.write(NAME, b"1")
    files.path(NAME).chmod(0o640)
    files.write(NAME, b"2")
    assert stat.S_IMODE(files.path(NAME).stat().st_mode) == 0o640
    files.write_json("var/lib/pvenetd/x.json", {"a": [1]})
    assert stat.S_IMODE(files.path("var/lib/pvenetd/x.json").stat().st_mode) == 0o600
    assert files.read_json("var/lib/pvenetd/x.json") == {"a": [1]}


def test_a_file_keeps_its_owner_and_what_the_umask_would_take(files: Files) -> None:
    files.write(NAME, b"1")
    group = 12345 if os.geteuid() == 0 else os.getegid()
    os.chown(files.path(NAME), -1, group)
    files.path(NAME).chmod(0o664)
    files.write(NAME, b"2")
    about = files.path(NAME).stat()
    assert (about.st_gid, stat.S_IMODE(about.st_mode), files.read(NAME)) == (group, 0o664, b"2")


def test_a_symbolic_link_stays_one(files: Files) -> None:
    files.write("etc/real", b"old")
    files.path("etc/network").mkdir()
    files.path(NAME).symlink_to("../real")
    files.write(NAME, b"new")
    assert files.path(NAME).is_symlink()
    assert files.read("etc/real") == b"new"


def test_nothing_outside_the_root_is_touched(files: Files, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "file"
    outside.write_bytes(b"old")
    files.path("out").symlink_to(outside)
    with pytest.raises(OSError, match="leads out of"):
        files.read("out")
    with pytest.raises(OSError, match="leads out of"):
        files.write("out", b"new")
    assert outside.read_bytes() == b"old"


WRITES: dict[str, Callable[[Files, str], object]] = {
    "write": lambda files, name: files.write(name, b"ours"),
    "write_json": lambda files, name: files.write_json(name, {"ours": 1}),
    "write_secret": lambda files, name: files.write_secret(name, b"ours"),
    "append": lambda files, name: files.append(name, b"ours"),
    "lock": lambda files, name: (release := files.lock(name)) and release(),
}


@pytest.mark.parametrize("name", ["run/pvenetd/made.json", "var/lib/pvenetd/pending.json"])
@pytest.mark.parametrize("way", WRITES)
@pytest.mark.reliability(
    "symbolic links and FIFOs planted where the daemon keeps its own files, locks and logs",
    guarantee="what a link leads to is never written, and nobody waits for a FIFO",
)
def test_no_link_among_our_own_files_is_followed(files: Files, way: str, name: str) -> None:
    victim = files.root / "victim"
    victim.write_bytes(b"as it was")
    victim.chmod(0o644)
    path = files.path(name)
    path.parent.mkdir(parents=True)
    path.symlink_to(victim)
    with suppress(OSError):
        WRITES[way](files, name)
    assert (victim.read_bytes(), stat.S_IMODE(victim.stat().st_mode)) == (b"as it was", 0o644)
    path.unlink()
    os.mkfifo(path)
    with suppress(OSError):
        WRITES[way](files, name)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_only_regular_files_are_read(files: Files, make: object) -> None:
    assert callable(make)
    make(files.path("odd"))
    with pytest.raises(OSError, match=r"not a regular file|directory"):
        files.read("odd")


def test_what_is_there_already_is_not_written_again(files: Files) -> None:
    files.write(NAME, b"same")
    before = files.path(NAME).stat().st_ino
    files.put(NAME, b"same")
    assert files.path(NAME).stat().st_ino == before
    files.put(NAME, None)
    assert not files.path(NAME).exists()


def test_killed_while_writing_the_old_file_is_whole(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever system call is the last one: the name holds the old content or the new."""
    old, new = b"o" * 100_000, b"n" * 200_000
    files.write(NAME, old)
    calls = ("open", "fsync", "close")
    seen = set()
    for number in range(1, 12):
        child = os.fork()
        if not child:
            left = [number]
            for name in calls:
                monkeypatch.setattr(os, name, _dying(getattr(os, name), left))
            files.write(NAME, new)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = files.read(NAME)
        assert found in (old, new)
        seen.add(found == new)
        files.write(NAME, old)
        if not status:
            break
    assert seen == {False, True}


def _dying(real: object, left: list[int]) -> object:
    assert callable(real)

    def call(*arguments: object, **options: object) -> object:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    return call


@pytest.mark.parametrize("data", [None, b"", b"\xff\0 anything"])
def test_a_version_survives_json(data: bytes | None) -> None:
    assert content(versions(data, None)[0]) == data


def test_a_journal_brings_files_there_and_back(files: Files) -> None:
    journal = Journal(files)
    files.write(NAME, b"old")
    files.write(f"{NAME}.new", b"new")
    record = {
        "touched": [["link", "vmbr0"]],
        "back": [],
        "files": {NAME: versions(b"old", b"new"), f"{NAME}.new": versions(b"new", None)},
    }
    journal.begin(record)
    assert (files.read(NAME), files.read(f"{NAME}.new")) == (b"new", None)
    assert Journal(files).pending() == record
    journal.undo(record)
    assert (files.read(NAME), files.read(f"{NAME}.new")) == (b"old", b"new")
    assert journal.pending() is None
    assert journal.previous() is None
    journal.begin(record)
    journal.commit()
    assert journal.pending() is None
    assert journal.previous() == record


def test_of_an_earlier_boot_only_the_files_are_undone(files: Files) -> None:
    files.write(NAME, b"old")
    record = {"touched": [["link", "vmbr0"]], "back": [{"noun": "link"}], "files": {NAME: versions(b"old", b"new")}}
    Journal(files).begin(record)
    kept = files.read_json(Journal.PENDING)
    files.write_json(Journal.PENDING, kept | {"boot": "another"})
    assert Journal(files).pending() == {**record, "touched": [], "back": [], "order": {}}


def test_an_edit_that_came_after_an_apply_survives_its_rollback(files: Files) -> None:
    staged = f"{NAME}.new"
    files.write(NAME, b"old")
    files.write(staged, b"new")
    record = {"touched": [], "back": [], "files": {NAME: versions(b"old", b"new"), staged: versions(b"new", None)}}
    journal = Journal(files)
    journal.begin(record)
    files.write(staged, b"newer")
    journal.undo(record)
    assert (files.read(NAME), files.read(staged)) == (b"old", b"newer")
