"""All that the devices of a configuration ask of NAT, and the settings that it needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from pvenetd.commands import substituted
from pvenetd.devices import Device
from pvenetd.interfaces.stanza import Line
from pvenetd.nat import command, option
from pvenetd.nat.model import Address, Forward, Nat, Network, OneToOne, Outgoing
from pvenetd.option import interface
from pvenetd.state import INTERFACES, Sysctl

FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
"""Family → what has the host route packets."""


class Asked(NamedTuple):
    """A wish, and who has it where."""

    nat: Nat
    device: Device
    line: Line


def wanted(devices: Mapping[str, Device], names: Iterable[str]) -> tuple[Nat, ...]:
    """Return what the stanzas of *names* ask of NAT; of a line that is wrong, nothing."""
    found = [one for name in names if name in devices for one in asked(devices[name])]
    networks = Networks(devices.values()) if any(not isinstance(one.nat, Outgoing) for one in found) else None
    return tuple(_placed(one.nat, networks) if networks else one.nat for one in found)


def asked(device: Device) -> Iterator[Asked]:
    """Yield what *device* asks for, in its lines' order, but for lines that are wrong."""
    for phase, line in device.commands:
        text = substituted(line.value, device.name)
        yield from (Asked(one, device, line) for one in command.wanted(phase, text, line.origin, device.name))
    for line in lines(device):
        try:
            nats = option.read(line.key, line.value, device.base, meant(device, line), line.origin)
        except option.Wrong:
            continue
        yield from (Asked(one, device, line) for one in nats)


def lines(device: Device) -> list[Line]:
    """Return the lines of *device*'s NAT options."""
    if device.lines.keys().isdisjoint(option.OPTIONS):
        return []
    return [line for stanza in device.stanzas for line in stanza.options if line.key in option.OPTIONS and line.value]


def own(device: Device) -> list[str]:
    """Return the addresses of *device*, as ``10.0.0.1/24``."""
    return [address.address for address, _ in device.addresses]


def meant(device: Device, line: Line) -> list[str]:
    """Return the addresses that *line* is about: for source addresses, those of the stanza that it stands in.

    So ``inet`` and ``inet6`` have their own; a stanza without any speaks for all of the interface's.
    """
    if line.key not in option.OF_THE_STANZA:
        return own(device)
    of = next((stanza.options for stanza in device.stanzas if line in stanza.options), ())
    return [address.address for address, there in device.addresses if there in of] or own(device)


def forwarding(nats: Collection[Nat]) -> list[Sysctl]:
    """Return what has the host route packets of the families that *nats* are about."""
    origins = {one.version: one.origin for one in reversed(list(nats))}
    return [
        Sysctl(name=FORWARDING[version], value="1", owner=INTERFACES, origin=origin)
        for version, origin in sorted(origins.items())
    ]


class Networks:
    """The networks of the host, by who has them."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._of = [(interface(text).network, device.base) for device in devices for text in own(device)]

    def around(self, address: Address, iface: str) -> tuple[Network, str] | None:
        """Return the narrowest network that *address* lies in, and its interface; of two like it, *iface*'s."""
        found = [(net, name) for net, name in self._of if net.version == address.version and address in net]
        found.sort(key=lambda entry: (-entry[0].prefixlen, entry[1] != iface))
        return found[0] if found else None


def _placed(nat: Nat, networks: Networks) -> Nat:
    if isinstance(nat, Outgoing):
        return nat
    around = networks.around(target(nat), nat.iface)
    return replace(nat, inside=around[0]) if around else nat


def target(nat: Forward | OneToOne) -> Address:
    """Return where it goes."""
    return nat.private if isinstance(nat, OneToOne) else nat.to
