"""netN strings."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.errors import ConfigError
from pvenetd.guests.nic import Model, QemuNic, parse_net

MAC = "BC:24:11:00:53:01"


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
        ("virtio,rate=0.0001", "unknown-value: rate: '0.0001': should be 0 for no limit, or at least 0.001"),
        ("virtio,rate=1e10", "unknown-value: rate: '1e10': Input should be less than or equal to 1000000000"),
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
        "rate": st.floats(0.001, 1e9).map(str) | st.integers(0, 10**9).map(str),
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
        st.sampled_from([*QemuNic.model_fields, "virtio", "=", "=", ",", "1", "-", ";", "host-tunnel"])
        | st.text(max_size=2)
    ).map("".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        nic = parse_net(text)
    except ConfigError:
        return
    assert parse_net(str(nic)) == nic
