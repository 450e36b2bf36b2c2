"""The port a NIC becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pvenetd.errors import ConfigError
from pvenetd.guests.guest import Guest
from pvenetd.guests.ports import ports
from pvenetd.guests.qm_conf import parse_conf
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.tap import Tap

MAC = "BC:24:11:00:53:01"
FLAT = Bridge(name="vmbr0", mtu=1500)
AWARE = Bridge(name="vmbr0", mtu=1500, vlan_aware=True)


def guest(text: str) -> Guest:
    return parse_conf(f"\n\nnet1: {text}", 100, "100.conf")


def port(text: str, bridge: Bridge) -> Tap:
    (tap,) = ports(guest(text), 1, bridge).values()
    assert isinstance(tap, Tap)
    return tap


def test_a_nic_is_a_tap_in_its_bridge() -> None:
    assert port(f"virtio={MAC},bridge=vmbr0", FLAT) == Tap(
        name="tap100i1",
        master="vmbr0",
        mac="fe:00:00:00:64:01",
        mtu=1500,
        group=100,
        disable_ipv6=True,
        multi_queue=False,
        owner="vm:100",
        origin="100.conf:3",
    )


@pytest.mark.parametrize(
    ("keys", "bridge", "pvid", "vids"),
    [
        ("", FLAT, None, None),
        ("", AWARE, 1, "1-4094"),
        ("", AWARE.model_copy(update={"port_vids": "10-20"}), 1, "1,10-20"),
        ("", AWARE.model_copy(update={"port_vids": "10-20", "port_pvid": 0}), 0, "10-20"),
        (",tag=5", AWARE, 5, "5"),
        (",tag=5,trunks=10;20-30", AWARE, 5, "5,10,20-30"),
        (",trunks=10;20-30", AWARE, 1, "1,10,20-30"),
    ],
)
def test_vlans_of_a_port(keys: str, bridge: Bridge, pvid: int | None, vids: str | None) -> None:
    tap = port(f"virtio,bridge=vmbr0{keys}", bridge)
    assert (tap.pvid, tap.vids) == (pvid, vids)


@pytest.mark.parametrize(
    ("keys", "bridge_mtu", "mtu"),
    [("", 9000, 9000), (",mtu=1", 9000, 9000), (",mtu=1400", 9000, 1400), (",mtu=1400", None, 1400), ("", None, None)],
)
def test_mtu_of_a_port(keys: str, bridge_mtu: int | None, mtu: int | None) -> None:
    assert port(f"virtio,bridge=vmbr0{keys}", FLAT.model_copy(update={"mtu": bridge_mtu})).mtu == mtu


def test_queues_and_a_pulled_cable() -> None:
    tap = port("virtio,bridge=vmbr0,queues=4,link_down=1", FLAT)
    assert (tap.multi_queue, tap.up) == (True, False)


def test_a_tap_of_qemu_is_not_made() -> None:
    (tap,) = ports(guest("virtio,bridge=vmbr0"), 1, FLAT, made_here=False).values()
    assert isinstance(tap, Tap)
    assert (tap.creatable, tap.multi_queue) == (False, None)


def test_a_nic_without_a_bridge_has_no_port() -> None:
    assert ports(guest("virtio"), 1, None) == {}


@pytest.mark.parametrize(
    ("keys", "bridge", "expected"),
    [
        ("", None, ["missing-parent: bridge: there is no bridge 'vmbr0'"]),
        (",tag=5", FLAT, ["port-option: tag: '5' on vmbr0, which is not VLAN-aware (bridge-vlan-aware yes for vmbr0)"]),
        (",tag=5,trunks=7;9", FLAT, ["port-option: tag: '5'", "port-option: trunks: '7;9'"]),
        (",mtu=1501", FLAT, ["mtu: mtu: '1501' should be 576 to 1500, the MTU of vmbr0 (mtu=1 follows"]),
        (",mtu=100", FLAT, ["mtu: mtu: '100' should be 576 to 1500"]),
        (",mtu=100", Bridge(name="vmbr0"), ["mtu: mtu: '100' should be 576 to 65520"]),
    ],
)
def test_a_port_that_does_not_fit_is_refused(keys: str, bridge: Bridge | None, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        ports(guest(f"virtio,bridge=vmbr0{keys}"), 1, bridge)
    for problem, start in zip(refused.value.problems, expected, strict=True):
        assert str(problem).startswith(f"100.conf:3: error {start}")


@pytest.mark.parametrize(
    ("told", "device"),
    [({}, "tap100i1"), ({"source": "lxc"}, "veth100i1"), ({"source": "libvirt", "devices": {1: "vnet3"}}, "vnet3")],
)
def test_a_port_is_the_device_that_its_guest_has(told: dict[str, Any], device: str) -> None:
    assert ("link", device) in ports(replace(guest("virtio,bridge=vmbr0"), **told), 1, FLAT)
