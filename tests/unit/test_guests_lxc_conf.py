"""lxc/<ctid>.conf: containers' netN strings, and the lines LXC gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.errors import ConfigError
from pvenetd.guests.lxc_conf import LxcNic, lxc_lines, parse_lxc_conf, parse_lxc_net
from tests.unit.test_guests_nic import vlan_sets

EXAMPLE = Path(__file__).parents[2] / "examples/lxc"
MAC = "BC:24:11:00:53:01"

CONF = """\
#web%0Anet9: name=eth9
arch: amd64
hostname: web
net0: name=eth0,bridge=vmbr0,firewall=1,gw=192.0.2.1,hwaddr=BC:24:11:00:53:01,ip=192.0.2.200/24,type=veth
net1: name=eth1,bridge=vmbr1,ip=dhcp,ip6=auto,tag=5
unprivileged: 1
lxc.cap.drop: sys_time
lxc.apparmor.profile = unconfined

[before]
net2: name=eth2
"""


def test_the_current_configuration_is_read() -> None:
    guest = parse_lxc_conf(CONF, 200, "200.conf")
    assert (guest.vmid, guest.name, guest.problems, guest.source) == (200, "web", (), "lxc")
    assert {index: str(nic) for index, nic in guest.nics.items()} == {
        0: "name=eth0,bridge=vmbr0,firewall=1,gw=192.0.2.1,hwaddr=BC:24:11:00:53:01,ip=192.0.2.200/24,type=veth",
        1: "name=eth1,bridge=vmbr1,ip=dhcp,ip6=auto,tag=5",
    }
    assert dict(guest.lines) == {0: 4, 1: 5}
    assert [guest.device(index) for index in guest.nics] == ["veth200i0", "veth200i1"]
    assert [list(map(str, nic.addresses)) for nic in guest.nics.values() if isinstance(nic, LxcNic)] == [
        ["192.0.2.200/24"],
        [],
    ]


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("name=eth0", None),
        (f"name=eth0,bridge=vmbr0,firewall=1,gw=192.0.2.1,hwaddr={MAC},ip=192.0.2.2/24,link_down=1", None),
        ("name=eth0,gw6=2001:db8::1,ip6=2001:db8::2/64,mtu=1400,rate=12.5,tag=5,trunks=6;10-20,type=veth", None),
        (f"hwaddr={MAC},ip=dhcp,,bridge=vmbr0,name=eth0,", f"name=eth0,bridge=vmbr0,hwaddr={MAC},ip=dhcp"),
        ("name=eth0,ip=manual,ip6=manual,host-managed=1", "name=eth0,host-managed=1,ip=manual,ip6=manual"),
        ("name=eth0,firewall=yes,rate=10.0", "name=eth0,firewall=1,rate=10"),
    ],
)
def test_a_string_is_printed_in_proxmox_order(text: str, printed: str | None) -> None:
    assert str(parse_lxc_net(text)) == (printed or text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "syntax: no name in '' (name=eth0,…)"),
        ("bridge=vmbr0", "syntax: no name in 'bridge=vmbr0' (name=eth0,…)"),
        ("name=", "syntax: 'name=' has no value (drop it)"),
        ("name=a/b", "ifname: name: 'a/b': the kernel takes no such name"),
        ("name=averyveryverylong", "ifname: name: 'averyveryverylong': the kernel takes no such name"),
        ("name=eth0,virtio", "unknown-option: unknown key 'virtio' in 'virtio=' (keys are bridge, firewall, "),
        ("name=eth0,model=virtio", "unknown-option: unknown key 'model' in 'model=virtio'"),
        ("name=eth0,queues=2", "unknown-option: unknown key 'queues' in 'queues=2'"),
        (f"name=eth0,macaddr={MAC}", "unknown-option: unknown key 'macaddr'"),
        ("name=eth0,hwaddr=BD:24:11:00:53:01", "address: hwaddr: 'BD:24:11:00:53:01': is a group's address"),
        ("name=eth0,tag=5,tag=5", "syntax: tag twice: '5' and '5' (keep one)"),
        ("name=eth0,tag=4095", "vlan-id-range: tag: '4095': Input should be less than or equal to 4094"),
        ("name=eth0,trunks=30-20", "vlan-id-range: trunks: '30-20': '30-20' is outside 1-4094"),
        ("name=eth0,mtu=63", "mtu: mtu: '63': Input should be greater than or equal to 64"),
        ("name=eth0,rate=-1", "unknown-value: rate: '-1': should be a number, 0 or more"),
        ("name=eth0,type=phys", "unknown-value: type: 'phys': Input should be 'veth'"),
        ("name=eth0,ip=192.0.2.2", "address: ip: '192.0.2.2': should be an IPv4 address with its prefix length, or "),
        ("name=eth0,ip=192.0.2.2/33", "address: ip: '192.0.2.2/33': should be an IPv4 address with its prefix"),
        ("name=eth0,ip=192.0.2.2/255.255.255.0", "address: ip: '192.0.2.2/255.255.255.0': should be an IPv4 address"),
        ("name=eth0,ip=2001:db8::2/64", "address: ip: '2001:db8::2/64': should be an IPv4 address with its prefix"),
        ("name=eth0,ip=auto", "address: ip: 'auto': should be an IPv4 address with its prefix length, or dhcp, manual"),
        ("name=eth0,ip=224.0.0.1/24", "address: ip: '224.0.0.1/24': 224.0.0.1 is no address for a container's"),
        ("name=eth0,ip6=192.0.2.2/24", "address: ip6: '192.0.2.2/24': should be an IPv6 address with its prefix"),
        ("name=eth0,gw=192.0.2.1/24", "address: gw: '192.0.2.1/24': should be a router's IPv4 address"),
        ("name=eth0,gw=2001:db8::1", "address: gw: '2001:db8::1': should be a router's IPv4 address"),
        ("name=eth0,gw6=fe80::1%eth0", "address: gw6: 'fe80::1%eth0': should be a router's IPv6 address"),
        ("name=eth0,ip6=fe80::2%a/64", "address: ip6: 'fe80::2%a/64': should be an IPv6 address with its prefix"),
        ("name=eth0,gw6=::", "address: gw6: '::': should be a router's IPv6 address"),
    ],
)
def test_what_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_lxc_net(text, 3, "200.conf", 7)
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"200.conf:7: error {expected}")
    assert problem.interface == "net3"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_lxc_net("eth0=1,tag=0,ip=x,gw=y,rate=1,rate=2")
    told = [problem.option for problem in refused.value.problems]
    assert told == ["eth0", "rate", "name", "tag", "ip", "gw"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ip=192.0.2.2/24,gw=192.0.2.1", []),
        ("ip6=2001:db8::2/64,gw6=fe80::1", []),
        ("gw=192.0.2.1", ["gw: '192.0.2.1' is not used, ip is '' (drop it)"]),
        ("ip=dhcp,gw=192.0.2.1", ["gw: '192.0.2.1' is not used, ip is 'dhcp' (drop it)"]),
        ("ip=192.0.2.2/24,gw=192.0.2.2", ["gw: '192.0.2.2' is the container's own address (the router's)"]),
        ("ip=192.0.2.2/24,gw=198.51.100.1", ["gw: '198.51.100.1' is not in 192.0.2.2/24 (gw in ip's network)"]),
        ("ip6=auto,gw6=2001:db8::1", ["gw6: '2001:db8::1' is not used, ip6 is 'auto' (drop it)"]),
    ],
)
def test_a_gateway_that_leads_nowhere_is_warned_of(text: str, expected: list[str]) -> None:
    guest = parse_lxc_conf(f"\nnet0: name=eth0,{text}\n", 200, "c")
    assert list(guest.nics) == [0]
    assert [str(problem) for problem in guest.problems] == [
        f"c:2: warning gateway-unreachable: {message}" for message in expected
    ]


def test_problems_tell_their_line_and_leave_the_other_nics() -> None:
    guest = parse_lxc_conf("net0: eth0\nnet1: name=eth1\nnet1: name=eth2\nwhat\nlxc.x = 1\n", 200, "c")
    assert list(guest.nics) == [1]
    assert [(problem.line, problem.severity) for problem in guest.problems] == [
        (1, "error"),
        (1, "error"),
        (3, "error"),
        (4, "warning"),
    ]


def test_lxc_is_told_of_each_nic_and_of_the_script_that_plugs_it() -> None:
    guest = parse_lxc_conf(
        f"net1: name=lan,hwaddr={MAC},ip6=2001:db8::2/64,gw6=fe80::1,mtu=1400,ip=dhcp,bridge=vmbr0\n"
        "net0: name=eth0,ip=192.0.2.2/24,gw=192.0.2.1\nnet2: broken\n",
        200,
        "c",
    )
    assert lxc_lines(guest).splitlines() == [
        "lxc.net.0.type = veth",
        "lxc.net.0.veth.pair = veth200i0",
        "lxc.net.0.flags = up",
        "lxc.net.0.name = eth0",
        "lxc.net.0.ipv4.address = 192.0.2.2/24",
        "lxc.net.0.ipv4.gateway = 192.0.2.1",
        "lxc.net.1.type = veth",
        "lxc.net.1.veth.pair = veth200i1",
        "lxc.net.1.flags = up",
        "lxc.net.1.name = lan",
        "lxc.net.1.hwaddr = bc:24:11:00:53:01",
        "lxc.net.1.mtu = 1400",
        "lxc.net.1.ipv6.address = 2001:db8::2/64",
        "lxc.net.1.ipv6.gateway = fe80::1",
        "lxc.net.1.script.up = /usr/libexec/pvenetd/lxc-net",
        "lxc.net.1.script.down = /usr/libexec/pvenetd/lxc-net",
    ]


def test_the_example_has_the_lines_of_its_container() -> None:
    text = (EXAMPLE / "200.conf").read_text()
    guest = parse_lxc_conf(text, 200, "200.conf")
    assert guest.problems == ()
    assert (EXAMPLE / "config").read_text().endswith(f"\n{lxc_lines(guest)}")


def strings() -> st.SearchStrategy[str]:
    name = st.from_regex(r"[-_.0-9A-Za-z]{3,15}", fullmatch=True).filter(lambda name: name != "...")
    values = {
        "bridge": name,
        "firewall": st.sampled_from("01"),
        "gw": st.ip_addresses(v=4, network="192.0.2.0/24").map(str),
        "gw6": st.ip_addresses(v=6, network="2001:db8::/32").map(str),
        "host-managed": st.sampled_from("01"),
        "hwaddr": st.sampled_from([MAC, MAC.lower()]),
        "ip": st.sampled_from(["dhcp", "manual"])
        | st.builds("{}/{}".format, st.ip_addresses(v=4, network="192.0.2.0/24"), st.integers(0, 32)),
        "ip6": st.sampled_from(["dhcp", "manual", "auto"])
        | st.builds("{}/{}".format, st.ip_addresses(v=6, network="2001:db8::/32"), st.integers(0, 128)),
        "link_down": st.sampled_from(["yes", "no"]),
        "mtu": st.integers(64, 65535).map(str),
        "rate": st.floats(0.001, 1e9).map(str) | st.integers(0, 10**9).map(str),
        "tag": st.integers(1, 4094).map(str),
        "trunks": vlan_sets(),
        "type": st.just("veth"),
    }
    keys = st.fixed_dictionaries({"name": name}, optional=values)
    parts = keys.map(lambda keys: [f"{key}={value}" for key, value in keys.items()])
    return parts.flatmap(st.permutations).map(",".join)


@given(strings())
def test_what_is_printed_is_read_back(text: str) -> None:
    nic = parse_lxc_net(text)
    assert parse_lxc_net(str(nic)) == nic
    assert str(parse_lxc_net(str(nic))) == str(nic)


@given(
    st.text()
    | st.lists(
        st.sampled_from([*LxcNic.model_fields, "name=eth0", "=", "=", ",", "1", "-", ";", "/", "192.0.2.1", "::"])
        | st.text(max_size=2)
    ).map("".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        nic = parse_lxc_net(text)
    except ConfigError:
        return
    assert parse_lxc_net(str(nic)) == nic


@given(st.binary())
def test_any_bytes_survive(data: bytes) -> None:
    assert bytes(parse_lxc_conf(data, 200, "c")) == data


@given(st.lists(st.sampled_from([":", "\n", "=", ",", "net0", "name=eth0", "ip=dhcp", "gw=192.0.2.1", "[a]"])))
def test_what_lxc_is_told_is_whole_lines(words: list[str]) -> None:
    for line in lxc_lines(parse_lxc_conf("".join(words), 200, "c")).splitlines():
        assert line.startswith("lxc.net.0.")
        assert line.partition(" = ")[2]
