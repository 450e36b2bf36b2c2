"""Edits by the API's keys: only what is asked for changes, and what makes the configuration worse is refused by key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pvenetd.compile import examine
from pvenetd.daemon.edits import Change, creation, deletion, setting
from pvenetd.edits.change import deleted, updated
from pvenetd.edits.create import created
from pvenetd.edits.difference import difference
from pvenetd.edits.wish import Wish
from pvenetd.errors import EditError
from pvenetd.interfaces.config import Config, single
from pvenetd.interfaces.syntax import parse
from tests.unit.test_check import DATA

NICS = ("eth0", "eth1", "eth2")
BASE = """\
auto lo
iface lo inet loopback

iface eth0 inet manual

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.1/24
	gateway 192.0.2.254
	bridge_ports eth0
	bridge-fd 0
	up ip route add 198.51.100.0/24 via 192.0.2.2
	#LAN
"""


def config(text: str) -> Config:
    return single(parse(text))


def run(text: str, change: Change) -> str:
    texts = change.made(config(text), lambda texts: config(*texts.values()), NICS, lambda found: examine(found, NICS))
    return next(iter(texts.values()), text)


def wish(iface: str, dropped: str = "", **values: Any) -> Wish:
    kind = values.pop("type", None)
    named = {key.replace("__", "-"): value for key, value in values.items()}
    return Wish(iface, named, frozenset(dropped.split()), kind)


def lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that went and those that came."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


@pytest.mark.parametrize(
    ("asked", "gone", "new"),
    [
        (wish("vmbr0", mtu="1400"), [], ["\tmtu 1400"]),
        (wish("vmbr0", bridge_ports="eth0,eth1;eth2"), ["\tbridge_ports eth0"], ["\tbridge_ports eth0 eth1 eth2"]),
        (wish("vmbr0", bridge_ports=""), ["\tbridge_ports eth0"], ["\tbridge_ports none"]),
        (wish("vmbr0", bridge_vlan_aware="1"), [], ["\tbridge-vlan-aware yes"]),
        (wish("vmbr0", bridge_vlan_aware="0"), [], []),
        (wish("vmbr0", cidr="192.0.2.9/25"), ["\taddress 192.0.2.1/24"], ["\taddress 192.0.2.9/25"]),
        (wish("vmbr0", address="192.0.2.9"), ["\taddress 192.0.2.1/24"], ["\taddress 192.0.2.9/24"]),
        (
            wish("vmbr0", address="192.0.2.9", netmask="255.255.255.128"),
            ["\taddress 192.0.2.1/24"],
            ["\taddress 192.0.2.9/25"],
        ),
        (wish("vmbr0", cidr="192.0.2.1/24", address="192.0.2.1", netmask="24", gateway="192.0.2.254"), [], []),
        (wish("vmbr0", cidr=("192.0.2.1/24", "192.0.2.3/24")), [], ["\taddress 192.0.2.3/24"]),
        (wish("vmbr0", "gateway"), ["\tgateway 192.0.2.254"], []),
        (
            wish("vmbr0", "cidr gateway"),
            ["iface vmbr0 inet static", "\taddress 192.0.2.1/24", "\tgateway 192.0.2.254"],
            ["iface vmbr0 inet manual"],
        ),
        (
            wish("vmbr0", "address netmask gateway", method="dhcp"),
            ["iface vmbr0 inet static", "\taddress 192.0.2.1/24", "\tgateway 192.0.2.254"],
            ["iface vmbr0 inet dhcp"],
        ),
        (
            wish("vmbr0", cidr6="2001:db8::1/64", gateway6="fe80::1"),
            [],
            ["iface vmbr0 inet6 static", "\taddress 2001:db8::1/64", "\tgateway fe80::1"],
        ),
        (wish("vmbr0", method6="auto"), [], ["iface vmbr0 inet6 auto"]),
        (wish("vmbr0", comments="LAN\n"), [], []),
        (wish("vmbr0", comments="LAN\n of two\n"), [], ["\t# of two"]),
        (wish("vmbr0", comments=""), ["\t#LAN"], []),
        (wish("vmbr0", "comments"), ["\t#LAN"], []),
        (wish("vmbr0", autostart="0"), ["auto vmbr0"], []),
        (wish("vmbr0", autostart="1"), [], []),
        (wish("eth0", autostart="1"), [], ["auto eth0"]),
        (wish("eth0", type="eth", mtu="1500"), [], ["\tmtu 1500"]),
        (
            wish("vmbr0", up=("ip route add 198.51.100.0/24 via 192.0.2.2", "true")),
            [],
            ["\tup true"],
        ),
        (wish("vmbr0", "up"), ["\tup ip route add 198.51.100.0/24 via 192.0.2.2"], []),
        (wish("vmbr0", bridge__ageing="120"), [], ["\tbridge-ageing 120"]),
        (wish("vmbr0", "mtu bridge-ageing netmask6"), [], []),
    ],
)
def test_only_what_is_asked_for_changes(asked: Wish, gone: list[str], new: list[str]) -> None:
    after = run(BASE, setting(asked))
    assert lines(BASE, after) == (gone, new)
    assert run(after, setting(asked)) == after


def test_dhcp_stays_dhcp() -> None:
    text = "iface eth0 inet dhcp\n\thostname here\n"
    assert run(text, setting(wish("eth0", comments="x"))) == f"{text}\t#x\n"
    assert "inet static\n" in run(text, setting(wish("eth0", cidr="192.0.2.1/24")))


def test_a_method_that_one_of_several_stanzas_has_is_there() -> None:
    text = "iface eth1 inet6 dhcp\niface eth1 inet6 static\n\taddress 2001:db8::1/64\n"
    once = run(text, setting(wish("eth1", "cidr6", method6="auto")))
    assert once == "iface eth1 inet6 dhcp\niface eth1 inet6 auto\n"
    assert run(once, setting(wish("eth1", "cidr6", method6="auto"))) == once


def test_a_netmask_line_stays_one() -> None:
    text = "iface eth0 inet static\n\taddress 192.0.2.1\n\tnetmask 255.255.255.0\n"
    once = run(text, setting(wish("eth0", cidr="192.0.2.2/25")))
    assert once == "iface eth0 inet static\n\taddress 192.0.2.2\n\tnetmask 255.255.255.128\n"
    assert run(once, setting(wish("eth0", address="192.0.2.1", netmask="24"))) == text


def test_a_stanza_for_both_families_keeps_the_other_one() -> None:
    text = "auto eth0\niface eth0\n\taddress 192.0.2.1/24\n\taddress 2001:db8::1/64\n"
    after = run(text, setting(wish("eth0", cidr="192.0.2.2/24")))
    assert after == text.replace("192.0.2.1", "192.0.2.2")
    assert run(text, setting(wish("eth0", "cidr6"))) == text.replace("\taddress 2001:db8::1/64\n", "")


def test_an_inet6_stanza_comes_and_goes() -> None:
    after = run(BASE, setting(wish("vmbr0", cidr6="2001:db8::1/64")))
    assert run(after, setting(wish("vmbr0", "cidr6"))) == BASE


def test_a_new_bridge_stands_below_the_last() -> None:
    text = BASE + "\n# the other side\nauto vlan5\niface vlan5 inet manual\n\tvlan-raw-device eth0\n"
    asked = wish(
        "vmbr1",
        type="bridge",
        autostart="1",
        bridge_ports="eth1 eth2",
        cidr="198.51.100.1/24",
        cidr6="2001:db8:1::1/64",
        comments="DMZ\n",
        bridge_vlan_aware="1",
    )
    after = run(text, creation(asked))
    assert after == BASE + (
        "\nauto vmbr1\niface vmbr1 inet static\n\taddress 198.51.100.1/24\n\tbridge-ports eth1 eth2\n"
        "\tbridge-stp off\n\tbridge-fd 0\n\tbridge-vlan-aware yes\n\tbridge-vids 2-4094\n\t#DMZ\n"
        "\niface vmbr1 inet6 static\n\taddress 2001:db8:1::1/64\n"
    ) + text.removeprefix(BASE)
    assert run(after, deletion("vmbr1")) == text


@pytest.mark.parametrize(
    ("asked", "stanza"),
    [
        (
            wish("bond0", type="bond", slaves="eth1 eth2", bond_mode="802.3ad", bond_xmit_hash_policy="layer3+4"),
            (
                "iface bond0 inet manual\n\tbond-slaves eth1 eth2\n\tbond-miimon 100\n\tbond-mode 802.3ad\n"
                "\tbond-xmit-hash-policy layer3+4\n"
            ),
        ),
        (wish("eth0.5", type="vlan", cidr="198.51.100.1/24"), "iface eth0.5 inet static\n\taddress 198.51.100.1/24\n"),
        (
            wish("dmz", type="vlan", vlan__raw__device="eth0", vlan__id="7"),
            "iface dmz inet manual\n\tvlan-raw-device eth0\n\tvlan-id 7\n",
        ),
        (wish("eth1", type="eth", method="dhcp"), "iface eth1 inet dhcp\n"),
        (wish("d0", type="dummy"), "iface d0 inet manual\n\tlink-type dummy\n"),
        (wish("eth1", cidr6="2001:db8::1/64"), "iface eth1 inet6 static\n\taddress 2001:db8::1/64\n"),
        (
            wish("in0", type="OVSIntPort", ovs_bridge="vmbr9", ovs_tag="5"),
            "iface in0 inet manual\n\tovs_type OVSIntPort\n\tovs_bridge vmbr9\n\tovs_options tag=5\n",
        ),
        (
            wish("vmbr1", bridge_ports="eth1", post__up=("one", "two"), mtu="1400"),
            (
                "iface vmbr1 inet manual\n\tbridge-ports eth1\n\tbridge-stp off\n\tbridge-fd 0\n"
                "\tmtu 1400\n\tpost-up one\n\tpost-up two\n"
            ),
        ),
    ],
)
def test_new_stanzas(asked: Wish, stanza: str) -> None:
    after = run(BASE, creation(asked))
    assert stanza in after
    assert after.replace(f"{stanza}\n", "").replace(f"\n{stanza}", "") == BASE
    assert run(after, deletion(asked.iface)) == BASE


def test_a_deleted_name_is_struck_off_every_list() -> None:
    text = "auto lo vmbr9 eth0\nno-scripts vmbr9\n\niface eth0 inet manual\n\niface vmbr9 inet manual\n"
    assert run(text, deletion("vmbr9")) == "auto lo eth0\n\niface eth0 inet manual\n"


def test_errors_that_were_there_before_keep_nothing_from_being_edited() -> None:
    text = BASE + "\niface vmbr7 inet static\n\taddress nonsense\n"
    assert examine(config(text), NICS).errors
    assert run(text, setting(wish("vmbr0", mtu="1400"))) == text.replace("fd 0\n", "fd 0\n\tmtu 1400\n", 1)
    assert "address 192.0.2.77/24" in run(text, setting(wish("vmbr7", cidr="192.0.2.77/24")))


def test_differences_by_interface_and_option() -> None:
    after = run(run(BASE, setting(wish("vmbr0", "up", mtu="1400", autostart="0"))), creation(wish("eth1", type="eth")))
    assert difference(config(BASE), config(after)) == [
        {
            "iface": "vmbr0",
            "change": "changed",
            "options": {
                "up": {"before": ["ip route add 198.51.100.0/24 via 192.0.2.2"], "after": []},
                "autostart": {"before": ["auto"], "after": []},
                "mtu": {"before": [], "after": ["1400"]},
            },
        },
        {"iface": "eth1", "change": "added", "options": {"method": {"before": [], "after": ["manual"]}}},
    ]
    assert [one["change"] for one in difference(config(after), config(BASE))] == ["removed", "changed"]


def test_a_gateway_alone_changes_no_method() -> None:
    text = "iface lan inet static\n\taddress 192.0.2.1/24\niface eth0 inet static inherits lan\n"
    once = run(text, setting(wish("eth0", gateway="192.0.2.254")))
    assert lines(text, once) == ([], ["\tgateway 192.0.2.254"])
    assert run(once, setting(wish("eth0", "gateway"))) == text


def test_a_nic_without_a_stanza_gets_one_where_there_is_something_to_say() -> None:
    text = "auto lo\niface lo inet loopback\n"
    assert run(text, setting(wish("eth0", "mtu", type="eth", autostart="0"))) == text
    once = run(text, setting(wish("eth0", "cidr", type="eth", autostart="1", mtu="1400")))
    assert once == f"{text}\nauto eth0\niface eth0 inet manual\n\tmtu 1400\n"
    refusals = [
        (wish("eth0", type="bridge"), {"type"}),
        (wish("eth7", mtu="1400"), {"iface"}),
        (wish("eth0", mtu="x", autostart="x"), {"mtu", "autostart"}),
    ]
    for asked, fields in refusals:
        with pytest.raises(EditError) as refused:
            run(text, setting(asked))
        assert refused.value.errors.keys() == fields


def test_comments_stand_where_they_are_the_stanzas() -> None:
    text = "iface eth0 inet manual\nmtu 1400\niface eth1 inet manual\n# a\n"
    once = run(text, setting(wish("eth0", comments="x\ny\n")))
    assert lines(text, once) == ([], ["\t#x", "\t#y"])
    assert run(once, setting(wish("eth0", "comments"))) == text
    assert lines(text, run(text, setting(wish("eth1", comments=" a\n b\n")))) == ([], ["# b"])


def test_a_new_interface_stands_below_the_lines_of_the_one_before() -> None:
    text = "iface eth0 inet manual\n\niface eth1 inet manual\nno-auto-down eth1\niface vmbr0 inet manual\n"
    asked = wish("eth2", type="eth", cidr="192.0.2.1/24", cidr6="2001:db8::1/64")
    once = run(text, creation(asked))
    assert once.split("no-auto-down eth1\n")[1].splitlines() == [
        "iface eth2 inet static",
        "\taddress 192.0.2.1/24",
        "iface eth2 inet6 static",
        "\taddress 2001:db8::1/64",
        "iface vmbr0 inet manual",
    ]
    assert run(once, deletion("eth2")) == text


# Whatever the file: a change set back, or an interface created and deleted, leaves no trace

TEXTS = [path.read_bytes().decode("utf-8", "surrogateescape") for path in sorted(DATA.glob("[0-9]*.interfaces"))]
CHANGES = st.sampled_from(
    [
        {"mtu": "1400"},
        {"comments": "one\ntwo\n"},
        {"cidr6": "2001:db8:77::1/64"},
        {"cidr": "203.0.113.77/28"},
        {"bridge-ageing": "77"},
        {"post-up": ("true", "echo 'a  b'")},
        {"autostart": "1"},
    ]
)


@given(st.sampled_from(TEXTS), CHANGES, st.data())
def test_what_is_added_and_deleted_leaves_no_trace(text: str, values: dict[str, Any], data: st.DataObject) -> None:
    before = config(text)
    assume(before.by_name)
    name = data.draw(st.sampled_from(sorted(before.by_name)))
    there = {option.key for stanza in before.by_name[name] for option in stanza.options}
    key = next(iter(values)).removesuffix("6")
    assume(key.replace("cidr", "address") not in there)
    assume(key not in ("autostart", "comments") or before.by_name[name][0].inherits is None)
    assume(key != "comments" or "#" not in text)
    assume(key != "autostart" or not any(name in names for names in before.classes.values()))
    assume(key != "cidr" or all(stanza.method == "manual" for stanza in before.by_name[name]))
    once = next(iter(updated(before, Wish(name, values)).values()), text)
    undone = updated(config(once), Wish(name, {}, frozenset(values)))
    assert next(iter(undone.values()), once) == text
    assert updated(config(once), Wish(name, values)) == {}


@given(st.sampled_from(TEXTS), st.sampled_from(["bridge", "eth", "vlan", "bond"]), st.booleans())
def test_what_is_created_and_deleted_leaves_no_trace(text: str, kind: str, auto: bool) -> None:
    values = {"autostart": str(int(auto)), "cidr": "203.0.113.77/28", "comments": "x\n"}
    if kind == "vlan":
        values["vlan-raw-device"] = "eth0"
    (once,) = created(config(text), Wish("new0", values, frozenset(), kind)).values()
    assert once != text
    (again,) = deleted(config(once), "new0").values()
    assert again == text
