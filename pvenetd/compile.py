"""All nouns → what the host should have; every problem, with its line.

Pure: what is on disk and which NICs there are comes in as values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from pvenetd.check import check
from pvenetd.check.mtu import mtu_of, usual_mtu
from pvenetd.check.scene import implied_parent
from pvenetd.choice import Choice
from pvenetd.choice import wanted as choice_of
from pvenetd.commands import Hook
from pvenetd.devices import Device, peers, read
from pvenetd.errors import ConfigError, Problem
from pvenetd.firewall import backend
from pvenetd.firewall.nft_base import Design
from pvenetd.hooks import hooks_of, spared, with_scripts
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.stanza import Line
from pvenetd.kinds.bond import Bond
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import Link
from pvenetd.kinds.veth import Veth
from pvenetd.kinds.vlan import Vlan
from pvenetd.nat import gather
from pvenetd.nat.model import Nat
from pvenetd.nat.rules import compile_nat
from pvenetd.option import interface, join_vlans
from pvenetd.ports import Membership, is_guests, memberships
from pvenetd.resource import Key, Resource
from pvenetd.state import INTERFACES, Route, state


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a configuration asks for."""

    state: Mapping[Key, Resource]
    """Empty where there is an error."""
    problems: tuple[Problem, ...]
    devices: Mapping[str, Device] = field(default_factory=dict)
    nat: tuple[Nat, ...] = ()
    config: Config = field(default_factory=Config)
    nics: frozenset[str] = frozenset()
    """The links that were there without it."""

    @property
    def hotplug(self) -> frozenset[str]:
        """Return what may well not be there."""
        return frozenset(self.config.hotplug) - {*self.config.autos}

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Return the problems that keep it from being applied."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def checked(self) -> Mapping[Key, Resource]:
        """Return the State.  Raises `ConfigError` with every problem where one is an error."""
        if self.errors:
            raise ConfigError(self.problems)
        return self.state


def compile_interfaces(
    config: Config, nics: Collection[str], design: Design = "ct", choice: Choice | None = None
) -> Compiled:
    """Return what *config* asks for; *nics* are the links that are there without it.

    *design* is how this kernel's guests' chains learn of connections, *choice* what is up or down against the files.
    """
    choice = choice or Choice()
    given, config = config, choice.applied(config)
    compiled = replace(examine(config, nics), config=given, nics=frozenset(nics))
    devices = compiled.devices
    if compiled.errors:
        return compiled
    nics = {*nics, *peers(devices)}
    ports = memberships(devices, nics)
    wanted = _in_order(choice_of(config, devices, ports, choice), devices)
    resources = [
        *spared(_links(devices, ports, wanted, nics), devices),
        *_layer3(devices, wanted),
        *_hooks(devices, wanted),
    ]
    nat = gather.wanted(devices, wanted)
    resources += _nat(nat, design)
    if choice.scripts:
        resources = with_scripts(resources, [devices[name] for name in wanted if name in devices], config.no_scripts)
    return replace(compiled, state=state(resources), nat=nat)


def examine(config: Config, nics: Collection[str]) -> Compiled:
    """Return the devices of *config* and all that is wrong with them, and no State: for who only wants to know."""
    devices, problems = read(config)
    problems += check(config, devices, {*nics, *peers(devices)})
    problems = sorted(dict.fromkeys(problems), key=lambda problem: (problem.path, problem.line))
    return Compiled({}, tuple(problems), devices)


def _in_order(names: Collection[str], devices: Mapping[str, Device]) -> list[str]:
    """Return *names* in the file's order, those without a stanza last."""
    return [name for name in devices if name in names] + sorted({*names} - devices.keys())


def _links(
    devices: Mapping[str, Device], ports: list[Membership], wanted: Collection[str], nics: Collection[str]
) -> Iterable[Link]:
    chosen = set(wanted)
    other_end = peers(devices)
    master_of = {port.name: port.master for port in ports if port.master.name in chosen}
    members: dict[str, list[str]] = {}
    for port in ports:
        members.setdefault(port.master.name, []).append(port.name)
    uppers: dict[str, list[int]] = {}
    for device in devices.values():
        if isinstance(device.link, Vlan):
            uppers.setdefault(device.link.raw_device, []).append(device.link.vlan_id)
    for name in wanted:
        link = devices[name].link if name in devices else _implied(name, nics, other_end.get(name), master_of.get(name))
        if link is None:
            continue
        changes: dict[str, object] = {"mac_of": tuple(_below(name, devices, members))} if name in members else {}
        if link.mtu is None and (mtu := usual_mtu(link, devices)):
            changes["mtu"] = mtu
        if isinstance(link, Bridge):
            changes |= _bridge(link, [mtu_of(port, devices) for port in members.get(name, ())], uppers.get(name, []))
        if name in master_of:
            changes |= _port(devices.get(name), link, master_of[name])
        if is_down(name, devices):
            changes["up"] = False
        yield link.model_copy(update=changes)


def _below(name: str, devices: Mapping[str, Device], members: Mapping[str, list[str]]) -> Iterable[str]:
    """Yield its first port, and what that stands on in turn: the first slave of a bond, a VLAN's link."""
    for _ in range(2 * len(devices)):  # a loop has its own problem
        link = devices[name].link if name in devices else None
        ports = [port for port in members.get(name, ()) if not is_guests(port)]
        lower = link.raw_device if isinstance(link, Vlan) else implied_parent(name) if link is None else None
        if not (below := next(iter(ports), lower)):
            return
        yield (name := below)


def is_down(name: str, devices: Mapping[str, Device]) -> bool:
    """Return whether *name* stays down, by its own ``link-down`` or that of a link it stands on."""
    for _ in range(len(devices) + 1):  # a loop has its own problem
        link = devices[name].link if name in devices else None
        if link is not None and not link.up:
            return True
        lower = link.raw_device if isinstance(link, Vlan) else implied_parent(name) if link is None else None
        if lower is None:
            return False
        name = lower
    return False


def _implied(name: str, nics: Collection[str], peer: str | None, master: Device | None) -> Link | None:
    """Return a link without a stanza that others stand on.

    The VLAN that a dotted name makes, the other end of the veth *peer*, or a NIC to set up.
    """
    values = Vlan.implied(name)
    origin = master.head.origin if master else ""
    if values.get("raw_device") and name not in nics:
        return Vlan.model_validate({"name": name, "owner": INTERFACES, "origin": origin, **values})
    if peer:
        return Veth(name=name, peer=peer, mtu=None, owner=INTERFACES, origin=origin)
    return Ethernet(name=name, mtu=None, owner=INTERFACES, origin=origin)


def _bridge(link: Bridge, mtus: list[int], uppers: list[int]) -> dict[str, object]:
    """Return what follows for the bridge itself: the smallest MTU of its ports, and the VLANs of its own."""
    changes: dict[str, object] = {}
    if link.mtu is None:
        changes["mtu"] = min(mtus, default=1500)
    if link.vlan_aware:
        changes["pvid"] = link.port_pvid
        changes["vids"] = join_vlans(*map(str, [*uppers, *([link.port_pvid] if link.port_pvid else [])]))
    return changes


def _port(device: Device | None, link: Link, master: Device) -> dict[str, object]:
    changes: dict[str, object] = {"master": master.name}
    bridge = master.link
    if isinstance(bridge, Bond) and bridge.mtu and (device is None or "mtu" not in device.lines):
        changes["mtu"] = bridge.mtu
    if isinstance(bridge, Bridge) and bridge.vlan_aware:
        lines = device.lines if device else {}
        if access := lines.get("bridge-access"):
            changes |= {"pvid": int(access.value), "vids": str(int(access.value))}
        else:
            pvid = int(lines["bridge-pvid"].value) if "bridge-pvid" in lines else bridge.port_pvid
            tagged = lines["bridge-vids"].value if "bridge-vids" in lines else bridge.port_vids or "2-4094"
            pvid = pvid if _untagged(lines, master.lines) else 0
            changes |= {"pvid": pvid, "vids": join_vlans(str(pvid) if pvid else "", tagged)}
    if isinstance(bridge, Bridge):
        own = link.model_fields_set
        ordered = sorted(bridge.port_settings, key=lambda setting: bool(setting[0]))  # by name outdoes for all
        changes |= {field: value for port, field, value in ordered if port in ("", link.name) and field not in own}
    return changes


def _untagged(port: Mapping[str, Line], bridge: Mapping[str, Line]) -> bool:
    """Return whether a port takes untagged frames, by its own lines or its bridge's (``bridge-allow-untagged``)."""
    line = port.get("bridge-allow-untagged") or bridge.get("bridge-allow-untagged")
    return line is None or line.value.lower() not in ("no", "off", "0", "false")


def _layer3(devices: Mapping[str, Device], wanted: Collection[str]) -> Iterable[Resource]:
    gateways: set[Key] = set()
    for name in wanted:
        device = devices.get(name)
        if device is None or device.ovs:
            continue
        yield from device.settings
        yield from device.card
        yield from (address for address, _ in device.addresses if not interface(address.address).ip.is_unspecified)
        networks = [interface(address.address).network for address, _ in device.addresses]
        peers = {address.peer for address, _ in device.addresses}
        yield from device.clients
        if device.dns:
            yield device.dns
        for given, _ in () if is_down(name, devices) else device.gateways:  # the kernel takes none on a link down
            route = _in_table(given, device, devices)
            if route.key in gateways:
                continue
            gateways.add(route.key)
            via = ip_address(route.via or "")
            near = via.is_link_local or route.via in peers or any(via in network for network in networks)
            yield route if near else route.model_copy(update={"onlink": True})


def _in_table(route: Route, device: Device, devices: Mapping[str, Device]) -> Route:
    """Return *route*, in the table of the VRF that its interface is in."""
    vrf = devices.get(device.lines["vrf"].value) if "vrf" in device.lines else None
    table = getattr(vrf.link, "table", None) if vrf else None
    return route.model_copy(update={"table": table}) if table else route


def _hooks(devices: Mapping[str, Device], wanted: Collection[str]) -> Iterable[Hook]:
    for name in wanted:
        device = devices.get(name)
        if device is not None and (device.link is not None or ":" in name):
            yield from hooks_of(device)


def _nat(nat: Collection[Nat], design: Design) -> list[Resource]:
    """Return what NAT needs: the chains, and forwarding in the families it is for."""
    if not nat:
        return []
    first = next(iter(nat)).origin
    return [
        *gather.forwarding(nat),
        *(
            chains.model_copy(update={"owner": INTERFACES, "origin": first})
            for chains in (backend.base(design), *compile_nat(nat))
        ),
    ]
