"""A domain's NIC gets another netN string."""

from __future__ import annotations

import pytest

from pvenetd.errors import ConfigError
from pvenetd.guests.libvirt_set import drop, element, put
from pvenetd.guests.libvirt_xml import parse_domain
from pvenetd.guests.wiring import SPACE

MAC = "52:54:00:00:53:01"
DOMAIN = f"""\
<domain><name>web-100</name><uuid>6d0b3c9a-52f4-4c5e-9d7e-0123456789ab</uuid>
<metadata><p:guest xmlns:p="{SPACE}" vmid="100"><p:net mac="{MAC[:-1]}2" tag="7" isolated="1"/></p:guest></metadata>
<devices>
<interface type='bridge'><mac address='{MAC}'/><source bridge='vmbr0'/><vlan><tag id='20'/></vlan><model type='virtio'/>
<bandwidth><inbound average='1024'/><outbound average='1024'/></bandwidth></interface>
<interface type='ethernet'><mac address='{MAC[:-1]}2'/><model type='e1000'/></interface>
</devices></domain>"""


def nics(text: str) -> dict[int, str]:
    guest = parse_domain(text).guest
    assert guest
    return {index: str(nic) for index, nic in guest.nics.items()}


@pytest.mark.parametrize(
    ("index", "value", "expected"),
    [
        (0, "virtio,bridge=vmbr0,tag=20,rate=1", '<net index="1" tag="7" isolated="1"/>'),
        (
            0,
            f"virtio={MAC},bridge=vmbr1,tag=30,firewall=1",
            '<net index="0" bridge="vmbr1" tag="30" firewall="1" rate="0"/>',
        ),
        (1, "e1000,bridge=vmbr0,trunks=1-4;7", '<net index="1" bridge="vmbr0" trunks="1-4;7" isolated="1"/>'),
        (1, "e1000", '<net index="1" isolated="1"/>'),
        (
            4,
            "virtio=02:00:5E:00:53:04,bridge=vmbr0,mtu=1400",
            '<net index="4" mac="02:00:5e:00:53:04" bridge="vmbr0" mtu="1400"/>',
        ),
    ],
)
def test_what_the_xml_does_not_say_goes_into_the_metadata(index: int, value: str, expected: str) -> None:
    found = put(DOMAIN, index, value)
    assert expected in element(found)
    assert set(nics(found)[index].split(",")[1:]) - {"rate=0"} == set(value.split(",")[1:])
    others = {number: text for number, text in nics(DOMAIN).items() if number != index}
    assert nics(found).items() >= others.items()
    assert put(found, index, value) == found


@pytest.mark.parametrize(
    ("index", "value", "expected"),
    [
        (0, "virtio,bridge=vmbr0", "tag: the domain has '20' (virsh edit changes it)"),
        (0, "e1000,bridge=vmbr0,tag=20", "model: the domain has 'virtio' (virsh edit changes it)"),
        (0, "virtio=02:00:5E:00:53:04,bridge=vmbr0,tag=20", f"macaddr: the domain has '{MAC}' (virsh edit changes it)"),
        (0, "virtio,bridge=vmbr0,tag=20,host-tunnel=1", "host-tunnel: the domain has '' (virsh edit changes it)"),
        (0, "virtio,bridge=vmbr0,tag=5000", "tag: '5000': Input should be less than or equal to 4094"),
    ],
)
def test_what_the_xml_says_itself_is_changed_there(index: int, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        put(DOMAIN, index, value)
    assert expected in str(caught.value)


def test_what_is_dropped_is_as_the_xml_has_it() -> None:
    changed = put(put(DOMAIN, 0, "virtio,bridge=vmbr9,tag=30"), 4, "virtio,bridge=vmbr0")
    assert nics(drop(drop(changed, 0), 4)) == nics(DOMAIN)
    assert drop(DOMAIN, 9) == DOMAIN
