"""An ``<interface>`` of a domain's XML → the keys and values of a netN string, and what is to be told about it.

Source: https://libvirt.org/formatdomain.html#network-interfaces.  Of a network's NIC, libvirt fills in the bridge
and the VLANs while the domain runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import get_args

from pvenetd.errors import Severity
from pvenetd.guests.markup import Element
from pvenetd.guests.nic import Model

PORTS = frozenset({"bridge", "network", "ethernet"})
"""The types of interface that are taps of the host's."""
_MODELS = {**{name: name for name in get_args(Model)}, "": "rtl8139"}
"""libvirt's name → Proxmox VE's; without one, it is the one every QEMU has had."""
_ALIAS = re.compile("net(0|[1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True)
class Remark:
    """What is to be told about an interface."""

    code: str
    key: str
    message: str
    hint: str = ""
    severity: Severity = "error"


@dataclass(slots=True)
class Said:
    """What an interface says."""

    values: dict[str, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)


def is_port(interface: Element) -> bool:
    """Return whether the host has a tap of it that can be a port of a Linux bridge."""
    return interface.attributes.get("type") in PORTS and interface.value("virtualport", "type") != "openvswitch"


def alias_index(interface: Element) -> int | None:
    """Return the N of the alias netN that libvirt has given it; it keeps it while others come and go."""
    found = _ALIAS.fullmatch(interface.value("alias", "name") or "")
    return int(found[1]) if found else None


def said(interface: Element) -> Said:
    """Return what *interface* says of its NIC."""
    found = Said()
    model = interface.value("model", "type") or ""
    found.values["model"] = _MODELS.get(model) or "virtio"  # the port is the same, whatever the guest sees
    for key, path in (
        ("macaddr", ("mac", "address")),
        ("mtu", ("mtu", "size")),
        ("queues", ("driver", "queues")),
    ):
        if text := interface.value(*path):
            found.values[key] = text
    if interface.value("link", "state") == "down":
        found.values["link_down"] = "1"
    if filtering := interface.value("filterref", "filter"):
        message = f"libvirt's own filter '{filtering}' (nwfilter) filters this NIC too"
        found.remarks.append(Remark("nwfilter", "filterref", message, "", "warning"))
    if not is_port(interface):
        _tell_other(interface, found)
        return found
    if interface.attributes.get("type") in ("bridge", "network") and (bridge := interface.value("source", "bridge")):
        found.values["bridge"] = bridge
    if interface.value("port", "isolated") == "yes":
        found.values["isolated"] = "1"
    _read_vlan(interface, found)
    _read_bandwidth(interface, found)
    return found


def vlans(place: Element) -> dict[str, str]:
    """Return what the ``<vlan>`` in *place*, a network or a group of its ports, says."""
    found = Said()
    _read_vlan(place, found)
    return found.values


def _tell_other(interface: Element, found: Said) -> None:
    what = interface.value("virtualport", "type") or interface.attributes.get("type", "")
    if what == "openvswitch":
        message = "a port of Open vSwitch is left to libvirt"
        found.remarks.append(Remark("unknown-option", "virtualport", message, "", "warning"))


def _read_vlan(interface: Element, found: Said) -> None:
    """Read ``<vlan>``: one tag is an access port's; of a trunk, the native one is that of untagged frames."""
    vlan = interface.first("vlan")
    tags = list(vlan.all("tag")) if vlan else []
    ids = []
    for tag in tags:
        number = tag.attributes.get("id", "")
        if re.fullmatch("[0-9]{1,9}", number):
            ids.append(number)
        else:
            found.remarks.append(Remark("vlan-id-range", "tag", f"tag: '{number}': should be a whole number"))
    natives = [tag for tag in tags if tag.attributes.get("nativeMode")]
    if not tags or len(ids) < len(tags):
        return
    if len(tags) == 1 and not natives and vlan and vlan.attributes.get("trunk") != "yes":
        found.values["tag"] = ids[0]
        return
    if any(tag.attributes["nativeMode"] == "tagged" for tag in natives):
        message = "nativeMode='tagged': a port sends its native VLAN untagged"
        found.remarks.append(Remark("unknown-value", "tag", message, "nativeMode='untagged'"))
    native = natives[0].attributes["id"] if natives else None
    if tagged := [number for number in ids if number != native]:
        found.values["trunks"] = ";".join(tagged)
    if native:
        found.values["tag"] = native
    else:
        message = "trunks without a native VLAN: untagged frames are in the bridge's own VLAN"
        found.remarks.append(Remark("port-option", "trunks", message, "nativeMode='untagged' names another", "warning"))


def _read_bandwidth(interface: Element, found: Said) -> None:
    """Read ``<bandwidth>``, in KiB a second; a rate holds both ways."""
    averages = {way: interface.value("bandwidth", way, "average") for way in ("inbound", "outbound")}
    if averages["inbound"] == averages["outbound"]:
        text = averages["inbound"]
        if text and re.fullmatch("[0-9]{1,12}", text):
            found.values["rate"] = repr(int(text) / 1024)
    elif any(averages.values()):
        shown = ", ".join(f"{way} {text} KiB/s" if text else f"{way} without" for way, text in averages.items())
        message = f"bandwidth: {shown}: only libvirt limits each way by itself"
        hint = "a rate in the metadata holds both ways"
        found.remarks.append(Remark("unknown-option", "rate", message, hint, "warning"))
