"""What a guest's port does on the real kernel: told by frames, by ip(8), bridge(8), and by the kernel's news."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from pvenetd.drivers.host import Host
from pvenetd.errors import KernelError
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.tap import Tap
from pvenetd.plan import Op, plan
from pvenetd.resource import Resource
from pvenetd.shaping import Rate
from pvenetd.state import INTERFACES, State, state
from tests.guests import guests, wanted
from tests.kernel.ends import End, forwarding, frame, news, outside, tap
from tests.kernel.test_hitless import sent
from tests.netns import Namespaces, run, show
from tests.patience import PATIENCE

lab, netns = pytest.mark.lab, pytest.mark.netns
A, B, FAR = "02:00:5e:00:53:0a", "02:00:5e:00:53:0b", "02:00:5e:00:53:0f"
LINK = 1
"""RTNLGRP_LINK."""
UP, RUNNING = 0x1, 0x40
SETLINK, DELLINK = 19, 17
NIC = Ethernet(name="eno1", master="vmbr0", mtu=1500, owner=INTERFACES)


def bridge(**values: Any) -> Bridge:
    return Bridge(name="vmbr0", forward_delay=0, mtu=1500, owner=INTERFACES, **values)


AWARE = NIC.model_copy(update={"pvid": 1, "vids": "1-4094"})


class Guests:
    """The guests of a host, brought to what text says of them."""

    def __init__(self, host: Host, *configured: Resource) -> None:
        self._host, self._configured = host, state(configured)
        self._had: dict[int, State] = {}
        self._run(self._configured, host.observe(self._configured), {INTERFACES})

    def bring(self, text: str) -> list[str]:
        """Bring the guest that *text* tells of to it, and return what was done."""
        (guest,) = guests(text)
        desired = wanted(guest, self._configured, self._host)
        owner = f"vm:{guest.vmid}"
        keys = {*desired, *self._had.get(guest.vmid, {}), *self._host.owned(owner)}
        self._had[guest.vmid] = desired
        others = {key: one for state in self._had.values() for key, one in state.items() if one.owner == "guests"}
        union = {**{key: one for key, one in others.items() if key in keys}, **desired}
        return self._run(union, self._host.observe(keys, only=True), {owner, "guests"})

    def _run(self, desired: State, current: State, owners: set[str]) -> list[str]:
        ops = plan(desired, current, owners)
        for op in ops:
            self._host.apply(op)
        return [str(op) for op in ops]


def link(name: str) -> dict[str, Any]:
    (found,) = show("ip", "-d", "-j", "link", "show", "dev", name)
    return found


def entered(dev: str) -> set[tuple[str, int | None]]:
    """Return the static entries of a port: MAC and VLAN; all have to be sticky."""
    found = [one for one in show("bridge", "-j", "fdb", "show", "dev", dev) if one["state"] == "static"]
    assert all("sticky" in one["flags"] for one in found)
    entries = {(one["mac"], one.get("vlan")) for one in found}
    return {
        (mac, vlan) for mac, vlan in entries if vlan is None or (mac, None) not in entries
    }  # those are the kernel's


@contextmanager
def ends(namespaces: Namespaces, *taps: str) -> Iterator[list[End]]:
    """Yield the ends of *taps*, and that outside of eno1's cable."""
    with ExitStack() as stack:
        found = [stack.enter_context(tap(name)) for name in taps]
        found.append(stack.enter_context(outside(namespaces, "eno1")))
        forwarding()
        yield found


@contextmanager
def flowing(sender: End, data: bytes) -> Iterator[list[int]]:
    """Send *data*, numbered, as long as the context lasts; yield how many were sent, once it has ended."""
    ended, begun, count = threading.Event(), threading.Event(), [0]

    def send() -> None:
        while not ended.wait(0.0005):
            sender.send(data + struct.pack("!I", count[0]))
            count[0] += 1
            begun.set()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        assert begun.wait(PATIENCE)
        yield count
    finally:
        ended.set()
        thread.join()


@lab
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("tag=5,trunks=10", "tag=6,trunks=10", {SETLINK: 1, DELLINK: 1}),
        ("tag=5,trunks=10", "tag=5,trunks=10;20-4000", {SETLINK: 1}),
        ("tag=5,trunks=7;10;20-4000", "tag=5,trunks=10", {DELLINK: 1}),
        ("trunks=10", "tag=5,trunks=10", {SETLINK: 1, DELLINK: 1}),
    ],
)
def test_other_vlans_are_one_change_of_the_port_and_lose_no_frame(
    host: Host,
    namespaces: Namespaces,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    after: str,
    message: dict[int, int],
) -> None:
    made = Guests(host, bridge(vlan_aware=True, pvid=1, vids="1"), AWARE)
    made.bring(f"100 net0: virtio={A},bridge=vmbr0,{before}")
    with ends(namespaces, "tap100i0") as (inner, outer):
        with flowing(inner, frame(A, FAR, b"", vlan=10)) as count, news(LINK) as told:
            sending = sent(monkeypatch)
            ops = made.bring(f"100 net0: virtio={A},bridge=vmbr0,{after}")
        numbers = [struct.unpack_from("!I", data, 6)[0] for data in outer.take(count[0])]
    assert numbers == [*range(count[0])], "every frame, in order"
    assert [op.split()[:3] for op in ops] == [["~", "link", "tap100i0"]]
    writes = {kind: number for kind, number in sending.items() if kind in (16, 17, 19, 20)}
    assert writes == message
    for one in told:
        (flags,) = struct.unpack_from("=I", one, 24)
        assert flags & UP, "the port stays up"
        assert flags & RUNNING


@lab
def test_guests_on_a_vlan_of_a_plain_bridge_share_its_bridge(host: Host, namespaces: Namespaces) -> None:
    made = Guests(host, bridge(ageing=120), NIC)
    made.bring(f"100 net0: virtio={A},bridge=vmbr0,tag=20")
    made.bring(f"101 net0: virtio={B},bridge=vmbr0,tag=20")
    assert link("vmbr0v20")["ifalias"] == link("eno1.20")["ifalias"] == "pvenetd:guests"
    assert link("vmbr0v20")["linkinfo"]["info_data"]["ageing_time"] == 12000
    assert run("ip", "-6", "address", "show", "dev", "vmbr0v20") == "", "no address of the host's"
    with ends(namespaces, "tap100i0", "tap101i0") as (first, second, outer):
        first.send(frame(A, B, b"to each other"))
        assert [data[2:] for data in second.take(1)] == [b"to each other".ljust(len(b"to each other"), b"\0")]
        assert [data[:4] for data in outer.take(1)] == [struct.pack("!HH", 0x8100, 20)], "tagged on the wire"
        outer.send(frame(FAR, A, b"back", vlan=20))
        outer.send(frame(FAR, A, b"untagged"))
        outer.send(frame(FAR, A, b"elsewhere", vlan=21))
        assert [data[2:6] for data in first.drain()] == [b"back"]
        with flowing(second, frame(B, FAR, b"")) as count:
            made.bring("100")
        assert len(outer.take(count[0])) == count[0], "who stays loses nothing"
    assert made.bring("101") != []
    assert {one["ifname"] for one in show("ip", "-j", "link")} == {"lo", "eno1", "vmbr0"}


@netns
def test_where_ports_do_not_learn_frames_come_to_the_pinned_mac_alone(host: Host, namespaces: Namespaces) -> None:
    made = Guests(host, bridge(disable_learning=True), NIC)
    made.bring(f"100 net0: virtio={A},bridge=vmbr0")
    made.bring(f"101 net0: virtio={B},bridge=vmbr0")
    assert (entered("tap100i0"), entered("tap101i0")) == ({(A, None)}, {(B, None)})
    data = link("tap100i0")["linkinfo"]["info_slave_data"]
    assert (data["learning"], data["flood"]) == (False, False)
    with ends(namespaces, "tap100i0", "tap101i0") as (first, second, outer):
        for dest in (A, "02:00:5e:00:53:77"):
            outer.send(frame(FAR, dest, dest.encode()))
        assert [data[2:19] for data in first.drain()] == [A.encode()], "its own, and nothing that is for nobody"
        assert second.drain() == []
        outer.send(frame(A, FAR, b"from outside, by the guest's MAC"))
        second.send(frame(B, A, b"still here"))
        assert len(first.take(1)) == 1, "nobody takes its frames"
    made.bring(f"100 net0: virtio={FAR},bridge=vmbr0")
    assert entered("tap100i0") == {(FAR, None)}


@lab
def test_a_mac_is_pinned_in_each_vlan_of_its_port(host: Host) -> None:
    made = Guests(host, bridge(vlan_aware=True, pvid=1, vids="1", disable_learning=True), AWARE)
    for keys, vlans in (("tag=5", {5}), ("tag=6,trunks=8-9", {6, 8, 9}), ("trunks=8", {1, 8}), ("", {*range(1, 4095)})):
        made.bring(f"100 net0: virtio={A},bridge=vmbr0,{keys}")
        assert entered("tap100i0") == {(A, vlan) for vlan in vlans}
    made.bring("100")
    assert [one for one in show("bridge", "-j", "fdb") if one["mac"] == A] == []


@netns
def test_an_admins_own_entry_stays(host: Host) -> None:
    made = Guests(host, bridge(disable_learning=True), NIC)
    made.bring(f"100 net0: virtio={A},bridge=vmbr0")
    run("bridge", "fdb", "add", B, "dev", "tap100i0", "master", "static")
    made.bring(f"100 net0: virtio={FAR},bridge=vmbr0")
    found = {one["mac"] for one in show("bridge", "-j", "fdb", "show", "dev", "tap100i0") if one["state"] == "static"}
    assert found == {B, FAR}


@netns
def test_isolated_ports_do_not_reach_each_other(host: Host, namespaces: Namespaces) -> None:
    Guests(host, bridge(), NIC)
    ports = [
        Tap(name=f"tap{vmid}i0", master="vmbr0", isolated=True, owner=f"vm:{vmid}", made_here=True)
        for vmid in (100, 101)
    ]
    for op in plan(state(ports), host.observe()):
        if op.verb == "+":
            host.apply(op)
    assert link("tap100i0")["linkinfo"]["info_slave_data"]["isolated"] is True
    with ends(namespaces, "tap100i0", "tap101i0") as (first, second, outer):
        first.send(frame(A, "ff:ff:ff:ff:ff:ff", b"to all"))
        assert len(outer.take(1)) == 1
        assert second.drain() == []


@netns
def test_a_kernel_that_cannot_limit_keeps_nothing_of_it(host: Host) -> None:
    host.observe()
    host.apply(Op("+", Tap(name="tap100i0", owner="vm:100")))
    first = show("tc", "-j", "qdisc", "show", "dev", "tap100i0")
    rate = Rate(dev="tap100i0", to_guest=1 << 20, from_guest=1 << 20, owner="vm:100")
    refused = ""
    try:
        host.apply(Op("+", rate))
    except KernelError as error:  # some kernels can
        refused = str(error)
    assert not refused or "a rate needs cls_matchall and act_police" in refused
    host.apply(Op("-", rate))
    assert show("tc", "-j", "qdisc", "show", "dev", "tap100i0") == first


@netns
@pytest.mark.parametrize("others", [0, 80], ids=["one by one", "as a dump"])
def test_what_a_port_has_counted(host: Host, namespaces: Namespaces, others: int) -> None:
    made = Guests(host, bridge(), NIC)
    made.bring(f"100 net0: virtio={A},bridge=vmbr0")
    names = [f"tap{200 + number}i0" for number in range(others)]
    for name in names:
        run("ip", "tuntap", "add", name, "mode", "tap")
    with ends(namespaces, "tap100i0") as (inner, outer):
        for _ in range(3):
            inner.send(frame(A, FAR, bytes(986)))
        outer.send(frame(FAR, A, bytes(86)))
        assert len(inner.take(1)) == 1
    found = host.counters(["tap100i0", "gone", *names])
    assert found.keys() == {"tap100i0", *names}
    assert (found["tap100i0"]["rx_packets"], found["tap100i0"]["rx_bytes"]) == (3, 3000)
    assert found["tap100i0"]["tx_packets"] >= 1
    for name, one in found.items():
        (link,) = show("ip", "-s", "-j", "link", "show", "dev", name)
        assert {way: link["stats64"][way]["bytes"] for way in ("rx", "tx")} == {
            way: one[f"{way}_bytes"] for way in ("rx", "tx")
        }
