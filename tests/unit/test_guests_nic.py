"""netN strings, and the port a NIC becomes."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.errors import ConfigError
from pvenetd.guests.nic import Model, Nic, parse_net, ports
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.tap import Tap

MAC = "BC:24:11:00:53:01"
FLAT = Bridge(name="vmbr0", mtu=1500)
AWARE = Bridge(name="vmbr0", mtu=1500, vlan_aware=True)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (f"virtio={MAC},bridge=vmbr0", None),
        (f"virtio={MAC},bridge=vmbr0,firewall=1,link_down=1,mtu=1,queues=4,rate=12.5,tag=5,trunks=6;10-20", None),
        (f"e1000-82540em={MAC},firewall=0", None),
        ("vmxnet3", None),
        (f"virtio={MAC},host-tunnel=1", None),
        ("virtio=bc:24:11:00:53:01", None),
        (f"model=virtio,macaddr={MAC}", f"virtio={MAC}"),
        (f"bridge=vmbr0,virtio,macaddr={MAC}", f"virtio={MAC},bridge=vmbr0"),
        (f"tag=5,,virtio={MAC},bridge=vmbr0,", f"virtio={MAC},bridge=vmbr0,tag=5"),
        (f"virtio={MAC},firewall=yes,link_down=off", f"virtio={MAC},firewall=1,link_down=0"),
        (f"virtio={MAC},rate=10.0", f"virtio={MAC},rate=10"),
        (f"virtio={MAC},trunks=30;5-7;6", f"virtio={MAC},trunks=5-7;30"),
    ],
)
def test_a_string_is_printed_in_proxmox_order(text: str, printed: str | None) -> None:
    assert str(parse_net(text)) == (printed or text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "syntax: no model in '' (virtio=MAC,…)"),
        ("bridge=vmbr0", "syntax: no model in 'bridge=vmbr0' (virtio=MAC,…)"),
        ("tulip", "unknown-value: model: 'tulip': Input should be 'e1000', "),
        ("virtio,e1000", "syntax: model twice: 'virtio' and 'e1000' (keep one)"),
        (f"virtio={MAC},model=virtio", "syntax: model twice: 'virtio' and 'virtio' (keep one)"),
        (f"virtio={MAC},macaddr={MAC}", f"syntax: macaddr twice: '{MAC}' and '{MAC}' (keep one)"),
        ("virtio,tag=5,tag=5", "syntax: tag twice: '5' and '5' (keep one)"),
        ("virtio=", "syntax: 'macaddr=' has no value (drop it)"),
        ("virtio,mtu=", "syntax: 'mtu=' has no value (drop it)"),
        ("virtio,vlan=5", "unknown-option: unknown key 'vlan' in 'vlan=5' (keys are "),
        ("virtio,index=5", "unknown-option: unknown key 'index' in 'index=5'"),
        ("virtio=BC:24:11:00:53", "address: macaddr: 'BC:24:11:00:53': should be six hexadecimal pairs"),
        ("virtio=BD:24:11:00:53:01", "address: macaddr: 'BD:24:11:00:53:01': is a group's address"),
        ("virtio,tag=0", "vlan-id-range: tag: '0': Input should be greater than or equal to 1"),
        ("virtio,tag=4095", "vlan-id-range: tag: '4095': Input should be less than or equal to 4094"),
        ("virtio,tag=5.0", "vlan-id-range: tag: '5.0': should be a whole number"),
        ("virtio,trunks=0;5000", "vlan-id-range: trunks: '0;5000': '0' is outside 1-4094"),
        ("virtio,trunks=30-20", "vlan-id-range: trunks: '30-20': '30-20' is outside 1-4094"),
        ("virtio,mtu=65521", "mtu: mtu: '65521': Input should be less than or equal to 65520"),
        ("virtio,mtu=0", "mtu: mtu: '0': Input should be greater than or equal to 1"),
        ("virtio,queues=65", "unknown-value: queues: '65': Input should be less than or equal to 64"),
        ("virtio,rate=-1", "unknown-value: rate: '-1': should be a number, 0 or more"),
        ("virtio,rate=inf", "unknown-value: rate: 'inf': should be a number, 0 or more"),
        ("virtio,rate=1e999", "unknown-value: rate: '1e999': Input should be a finite number"),
        ("virtio,firewall=2", "unknown-value: firewall: '2': should be yes or no"),
        ("virtio,bridge=a/b", "ifname: bridge: 'a/b': should be a name of at most 15"),
        ("virtio,bridge=averyveryverylong", "ifname: bridge: 'averyveryverylong': should be a name of at most 15"),
        ("virtio,bridge=vmbr0\nx", "ifname: bridge: 'vmbr0\nx': should be a name of at most 15"),
    ],
)
def test_what_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_net(text, 3, "100.conf", 7)
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"100.conf:7: error {expected}")
    assert problem.interface == "net3"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_net("tulip=1,tag=0,queues=99,rate=x,rate=y")
    assert [problem.option for problem in refused.value.problems] == ["tulip", "rate", "model", "tag", "rate", "queues"]


@pytest.mark.parametrize("index", [-1, 32])
def test_a_guest_has_32_nics(index: int) -> None:
    with pytest.raises(ConfigError, match=f"no NIC net{index}"):
        parse_net("virtio", index)


def vlan_sets() -> st.SearchStrategy[str]:
    vlan = st.integers(1, 4094)
    word = st.builds(lambda a, b: f"{min(a, b)}-{max(a, b)}", vlan, vlan) | vlan.map(str)
    return st.lists(word, min_size=1, max_size=4).map(";".join)


def strings() -> st.SearchStrategy[str]:
    pair = st.integers(0, 255).map("{:02X}".format)
    mac = st.builds(
        lambda first, rest: f"{first & 0xFE:02X}:{':'.join(rest)}",
        st.integers(0, 255),
        st.lists(pair, min_size=5, max_size=5),
    )
    model = st.builds(
        lambda model, mac: model + (mac and f"={mac}"), st.sampled_from(get_args(Model)), mac | st.just("")
    )
    values = {
        "bridge": st.from_regex(r"[-_.0-9A-Za-z]{3,15}", fullmatch=True).filter(lambda name: name != "..."),
        "firewall": st.sampled_from("01"),
        "link_down": st.sampled_from(["yes", "no"]),
        "mtu": st.integers(1, 65520).map(str),
        "queues": st.integers(0, 64).map(str),
        "rate": st.floats(0, 1e9).map(str) | st.integers(0, 10**9).map(str),
        "tag": st.integers(1, 4094).map(str),
        "trunks": vlan_sets(),
    }
    chosen = st.fixed_dictionaries({}, optional=values)
    parts = st.builds(lambda first, keys: [first, *(f"{key}={value}" for key, value in keys.items())], model, chosen)
    return parts.flatmap(st.permutations).map(",".join)


@given(strings())
def test_what_is_printed_is_read_back(text: str) -> None:
    nic = parse_net(text)
    assert parse_net(str(nic)) == nic
    assert str(parse_net(str(nic))) == str(nic)


@given(
    st.text()
    | st.lists(
        st.sampled_from([*Nic.model_fields, "virtio", "=", "=", ",", "1", "-", ";", "host-tunnel"])
        | st.text(max_size=2)
    ).map("".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        nic = parse_net(text)
    except ConfigError:
        return
    assert parse_net(str(nic)) == nic


def port(text: str, bridge: Bridge) -> Tap:
    (tap,) = ports(100, parse_net(text, 1), bridge, "100.conf", 3).values()
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
    (tap,) = ports(100, parse_net("virtio,bridge=vmbr0"), FLAT, made_here=False).values()
    assert isinstance(tap, Tap)
    assert (tap.creatable, tap.multi_queue) == (False, None)


def test_a_nic_without_a_bridge_has_no_port() -> None:
    assert ports(100, parse_net("virtio"), None) == {}


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
        ports(100, parse_net(f"virtio,bridge=vmbr0{keys}", 1), bridge, "100.conf", 3)
    for problem, start in zip(refused.value.problems, expected, strict=True):
        assert str(problem).startswith(f"100.conf:3: error {start}")
