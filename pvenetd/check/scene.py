"""All devices of a configuration and who is whose port: what every check looks at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pvenetd.devices import Device
from pvenetd.interfaces.config import Config
from pvenetd.kinds.vlan import Vlan
from pvenetd.nat import gather
from pvenetd.ports import Membership

MAX_NESTING = 8
"""Links upon links that the kernel takes (linux/netdevice.h MAX_NEST_DEV)."""


@dataclass(frozen=True)
class Scene:
    """What is checked."""

    config: Config
    devices: Mapping[str, Device]
    nics: Collection[str]
    """Links that are there without a stanza."""
    ports: list[Membership]

    def has(self, name: str) -> bool:
        """Return whether *name* is there, or comes of itself as a dotted VLAN of something that is."""
        for _ in range(MAX_NESTING):
            if name in self.devices or name in self.nics or name == "lo":
                return True
            parent = implied_parent(name)
            if parent is None:
                return False
            name = parent
        return False

    @cached_property
    def master_of(self) -> Mapping[str, Device]:
        """Return the bridge or bond of each member; of several the last."""
        return {port.name: port.master for port in self.ports}

    @cached_property
    def nat(self) -> list[gather.Asked]:
        """Return what each line and each command asks of NAT."""
        return [one for device in self.devices.values() for one in gather.asked(device)]

    @cached_property
    def vlans(self) -> list[tuple[Vlan, Device, str]]:
        """Return every VLAN, with the device and the option that ask for it; one without a stanza is a member."""
        found = [(device.link, device, "vlan-id") for device in self.devices.values() if isinstance(device.link, Vlan)]
        seen: set[str] = {*self.devices, *self.nics}
        for port in self.ports:
            for link in implied(port.name) if port.name not in seen else ():
                if link.name in seen:
                    break
                seen.add(link.name)
                found.append((link, port.master, members_option(port.master)))
        return found


def members_option(master: Device) -> str:
    """Return the option that names *master*'s members, as its stanza spells it."""
    if master.ovs:
        return "ovs-ports" if "ovs-ports" in master.lines else "ovs-bonds"
    field = {"bridge": "ports", "bond": "slaves"}.get(master.link.kind if master.link else "")
    return master.spelling(field) if field else "vrf"


def implied(name: str) -> Iterator[Vlan]:
    """Yield the VLANs that the dotted *name* makes without a stanza, itself first, then those it stands on."""
    for _ in range(MAX_NESTING):
        values = Vlan.implied(name)
        if "raw_device" not in values or not is_vlan_id(values["vlan_id"]):
            return
        number = int(values["vlan_id"].lstrip("0"))
        yield Vlan.shown(name=name, raw_device=values["raw_device"], vlan_id=number)
        name = values["raw_device"]


def is_vlan_id(digits: str) -> bool:
    """Return whether *digits* are a VLAN identifier, 1 to 4094; there may be any number of them."""
    return 1 <= int(digits.lstrip("0")[:5] or "0") <= 4094


def implied_parent(name: str) -> str | None:
    """Return the raw device of a VLAN named ``eno1.5`` that needs no stanza, None where *name* is none."""
    return Vlan.implied(name).get("raw_device")
