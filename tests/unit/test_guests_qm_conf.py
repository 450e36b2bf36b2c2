"""qemu-server/<vmid>.conf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.guests.conf import vmid_of
from pvenetd.guests.qm_conf import parse_conf

CONF = """\
# web server, ask ops
#%0Anet9: virtio,bridge=none
boot: order=scsi0;net0
name: web
net0: virtio=BC:24:11:00:53:01,bridge=vmbr0,firewall=1
net10: e1000=BC:24:11:00:53:02,bridge=vmbr1,tag=5
\tnet1 :virtio \r
parent: before

[PENDING]
net0: virtio=BC:24:11:00:53:01,bridge=vmbr9

[before]
name: old
net2: virtio
"""


def test_the_current_configuration_is_read() -> None:
    guest = parse_conf(CONF, 100, "100.conf")
    assert (guest.vmid, guest.name, guest.problems) == (100, "web", ())
    assert {index: str(nic) for index, nic in guest.nics.items()} == {
        0: "virtio=BC:24:11:00:53:01,bridge=vmbr0,firewall=1",
        10: "e1000=BC:24:11:00:53:02,bridge=vmbr1,tag=5",
        1: "virtio",
    }
    assert dict(guest.lines) == {0: 5, 10: 6, 1: 7}
    assert all(nic.index == index for index, nic in guest.nics.items())


@pytest.mark.parametrize(
    ("text", "expected", "left"),
    [
        ("net0: tulip\nnet1: virtio\n", ["c:1: error unknown-value: model: 'tulip'"], [1]),
        ("net0:\n", ["c:1: error syntax: no model in ''"], []),
        ("net0: virtio\nnet0: e1000\n", ["c:2: error syntax: net0 is there already, in line 1 (keep one)"], [0]),
        ("net32: virtio\n", ["c:1: error syntax: no NIC net32 (net0 to net31)"], []),
        ("\nmemory 512\n", ["c:2: warning syntax: 'memory 512' is ignored (KEY: VALUE)"], []),
        ("net0: virtio,a=1\nnet1: virtio,b=1\n", ["c:1: error unknown-option", "c:2: error unknown-option"], []),
        ("net0 virtio\n", ["c:1: error syntax: 'net0 virtio' is no NIC: there is no colon behind 'net0'"], []),
        ("net00: virtio\nnetwork: x\n", [], []),
    ],
)
def test_problems_tell_their_line_and_leave_the_other_nics(text: str, expected: list[str], left: list[int]) -> None:
    guest = parse_conf(text, 100, "c")
    assert list(guest.nics) == left
    for problem, start in zip(guest.problems, expected, strict=True):
        assert str(problem).startswith(start)


@given(st.binary())
def test_any_bytes_survive(data: bytes) -> None:
    assert bytes(parse_conf(data, 100, "c")) == data


@given(
    st.lists(st.sampled_from(["net0", "net1", ":", " ", "virtio", "=", ",", "\n", "[a]", "#", "tag=5"])).map("".join)
)
def test_any_text_survives(text: str) -> None:
    guest = parse_conf(text, 100, "c")
    assert str(guest) == text
    assert set(guest.nics) <= set(guest.lines)


@pytest.mark.parametrize(
    ("file", "vmid"),
    [("100.conf", 100), ("999999999.conf", 999999999), ("99.conf", None), ("0100.conf", None), ("100.conf~", None)],
)
def test_vmid_of_a_file(file: str, vmid: int | None) -> None:
    assert vmid_of(file) == vmid
