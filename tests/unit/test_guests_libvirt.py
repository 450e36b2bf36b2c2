"""A libvirt domain's XML → its guest."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.errors import ConfigError
from pvenetd.guests.guest import Guest
from pvenetd.guests.libvirt_meta import read, render
from pvenetd.guests.libvirt_xml import Domain, parse_domain
from pvenetd.guests.markup import parse
from pvenetd.guests.wiring import SPACE

UUID = "6d0b3c9a-52f4-4c5e-9d7e-0123456789ab"
MAC = "52:54:00:00:53:01"


def domain(*interfaces: str, name: str = "web-100", meta: str = "") -> str:
    """Return a domain's XML; its interfaces stand from line 4 on, one a line."""
    metadata = f"<metadata>{meta}</metadata>" if meta else ""
    lines = "\n".join(interfaces)
    return (
        f"<domain type='kvm' id='3'><name>{name}</name>\n<uuid>{UUID}</uuid>{metadata}\n"
        f"<devices>\n{lines}\n</devices></domain>"
    )


def own(inner: str = "", vmid: str = ' vmid="100"') -> str:
    """Return our element."""
    return f'<pvenetd:guest xmlns:pvenetd="{SPACE}"{vmid}>{inner}</pvenetd:guest>'


def nic(inner: str = "", kind: str = "bridge", mac: str = MAC) -> str:
    """Return an interface on vmbr0 where its type has a bridge."""
    source = "<source bridge='vmbr0'/>" if kind in ("bridge", "network") else ""
    return f"<interface type='{kind}'><mac address='{mac}'/>{source}<model type='virtio'/>{inner}</interface>"


def guest(*interfaces: str, name: str = "web-100", meta: str = "") -> Guest:
    found = parse_domain(domain(*interfaces, name=name, meta=meta)).guest
    assert found
    return found


def told(found: Guest) -> list[str]:
    return [str(problem) for problem in found.problems]


@pytest.mark.parametrize(
    ("name", "interface", "meta", "vmid"),
    [
        ("100", nic(), "", 100),
        ("web-100", nic(), "", 100),
        ("vm100", nic(), "", 100),
        ("testVM4711", nic(), "", 4711),
        ("web100", nic(), "", None),
        ("web-99", nic(), "", None),
        ("web-0100", nic(), "", None),
        ("web", nic(), "", None),
        ("web", nic("<target dev='tap200i0'/>"), "", 200),
        ("web", nic("<target dev='vnet0'/>"), "", None),
        ("web-100", nic("<target dev='tap200i0'/>"), "", 200),
        ("web-100", nic(), own(vmid=' vmid="300"'), 300),
        ("web", nic(), own(vmid=' vmid="999999999"'), 999999999),
        ("web-100", nic(), own(vmid=""), 100),
    ],
)
def test_the_vmid_is_the_metadatas_the_taps_or_the_names(
    name: str, interface: str, meta: str, vmid: int | None
) -> None:
    found = parse_domain(domain(interface, name=name, meta=meta))
    assert (found.guest.vmid if found.guest else None) == vmid
    assert (found.uuid, found.name) == (UUID, name)


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        (nic(), f"virtio={MAC},bridge=vmbr0"),
        (nic(kind="network"), f"virtio={MAC},bridge=vmbr0"),
        (nic(kind="ethernet"), f"virtio={MAC}"),
        (nic(kind="user"), f"virtio={MAC}"),
        (nic("<virtualport type='openvswitch'/>"), f"virtio={MAC}"),
        (f"<interface type='bridge'><mac address='{MAC}'/></interface>", f"rtl8139={MAC}"),
        (nic("<vlan><tag id='20'/></vlan>"), f"virtio={MAC},bridge=vmbr0,tag=20"),
        (nic("<vlan trunk='yes'><tag id='20'/></vlan>"), f"virtio={MAC},bridge=vmbr0,trunks=20"),
        (nic("<vlan><tag id='30'/><tag id='20'/><tag id='21'/></vlan>"), f"virtio={MAC},bridge=vmbr0,trunks=20-21;30"),
        (
            nic("<vlan trunk='yes'><tag id='20'/><tag id='5' nativeMode='untagged'/></vlan>"),
            f"virtio={MAC},bridge=vmbr0,tag=5,trunks=20",
        ),
        (
            nic("<bandwidth><inbound average='1024' peak='2048'/><outbound average='1024'/></bandwidth>"),
            f"virtio={MAC},bridge=vmbr0,rate=1",
        ),
        (nic("<bandwidth><inbound average='512'/></bandwidth>"), f"virtio={MAC},bridge=vmbr0"),
        (nic("<mtu size='1400'/>"), f"virtio={MAC},bridge=vmbr0,mtu=1400"),
        (nic("<link state='down'/>"), f"virtio={MAC},bridge=vmbr0,link_down=1"),
        (nic("<link state='up'/>"), f"virtio={MAC},bridge=vmbr0"),
        (nic("<driver name='vhost' queues='4'/>"), f"virtio={MAC},bridge=vmbr0,queues=4"),
    ],
)
def test_what_an_interface_says(interface: str, expected: str) -> None:
    found = guest(interface)
    assert [str(one) for one in found.nics.values()] == [expected]
    assert found.lines == {0: 4}


def test_isolation_is_the_ports() -> None:
    assert [one.isolated for one in guest(nic("<port isolated='yes'/>"), nic()).nics.values()] == [True, False]


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (
            "<filterref filter='clean-traffic'/>",
            "warning nwfilter: libvirt's own filter 'clean-traffic' (nwfilter) filters this NIC too",
        ),
        (
            "<bandwidth><inbound average='512'/><outbound average='100'/></bandwidth>",
            (
                "warning unknown-option: bandwidth: inbound 512 KiB/s, outbound 100 KiB/s: "
                "only libvirt limits each way by itself (a rate in the metadata holds both ways)"
            ),
        ),
        (
            "<vlan trunk='yes'><tag id='20'/></vlan>",
            (
                "warning port-option: trunks without a native VLAN: untagged frames are in the bridge's own VLAN "
                "(nativeMode='untagged' names another)"
            ),
        ),
        ("<virtualport type='openvswitch'/>", "warning unknown-option: a port of Open vSwitch is left to libvirt"),
        (
            "<vlan><tag id='4095'/></vlan>",
            "error vlan-id-range: tag: '4095': Input should be less than or equal to 4094",
        ),
        ("<vlan><tag id='x'/></vlan>", "error vlan-id-range: tag: 'x': should be a whole number"),
        (
            "<vlan trunk='yes'><tag id='5' nativeMode='tagged'/></vlan>",
            "error unknown-value: nativeMode='tagged': a port sends its native VLAN untagged (nativeMode='untagged')",
        ),
        ("<mtu size='lots'/>", "error mtu: mtu: 'lots': should be a whole number"),
        ("<target dev='tap100i1'/>", ""),
        (
            "<target dev='tap101i0'/>",
            "error ifname: target: 'tap101i0' is net0 of guest 101, this is net0 of guest 100",
        ),
        ("<target dev='a b'/>", "error ifname: target: 'a b' is no name of a device"),
    ],
)
def test_what_is_told_of_an_interface(inner: str, expected: str) -> None:
    found = told(guest(nic(inner), meta=own()))
    assert found == ([f"libvirt:web-100:4: {expected}"] if expected else [])


@pytest.mark.parametrize(
    ("interfaces", "meta", "indices"),
    [
        ([nic(), nic()], "", {0: 4, 1: 5}),
        ([nic("<alias name='net1'/>"), nic("<alias name='net3'/>")], "", {1: 4, 3: 5}),
        ([nic("<target dev='tap100i7'/><alias name='net0'/>"), nic()], "", {7: 4, 1: 5}),
        ([nic(), nic("<target dev='tap100i0'/>")], "", {1: 4, 0: 5}),
        ([nic(mac="52:54:00:00:53:0A"), nic()], own('<net index="5" mac="52:54:00:00:53:0a"/>'), {5: 4, 1: 5}),
        ([nic(kind="hostdev"), nic()], "", {0: 4, 1: 5}),
    ],
)
def test_a_nics_index_is_told_or_its_place(interfaces: list[str], meta: str, indices: dict[int, int]) -> None:
    assert guest(*interfaces, meta=meta).lines == indices


@pytest.mark.parametrize(
    ("interface", "device", "made_here"),
    [
        (nic(), "tap100i0", False),
        (nic("<target dev='vnet3'/>"), "vnet3", False),
        (nic("<target dev='tap100i0'/>"), "tap100i0", False),
        (nic("<target dev='tap100i0' managed='no'/>", "ethernet"), "tap100i0", True),
        (nic("<target dev='tap100i0' managed='yes'/>", "ethernet"), "tap100i0", False),
        (nic("<target dev='uplink' managed='no'/>", "ethernet"), "uplink", True),
        (nic("<target dev='macvtap0'/>", "direct"), "tap100i0", False),
    ],
)
def test_the_device_of_a_port(interface: str, device: str, made_here: bool) -> None:
    found = parse_domain(domain(interface))
    assert found.guest
    assert found.guest.device(0) == device
    assert found.made_here == ({0} if made_here else frozenset())


def test_the_metadata_say_what_xml_cannot_and_have_the_last_word() -> None:
    meta = own(
        '<net index="0" bridge="vmbr1" tag="20" firewall="yes" rate="12.5"/>'
        f'<pvenetd:net mac="{MAC[:-1]}2" trunks="30"/>'
        '<net index="4" bridge="vmbr2" link_down="1"/>'
    )
    found = guest(nic("<vlan><tag id='10'/></vlan>"), nic(mac=f"{MAC[:-1]}2"), meta=meta)
    assert told(found) == []
    assert {index: str(one) for index, one in found.nics.items()} == {
        0: f"virtio={MAC},bridge=vmbr1,firewall=1,rate=12.5,tag=20",
        1: f"virtio={MAC[:-1]}2,bridge=vmbr0,trunks=30",
        4: "virtio,bridge=vmbr2,link_down=1",
    }


def test_all_that_is_wrong_is_told_at_once() -> None:
    meta = own(
        '<net index="32"/>\n<net tag="1"/>\n<net index="0" tag="5000" colour="red" mtu=""/>\n<host/>\n'
        '<net index="0"/>\n<net mac="52:54:00:00:53:99" tag="2"/>',
        ' vmid="100" name="web"',
    )
    found = guest(nic(), nic("<target dev='vnet1'/>"), nic("<target dev='vnet1'/>"), meta=meta)
    assert [line.partition(":web-100:")[2] for line in told(found)] == [
        "2: warning unknown-option: unknown attribute 'name' is ignored (there are vmid)",
        "2: error unknown-value: index: '32' should be 0 to 31",
        '3: error syntax: a net without index and mac: which NIC is meant? (index="0")',
        (
            "4: warning unknown-option: unknown attribute 'colour' is ignored (there are index, mac, bridge, tag, "
            "trunks, firewall, rate, mtu, queues, link_down, isolated)"
        ),
        "4: error syntax: mtu has no value (drop it)",
        "4: error vlan-id-range: tag: '5000': Input should be less than or equal to 4094",
        "5: warning unknown-option: unknown element 'host' is ignored (there are net)",
        "6: error syntax: net0 is there already, in line 4 (keep one)",
        "7: warning unknown-option: no NIC has the MAC 52:54:00:00:53:99",
        "11: error ifname: target: 'vnet1' is there twice",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "libvirt:web:1: error syntax: no element found"),
        ("<domain>", "libvirt:web:1: error syntax: no element found"),
        ("<domain/>", "libvirt:web:1: error syntax: no domain with a name and a uuid"),
        ("<network/>", "libvirt:web:1: error syntax: no domain with a name and a uuid"),
        (
            "<domain><name>web</name>\n<uuid>../../etc/passwd</uuid></domain>",
            "libvirt:web:1: error syntax: no domain with a name and a uuid",
        ),
        (
            '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><domain/>',
            "libvirt:web:1: error syntax: a document type (<!DOCTYPE) is not read",
        ),
        (
            domain(name="web", meta=own(vmid="")),
            'libvirt:web:2: error syntax: nothing tells the domain\'s VMID (vmid="100")',
        ),
        (
            domain(name="web", meta=own(vmid=' vmid="99"')),
            "libvirt:web:2: error unknown-value: vmid: '99' should be 100 to 999999999",
        ),
    ],
)
def test_what_is_no_domain_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_domain(text, "web")
    assert str(caught.value) == reason


def test_the_element_that_is_written_is_the_one_that_is_read() -> None:
    nets = {0: {"bridge": "vmbr0", "tag": "20"}, 3: {"firewall": "1", "rate": "12.5"}}
    text = f"<domain><metadata>{render(100, nets)}</metadata></domain>"
    meta = read(parse(text), "x")
    assert meta.vmid == 100
    assert {net.index: net.values for net in meta.nets} == nets
    assert meta.problems == ()


_WORDS = st.sampled_from(
    [
        "100",
        "0",
        "-1",
        "tap100i0",
        "vnet1",
        "yes",
        "no",
        "tagged",
        "untagged",
        "net0",
        "bridge",
        "vmbr0",
        "",
        "ü",
        "1e9",
    ]
)


@st.composite
def elements(draw: st.DrawFn) -> str:
    """Return an interface of what interfaces are made of, in any order."""
    tags = st.sampled_from(["mac", "source", "target", "vlan", "tag", "bandwidth", "inbound", "alias", "mtu", "link"])
    names = st.sampled_from(["address", "bridge", "dev", "managed", "id", "nativeMode", "trunk", "average", "name"])

    def one(inner: str) -> str:
        tag, name, word = draw(tags), draw(names), draw(_WORDS)
        return f'<{tag} {name}="{word}">{inner}</{tag}>'

    inner = "".join(one(one("")) for _ in range(draw(st.integers(0, 6))))
    kind = draw(st.sampled_from(["bridge", "ethernet", "network", "user"]))
    return f"<interface type='{kind}'>{inner}</interface>"


@given(st.lists(elements(), max_size=4), st.dictionaries(st.sampled_from(["index", "mac", "tag", "mtu"]), _WORDS))
def test_any_interfaces_are_read_or_told_of(interfaces: list[str], said: dict[str, str]) -> None:
    words = "".join(f' {key}="{value}"' for key, value in said.items())
    found = guest(*interfaces, meta=own(f"<net{words}/>"))
    told_of = {problem.interface for problem in found.problems if problem.severity == "error"}
    assert {f"net{index}" for index in found.lines} == {f"net{index}" for index in found.nics} | (
        told_of & {f"net{index}" for index in found.lines}
    )
    assert len(set(found.devices.values())) == len(found.devices)


@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_any_bytes_are_a_domain_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_domain(text), Domain)
