"""Real guests in QEMU, followed by their monitors, and files of guests that somebody edits."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import applied
from tests.patience import PATIENCE, until
from tests.sandbox.client import call, request
from tests.sandbox.process import Process
from tests.sandbox.space import CHECKOUT
from tests.sandbox.world import GUEST_MAC, MONITORS, NAT_HOST, PROVIDER, TAP, World

SETTINGS = f'qmp = "/{MONITORS}/*.qmp"\n'
CONF = "etc/pvenetd/qemu-server/100.conf"
OTHER, OTHER_MAC, OTHER_TAP = "10.10.10.3", "02:00:00:00:01:01", "tap101i0"
AGAIN = 10.0
"""Seconds after which a guest is asked again to let a device go: one that is busy with its coming forgets it, and
within 5 s a second press of the slot's button takes the first one back (PCI Express, "attention button").
"""


@pytest.fixture
def monitored() -> Iterator[World]:
    """Yield the example host, which follows its guests' monitors."""
    with applied(NAT_HOST, SETTINGS) as world:
        yield world


class Monitor:
    """A second monitor of a guest, for what the test has it do; pvenetd has the first."""

    def __init__(self, world: World, vmid: int = 100) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(world.root / MONITORS / f"{vmid}.test"))
        self.said: list[dict[str, Any]] = []
        """All that came: answers and events."""
        self._lines = self._socket.makefile("rw")
        self._lines.readline()
        self("qmp_capabilities")

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()

    def __call__(self, command: str, **arguments: Any) -> None:
        answer = self.asked(command, **arguments)
        assert "error" not in answer, answer

    def asked(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer to a command, which may be an error."""
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        while True:
            answer: dict[str, Any] = json.loads(self._lines.readline())
            self.said.append(answer)
            if answer.keys() & {"return", "error"}:
                return answer


def told(world: World, vmid: int = 100) -> list[str]:
    """Return what a guest did, as the daemon tells it."""
    events = request(world.root, "GET", "events")
    return [one["what"] for one in events if one["event"] == "guest" and one["vmid"] == vmid]


def index_of(world: World, link: str) -> tuple[int, str]:
    """Return what a link that is made anew has another of, and its bridge."""
    (found,) = world.host.show("ip", "-j", "link", "show", "dev", link)
    return found["ifindex"], found.get("master", "")


def test_a_cable_is_pulled_and_plugged_in_live_and_the_guest_sees_it(monitored: World) -> None:
    guest = monitored.start_guest()
    guest.ready()
    config = f"virtio={GUEST_MAC},bridge=vmbr1,firewall=1"

    def carrier() -> str:
        return guest.run("cat /sys/class/net/eth0/carrier")[1]

    assert carrier() == "1"
    before = index_of(monitored, TAP)
    call(monitored.root, "PUT", "qemu/100/config", net0=f"{config},link_down=1")
    until(lambda: carrier() == "0", "the guest has no link")
    monitored.restart_daemon()
    assert carrier() == "0"
    monitored.write(CONF, f"net0: {config}\n")
    until(lambda: carrier() == "1", "the guest has a link again")
    assert guest.run(f"ping -c 1 -W 60 {PROVIDER}")[0] == 0
    assert index_of(monitored, TAP) == before
    assert guest.power_off() == 0


def test_a_nic_that_is_added_has_its_cable_as_configured_and_one_that_is_taken_out_is_told(monitored: World) -> None:
    added = f"net1: virtio={OTHER_MAC},bridge=vmbr1,firewall=1,link_down=1\n"
    monitored.write(CONF, monitored.read(CONF) + added)
    guest = monitored.start_guest()
    guest.ready()
    before = monitored.host.links()
    hooks = {"script": str(CHECKOUT / "hooks/qemu-ifup"), "downscript": str(CHECKOUT / "hooks/qemu-ifdown")}
    with closing(Monitor(monitored)) as monitor:
        monitor("netdev_add", type="tap", id="net1", ifname="tap100i1", **hooks)
        assert index_of(monitored, "tap100i1")[1] == "vmbr1"
        monitor("device_add", driver="virtio-net-pci", id="net1", netdev="net1", mac=OTHER_MAC, bus="slot0", romfile="")
        until(lambda: guest.run("ip link set eth1 up")[0] == 0, "the guest has a second NIC")
        until(lambda: guest.run("cat /sys/class/net/eth1/carrier")[1] == "0", "its cable is pulled")
        call(monitored.root, "PUT", "qemu/100/config", net1=added[len("net1: ") :].strip().replace("down=1", "down=0"))
        until(lambda: guest.run("cat /sys/class/net/eth1/carrier")[1] == "1", "its cable is plugged in")
        pressed = [-AGAIN]

        def is_out() -> bool:
            if time.monotonic() > pressed[-1] + AGAIN:
                pressed.append(time.monotonic())
                monitor.asked("device_del", id="net1")
            return "DEVICE_DELETED" in told(monitored)

        try:
            until(is_out, "it is told")
        except AssertionError as error:
            there = guest.run("ls /sys/class/net; dmesg | tail -n 20")[1]
            raise AssertionError(f"{error}; the monitor said {monitor.said[-20:]}, the guest {there}") from None
        monitor("netdev_del", id="net1")
    assert monitored.host.links() == before
    until(lambda: not request(monitored.root, "GET", "vms/100")["nics"][1]["plugged"], "it is not plugged any more")
    assert monitored.ctl("reconcile") == ""


def test_what_a_guest_does_is_told_and_gone_is_gone(monitored: World) -> None:
    before = monitored.host.links()
    guest = monitored.start_guest(reboots=True)
    guest.ready()
    with closing(Monitor(monitored)) as monitor:
        for command in ("stop", "cont", "system_reset"):
            monitor(command)
        guest.ready()
        assert TAP in monitored.host.links()
        monitor("quit")
    assert guest.process.wait() == 0
    until(lambda: told(monitored)[-1:] == ["gone"], "the guest is gone")
    once = [what for what, _ in groupby(told(monitored)) if what not in ("filter", "NIC_RX_FILTER_CHANGED")]
    assert [what for what, _ in groupby(once)] == ["connected", "STOP", "RESUME", "RESET", "SHUTDOWN", "gone"]
    assert "filter" in told(monitored)
    assert monitored.host.links() == before


@pytest.mark.reliability(
    "`kill -9` of a QEMU, which comes back",
    guarantee="nothing is left of it, and its neighbour loses no packet",
)
def test_of_two_guests_one_is_killed_and_comes_back_and_the_other_keeps_its_flow(monitored: World) -> None:
    config = f"name: other\nnet0: virtio={OTHER_MAC},bridge=vmbr1,firewall=1\n"
    monitored.write("etc/pvenetd/qemu-server/101.conf", config)
    one = monitored.start_guest()
    two = monitored.start_guest(vmid=101, address=f"{OTHER}", mac=OTHER_MAC)
    one.ready()
    two.ready()
    until(lambda: "connected" in told(monitored, 101) and "connected" in told(monitored), "they are followed")
    two.start(f"ping -i 0.02 -c 300 {PROVIDER}")
    two.process.expect("seq=10 ")
    os.kill(one.process.pid, signal.SIGKILL)
    one.process.wait()
    until(lambda: told(monitored)[-1:] == ["gone"], "the guest is gone")
    assert TAP not in monitored.host.links()
    again = monitored.start_guest()
    until(lambda: told(monitored)[-1:] != ["gone"], "the next guest is followed")
    again.ready()
    status, output = two.result()
    assert (status, "300 packets received" in output) == (0, True), output[-200:]
    assert "gone" not in told(monitored, 101)
    assert "101" in monitored.ctl("vm", "list")


def test_a_file_that_is_edited_is_live_at_once_and_a_broken_one_changes_nothing(monitored: World) -> None:
    tap: Process = monitored.start_tap()
    request(monitored.root, "POST", "hook/qemu", phase="up", ifname=TAP)
    place = monitored.root / CONF
    index, bridge = index_of(monitored, TAP)
    assert bridge == "vmbr1"

    def edit(text: str) -> None:
        draft = place.with_name(".100.conf.new")
        draft.write_text(text)
        draft.replace(place)

    edit(f"net0: virtio={GUEST_MAC},bridge=vmbr0,firewall=1\n")
    until(lambda: index_of(monitored, TAP) == (index, "vmbr0"), "the port is in the other bridge")
    edit("net0: tulip\n")
    until(lambda: "tulip" in monitored.ctl("events"), "it is told")
    assert index_of(monitored, TAP) == (index, "vmbr0")
    edit(f"net0: virtio={GUEST_MAC},bridge=vmbr1,firewall=1\n")
    until(lambda: index_of(monitored, TAP) == (index, "vmbr1"), "the port is back")
    place.unlink()
    until(lambda: index_of(monitored, TAP) == (index, ""), "the port of a guest that is undefined is in no bridge")
    edit(f"net0: virtio={GUEST_MAC},bridge=vmbr1,firewall=1\n")
    until(lambda: index_of(monitored, TAP) == (index, "vmbr1"), "the guest is defined again, and plugged")
    tap.stop()


def test_a_guests_rules_are_live_when_their_file_is_written(monitored: World) -> None:
    monitored.start_tap()
    request(monitored.root, "POST", "hook/qemu", phase="up", ifname=TAP)
    monitored.write("etc/pvenetd/firewall/100.fw", "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 4711\n")
    until(lambda: "4711" in monitored.host.run("nft", "list", "ruleset"), "the rule is there")


def test_a_socket_that_is_nobodys_is_left_alone(monitored: World) -> None:
    path: Path = monitored.root / MONITORS / "100.qmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(path))
    assert path.is_socket()
    guest = monitored.start_guest()
    until(lambda: told(monitored) == ["connected"], "they are followed")
    guest.ready()
