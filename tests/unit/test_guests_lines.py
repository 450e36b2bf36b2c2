"""netN lines are changed in a guest's file, and nothing else of it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.guests.lines import drop, put
from pvenetd.guests.qm_conf import parse_conf

CONF = """\
# web server
boot: order=scsi0;net0
net0: virtio=BC:24:11:00:53:01,bridge=vmbr0
  net7 :\te1000,bridge=vmbr0 \r
scsi0: local:100/disk.qcow2

[PENDING]
net0: virtio,bridge=vmbr9

[before]
net2: virtio
"""
NEW = "virtio=BC:24:11:00:53:02,bridge=vmbr1"


@pytest.mark.parametrize(
    ("index", "row", "number"),
    [(0, f"net0: {NEW}", 3), (7, f"  net7 :\t{NEW} \r", 4), (2, f"net2: {NEW}", 4), (31, f"net31: {NEW}\r", 5)],
)
def test_a_nic_has_its_line_and_every_other_stays(index: int, row: str, number: int) -> None:
    changed = put(CONF, index, NEW).split("\n")
    assert changed[number - 1] == row
    rest = CONF.split("\n")
    if index in (0, 7):
        del rest[number - 1]
    assert changed[: number - 1] + changed[number:] == rest
    assert str(parse_conf("\n".join(changed), 100, "c").nics[index]) == NEW


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", f"net0: {NEW}\n"),
        ("name: web", f"name: web\nnet0: {NEW}"),
        ("name: web\n", f"name: web\nnet0: {NEW}\n"),
        ("name: web\r\n\r\n[s]\r\n", f"name: web\r\nnet0: {NEW}\r\n\r\n[s]\r\n"),
        ("[s]\nnet0: virtio\n", f"net0: {NEW}\n[s]\nnet0: virtio\n"),
        ("\n\n", f"net0: {NEW}\n\n\n"),
        ("net1: virtio\n", f"net0: {NEW}\nnet1: virtio\n"),
    ],
)
def test_the_first_nic_stands_before_the_sections(text: str, expected: str) -> None:
    assert put(text, 0, NEW) == expected
    assert drop(expected, 0) == text


def test_all_lines_of_a_nic_go_with_it_those_in_sections_apart() -> None:
    assert drop("net0: virtio\na: 1\nnet0: e1000\n[s]\nnet0: virtio\n", 0) == "a: 1\n[s]\nnet0: virtio\n"
    assert drop(CONF, 3) == CONF


ROWS = st.sampled_from(
    ["", "net0: virtio", "net1: a=b,c", "\tnet10 : x \r", "net00: y", "#net2: z", "[a]", " [b]\r", "name: \udcff", "\r"]
)
TEXTS = st.one_of(
    st.lists(ROWS).map("\n".join), st.text(), st.binary().map(lambda data: data.decode(errors="surrogateescape"))
)


@given(TEXTS, st.integers(0, 31))
def test_what_was_set_and_is_unset_leaves_the_same_bytes(text: str, index: int) -> None:
    guest = parse_conf(text, 100, "c")
    changed = put(text, index, NEW)
    assert str(parse_conf(changed, 100, "c").nics[index]) == NEW
    assert put(changed, index, NEW) == changed
    if index not in guest.lines:
        assert drop(text, index) == text
        assert drop(changed, index) == text
    else:
        assert len(changed.split("\n")) == len(text.split("\n"))
        before, after = (one.split("\n") for one in (text, changed))
        assert [n for n, row in enumerate(before, 1) if row != after[n - 1]] in ([guest.lines[index]], [])
    others = guest.lines.keys() - {index}
    assert {n: parse_conf(changed, 100, "c").nics.get(n) for n in others} == {n: guest.nics.get(n) for n in others}
