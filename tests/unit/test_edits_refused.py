"""Edits that are refused: by key, all at once."""

from __future__ import annotations

import pytest

from pvenetd.daemon.edits import creation, deletion, setting
from pvenetd.edits.wish import Wish
from pvenetd.errors import EditError
from tests.unit.test_edits import BASE, run, wish


@pytest.mark.parametrize(
    ("asked", "errors"),
    [
        (wish("nope", mtu="1"), {"iface": "interface does not exist"}),
        (
            wish("vmbr0", cidr="192.0.2.1", gateway="x", netmask6="x", autostart="perhaps", a__b="", comments="\0"),
            {
                "cidr": "'192.0.2.1' has no prefix length: 192.0.2.1/24",
                "gateway": "'x' is no IPv4 address",
                "netmask6": "'x' is no netmask",
                "autostart": "should be 0 or 1",
                "a-b": "is empty: delete it instead",
                "comments": "no control characters",
            },
        ),
        (
            wish("vmbr0", mtu="x", gateway="foo", bridge_fd="soon", a="1", up="x\\"),
            {
                "gateway": "'foo' is no IPv4 address",
                "mtu": "mtu: 'x': should be a whole number",
                "bridge_fd": "bridge-fd: 'soon': should be a number of seconds",
                "a": "no such option",
                "up": "a backslash at the end would take in the next line",
            },
        ),
        (wish("vmbr0", ovs_options="tag=1\n\tpost-up x"), {"ovs_options": "no control characters"}),
        (wish("vmbr0", up="x\\"), {"up": "a backslash at the end would take in the next line"}),
        (wish("vmbr0", cidr="192.0.2.1/24", address="192.0.2.2"), {"address": "conflicts with cidr"}),
        (wish("vmbr0", "mtu", mtu="1400"), {"mtu": "is both set and deleted"}),
        (wish("eth0", address="192.0.2.1"), {"netmask": "is missing: address needs it"}),
        (wish("eth0", type="bridge"), {"type": "is eth, and stays that"}),
        (wish("eth0", bridge_ports="eth1"), {"type": "eth0 would be of type bridge, not eth"}),
        (wish("vmbr0", bridge__agein="1"), {"bridge-agein": "no such option (did you mean bridge-ageing?)"}),
        (wish("vmbr0", **{"#": "1"}), {"#": "no such parameter"}),
        (wish("vmbr0", "bridge-agein"), {"bridge-agein": "no such option (did you mean bridge-ageing?)"}),
        (wish("vmbr0", "nosuch"), {"nosuch": "no such option"}),
        (wish("vmbr0", "cidr"), {"cidr": "vmbr0 inet static has no address (address A.B.C.D/LEN)"}),
        (wish("vmbr0", bridge_ports="eth7"), {"bridge_ports": "port eth7 of vmbr0 does not exist"}),
        (wish("eth0", cidr="198.51.100.1/24"), {"cidr": "eth0 has address 198.51.100.1/24 and is a port of vmbr0"}),
        (Wish("vmbr0", {"netmask": (), "cidr6": ()}), {"netmask": "has no value", "cidr6": "has no value"}),
        (wish("vmbr0", method="ppp"), {"method": "should be one of static, manual, dhcp"}),
    ],
)
def test_what_is_refused_is_told_by_key(asked: Wish, errors: dict[str, str]) -> None:
    with pytest.raises(EditError) as refused:
        run(BASE, setting(asked))
    found = {key: text.partition(" (no stanza")[0].partition(" (give")[0] for key, text in refused.value.errors.items()}
    assert found == errors


@pytest.mark.parametrize(
    ("asked", "errors"),
    [
        (wish("vmbr0", type="bridge"), {"iface": "interface already exists"}),
        (wish("a/b", type="eth"), {"iface": "the kernel takes no name like 'a/b'"}),
        (wish("vmbr1", type="switch"), {"type"}),
        (wish("vmbr1", "mtu", type="bridge"), {"delete": "there is nothing to delete from a new interface"}),
        (wish("vmbr1", type="bridge", bridge_ports="eth0"), {"bridge_ports"}),
        (wish("vmbr1", type="bridge", cidr="198.51.100.1/24", gateway="198.51.100.2"), {"gateway"}),
        (wish("vmbr1", type="bridge", cidr="192.0.2.1/24"), {"cidr"}),
        (wish("vlan9", type="vlan"), {"vlan-raw-device": "is missing"}),
        (wish("dmz", type="vlan", vlan__raw__device="eth1"), {"vlan-raw-device"}),
        (wish("bond0", type="bond", slaves="eth1", bond_mode="x"), {"bond_mode"}),
        (wish("eth7", type="bond"), None),
        (wish("eth1", type="vlan"), {"vlan-raw-device"}),
        (wish("vmbr1", type="bond", bridge_ports="eth1"), {"type"}),
    ],
)
def test_what_is_not_created(asked: Wish, errors: dict[str, str] | set[str] | None) -> None:
    if errors is None:
        assert run(BASE, creation(asked))
        return
    with pytest.raises(EditError) as refused:
        run(BASE, creation(asked))
    assert (refused.value.errors if isinstance(errors, dict) else set(refused.value.errors)) == errors


STACK = BASE + (
    "\niface eth1 inet manual\n\niface bond0 inet manual\n\tbond-slaves eth1\n"
    "\nauto vmbr0.5\niface vmbr0.5 inet manual\n\nauto bond0:1\niface bond0:1 inet static\n\taddress 203.0.113.1/24\n"
)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("eth0", "is a port of vmbr0"),
        ("eth1", "is a slave of bond0"),
        ("vmbr0", "vmbr0.5 stands on it"),
        ("bond0", "bond0:1 is an alias of it"),
        ("eth5", "interface does not exist"),
    ],
)
def test_what_others_stand_on_is_not_deleted(name: str, reason: str) -> None:
    with pytest.raises(EditError) as refused:
        run(STACK, deletion(name))
    assert refused.value.errors == {"iface": reason}
