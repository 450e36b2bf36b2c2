"""Edits that wait: what is read, how several files change as one, what a killed writer leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvenetd.commands import OWNER
from pvenetd.daemon.staging import ACTIVE, LOCK, SET, STAGED, Staging
from pvenetd.drivers.files import Files
from pvenetd.errors import Conflict
from pvenetd.journal import content

LAN = "etc/network/interfaces.d/lan"
WAN = "etc/network/interfaces.d/wan"
FILES = {
    ACTIVE: b"source interfaces.d/*\n",
    LAN: b"iface lan0 inet manual\n",
    WAN: b"iface wan0 inet manual\n",
}


class KilledError(Exception):
    """The writer is no more."""


class Mortal(Files):
    """Files whose writer is killed before its *left*-th change."""

    left = 1000

    def put(self, name: str, data: bytes | None) -> None:
        if self.left == 0:
            raise KilledError
        self.left -= 1
        super().put(name, data)


@pytest.fixture
def files(tmp_path: Path) -> Mortal:
    found = Mortal(tmp_path)
    for name, data in FILES.items():
        found.write(name, data)
    return found


def names(staging: Staging, *, staged: bool = True) -> list[str]:
    return [iface.name for iface in staging.view(staged=staged).config.ifaces]


def test_a_staged_file_stands_for_its_own_and_is_none_beside_it(files: Mortal) -> None:
    staging = Staging(files)
    staging.put({WAN: b"iface wan1 inet manual\n"})
    assert names(staging) == ["lan0", "wan1"]
    assert names(staging, staged=False) == ["lan0", "wan0"]
    assert staging.view().config.ifaces[1].head.origin == f"/{WAN}.new:1"
    assert staging.view().staged == {WAN: (FILES[WAN], b"iface wan1 inet manual\n")}
    assert {name: [content(one) for one in pair] for name, pair in staging.versions().items()} == {
        WAN: [FILES[WAN], b"iface wan1 inet manual\n"],
        f"{WAN}.new": [b"iface wan1 inet manual\n", None],
    }


@pytest.mark.parametrize(
    ("source", "there", "place"),
    [
        ("source interfaces.d/*", ["usr/sbin/ifup"], f"var/lib/pvenetd/staged/{WAN}.new"),
        ("source /etc/./network/*/[a-z]an*", ["sbin/ifup"], f"var/lib/pvenetd/staged/{WAN}.new"),
        ("source interfaces.d/*", [], f"{WAN}.new"),
        ("source interfaces.d/*", ["usr/sbin/ifup", OWNER], f"{WAN}.new"),
        ("source interfaces.d/lan interfaces.d/wan", ["usr/sbin/ifup"], f"{WAN}.new"),
        ("source-directory interfaces.d", ["usr/sbin/ifup"], f"{WAN}.new"),
    ],
    ids=["matched", "odd", "nobody", "owner", "by-name", "directory"],
)
def test_no_edit_waits_where_another_ifupdown_reads_it(
    files: Mortal, source: str, there: list[str], place: str
) -> None:
    files.write(ACTIVE, f"{source}\n".encode())
    for name in there:
        files.write(name, b"")
    staging = Staging(files)
    assert names(staging) == ["lan0", "wan0"]
    edited = b"source more/*\niface wan1 inet manual\n"
    files.write("etc/network/interfaces.d/more/one", b"iface one inet manual\n")
    after = staging.after({WAN: edited}).config
    staging.put({WAN: edited})
    assert files.read(place) == edited
    assert staging.view().config is after
    assert sorted(names(staging)) == ["lan0", "one", "wan1"]
    assert staging.view().config.by_name["wan1"][0].head.origin == f"/{place}:2"
    assert f"\n+++ /{place}\n" in staging.view().changes()
    assert list(staging.versions()) == [WAN, place]
    assert [staging.view().name(file) for file in staging.view().config.files][-2:] == [
        WAN, "etc/network/interfaces.d/more/one",
    ]  # fmt: skip
    assert staging.revert(staging.view()) == [WAN]
    assert files.read(place) is None


def test_an_edit_moves_where_it_is_safe(files: Mortal) -> None:
    """What waited beside its file when a second ifupdown came is replaced by the next edit."""
    staging = Staging(files)
    staging.put({WAN: b"iface wan1 inet manual\n"})
    files.write("usr/sbin/ifup", b"")
    staging.put({WAN: b"iface wan2 inet manual\n"})
    assert files.read(f"{WAN}.new") is None
    assert names(staging) == ["lan0", "wan2"]
    staging.put({WAN: None})
    assert names(staging) == ["lan0", "wan0"]


def test_a_file_called_new_without_another_is_a_file_of_its_own(files: Mortal) -> None:
    files.write("etc/network/interfaces.d/brand.new", b"iface brand inet manual\n")
    assert names(Staging(files), staged=False) == ["brand", "lan0", "wan0"]


def test_what_did_not_change_is_not_parsed_again(files: Mortal) -> None:
    staging = Staging(files)
    first = staging.view().config
    assert staging.view().config is staging.view(staged=False).config is first
    after = staging.after({WAN: b"iface wan1 inet manual\n"}).config
    assert after.files[0] is first.files[0]
    staging.put({WAN: b"iface wan1 inet manual\n"})
    assert staging.view().config is after
    assert staging.view(staged=False).config is first
    files.write(LAN, b"iface lan3 inet manual\n")
    assert names(staging) == ["lan3", "wan1"]


def test_changes_are_a_diff_of_every_file(files: Mortal) -> None:
    staging = Staging(files)
    assert staging.view().changes() == ""
    staging.put({LAN: b"iface lan1 inet manual", ACTIVE: b"\xff\n" + FILES[ACTIVE]})
    assert staging.view().changes() == (
        f"--- /{ACTIVE}\n+++ /{STAGED}\n@@ -1 +1,2 @@\n+\udcff\n source interfaces.d/*\n"
        f"--- /{LAN}\n+++ /{LAN}.new\n@@ -1 +1 @@\n-iface lan0 inet manual\n+iface lan1 inet manual\n"
        "\\ No newline at end of file\n"
    )


def test_the_digest_tells_every_change_of_a_file_and_of_what_is_staged(files: Mortal) -> None:
    staging = Staging(files)
    seen = [staging.view().digest]
    files.write(LAN, b"iface lan2 inet manual\n")
    seen.append(staging.view().digest)
    staging.put({LAN: FILES[LAN]})
    seen.append(staging.view().digest)
    files.write("etc/network/interfaces.d/more", b"")
    seen.append(staging.view().digest)
    assert len(set(seen)) == len(seen)
    assert staging.view().digest == seen[-1]
    assert len(seen[0]) == 64


@pytest.mark.parametrize("left", range(6))
def test_a_writer_that_is_killed_leaves_the_old_edits_or_the_new(files: Mortal, left: int) -> None:
    staging = Staging(files)
    staging.put({LAN: b"iface old1 inet manual\n", WAN: b"iface old2 inet manual\n"})
    files.left = left
    new = {LAN: b"iface new1 inet manual\n", WAN: None}
    if left < 4:
        with pytest.raises(KilledError):
            staging.put(new)
    else:
        staging.put(new)
    survivor = Staging(Files(files.root))
    assert names(survivor) == (["old1", "old2"] if left == 0 else ["new1", "wan0"])
    survivor.finish()
    assert names(survivor) == (["old1", "old2"] if left == 0 else ["new1", "wan0"])
    assert (files.read(f"{WAN}.new") is None) == (left > 0)


async def test_the_next_writer_removes_what_a_killed_one_left(files: Mortal) -> None:
    left = [".interfaces.new.0123abcd", ".interfaces.0123abcd", "interfaces.d/.lan.new.0123abcd", ".mine"]
    for name in left:
        files.write(f"etc/network/{name}", b"")
    files.write(f"{SET}.x", b"")
    async with Staging(files).editing():
        pass
    assert [name for name in left if files.read(f"etc/network/{name}") is not None] == [".interfaces.0123abcd", ".mine"]


async def test_one_writer_at_a_time(files: Mortal) -> None:
    staging = Staging(files)
    async with staging.editing() as view:
        staging.put({LAN: b"iface lan1 inet manual\n"})
        with pytest.raises(Conflict, match="another edit"):
            async with Staging(Files(files.root)).editing(patience=0.0):
                pass
        assert view.staged == {}
    async with staging.editing() as view:
        assert staging.revert(view) == [LAN]
    assert staging.view().staged == {}
    assert files.path(LOCK).stat().st_mode & 0o777 == 0o600
