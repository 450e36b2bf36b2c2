"""A libvirt domain's XML → `Guest`: its VMID, its NICs, and which of the host's devices are their ports.

What the interfaces say is overridden by the domain's metadata (`pvenetd.guests.libvirt_meta`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pvenetd.errors import ConfigError, Problem
from pvenetd.guests import libvirt_meta, libvirt_nic, markup
from pvenetd.guests.guest import Guest
from pvenetd.guests.libvirt_meta import Meta, Net
from pvenetd.guests.libvirt_nic import Remark
from pvenetd.guests.markup import Element
from pvenetd.guests.nic import Nic, QemuNic, judged
from pvenetd.names import is_ifname, parse_tap, tap_name

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NUMBERED = re.compile("(?:.*-|.*vm)?([1-9][0-9]{2,8})", re.IGNORECASE | re.DOTALL)
"""A name that tells a VMID: the number, or what ends in -NUMBER or vmNUMBER."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of libvirt's."""

    uuid: str
    name: str
    guest: Guest | None
    """None where nothing tells its VMID: such a domain is not ours."""
    devices: frozenset[str] = frozenset()
    """The devices that libvirt has given it, by name."""
    attached: frozenset[int] = frozenset()
    """NICs that it has, and the host a port of; others are announced, and still to be attached."""
    made_here: frozenset[int] = frozenset()
    """NICs whose tap libvirt expects to be there: ``<target dev='…' managed='no'/>``."""


def path_of(name: str) -> str:
    """Return what stands for a file in messages about the domain *name*."""
    return f"libvirt:{name}"


def parse_domain(text: str, called: str = "") -> Domain:
    """Return the domain in *text*, `Guest.problems` telling what is wrong with its NICs.

    Raises `ConfigError` for what is no domain's XML (*called* is its name then), and where the metadata are ours
    and no VMID comes of them.
    """
    try:
        root = markup.parse(text)
    except markup.MarkupError as error:
        raise ConfigError([Problem(path_of(called), error.line, "syntax", error.reason)]) from error
    uuid, name = (found.text.strip() if (found := root.first(tag)) else "" for tag in ("uuid", "name"))
    if root.tag != "domain" or root.space or not name or not _UUID.fullmatch(uuid):
        raise ConfigError([Problem(path_of(called), root.line, "syntax", "no domain with a name and a uuid")])
    path = path_of(name)
    meta = libvirt_meta.read(root, path)
    interfaces = interfaces_of(root)
    ports = filter(libvirt_nic.is_port, interfaces)
    devices = frozenset(filter(None, (interface.value("target", "dev") for interface in ports)))
    vmid = vmid_of(name, meta, interfaces)
    if vmid is None:
        if meta.line:
            message = "nothing tells the domain's VMID"
            own = Problem(path, meta.line, "syntax", message, hint='vmid="100"', option="vmid")
            raise ConfigError([*meta.problems, *([] if any(p.option == "vmid" for p in meta.problems) else [own])])
        return Domain(uuid, name, None, devices)
    nics = _Nics(vmid, path, [*meta.problems])
    nics.read(interfaces, meta)
    guest = Guest(
        vmid,
        name,
        MappingProxyType(nics.found),
        MappingProxyType(nics.lines),
        path,
        text,
        tuple(sorted(nics.problems, key=lambda problem: problem.line)),
        "libvirt",
        MappingProxyType(nics.devices),
        frozenset(nics.lines.keys() - nics.ethernet),
    )
    return Domain(uuid, name, guest, devices, frozenset(nics.attached), frozenset(nics.made_here))


def read_guest(text: str, vmid: int, path: str) -> Guest:
    """Return the guest that the domain in *text* is.  Raises `ConfigError` where it is not *vmid*'s any more."""
    guest = parse_domain(text).guest
    if guest is None or guest.vmid != vmid:
        raise ConfigError([Problem(path, 0, "syntax", f"it is not guest {vmid} any more")])
    return guest


def interfaces_of(root: Element) -> list[Element]:
    """Return a domain's interfaces, in their order."""
    devices = root.first("devices")
    return list(devices.all("interface")) if devices else []


def vmid_of(name: str, meta: Meta, interfaces: list[Element]) -> int | None:
    """Return a domain's VMID: by its metadata, else by the name of a tap, else by its own; None without any."""
    if meta.vmid is not None:
        return meta.vmid
    for interface in interfaces:
        if found := parse_tap(interface.value("target", "dev") or ""):
            return found[0]
    numbered = _NUMBERED.fullmatch(name)
    return int(numbered[1]) if numbered else None


def numbered(interfaces: list[Element], meta: Meta, vmid: int) -> list[tuple[int, Element]]:
    """Return each interface with the N of its netN.

    That is told by the name of its tap, by the metadata, or by libvirt's alias, which stay the same while other NICs
    come and go.  One without any has its place among the interfaces, or the first that is free.
    """
    wanted = [_told_index(interface, meta, vmid) for interface in interfaces]
    taken = {index for index in wanted if index is not None}
    found = []
    for place, (interface, told) in enumerate(zip(interfaces, wanted, strict=True)):
        index = told
        if index is None:
            index = place if place not in taken else next(n for n in range(len(taken) + 1) if n not in taken)
            taken.add(index)
        found.append((index, interface))
    return found


def _told_index(interface: Element, meta: Meta, vmid: int) -> int | None:
    tap = parse_tap(interface.value("target", "dev") or "")
    if tap and tap[0] == vmid:
        return tap[1]
    mac = mac_of(interface)
    for net in meta.nets:
        if net.index is not None and net.mac and net.mac == mac:
            return net.index
    return libvirt_nic.alias_index(interface)


def mac_of(interface: Element) -> str:
    """Return an interface's MAC in lower case, empty for none."""
    return (interface.value("mac", "address") or "").lower()


@dataclass(slots=True)
class _Nics:
    """A domain's NICs, as they are read."""

    vmid: int
    path: str
    problems: list[Problem]
    found: dict[int, Nic] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)
    devices: dict[int, str] = field(default_factory=dict)
    attached: set[int] = field(default_factory=set)
    made_here: set[int] = field(default_factory=set)
    ethernet: set[int] = field(default_factory=set)
    """NICs whose taps libvirt puts into no bridge."""

    def read(self, interfaces: list[Element], meta: Meta) -> None:
        """Read *interfaces*, and NICs that *meta* alone announces: those that are still to be attached."""
        unused = {id(net): net for net in meta.nets}
        for index, interface in numbered(interfaces, meta, self.vmid):
            if index in self.lines:
                message = f"net{index} is there already, in line {self.lines[index]}"
                self._tell(index, interface.line, Remark("syntax", "target", message, "keep one"))
                continue
            self.lines[index] = interface.line
            nets = [net for net in meta.nets if is_about(net, index, mac_of(interface))]
            for net in nets:
                unused.pop(id(net), None)
            self._interface(index, interface, nets)
        for net in unused.values():
            if net.index is None:
                message = f"no NIC has the MAC {net.mac}"
                self.problems.append(Problem(self.path, net.line, "unknown-option", message, "warning"))
            elif net.index not in self.lines:
                self.lines[net.index] = net.line
                mac = {"macaddr": net.mac} if net.mac else {}
                self._nic(net.index, {"model": "virtio", **mac, **net.values}, dict.fromkeys(net.values, net.line))

    def _interface(self, index: int, interface: Element, nets: list[Net]) -> None:
        said = libvirt_nic.said(interface)
        values = dict(said.values)
        lines: dict[str, int] = {}
        for net in nets:
            values |= net.values
            lines |= dict.fromkeys(net.values, net.line)
        for remark in said.remarks:
            if remark.key not in lines:
                self._tell(index, interface.line, remark)
        if not libvirt_nic.is_port(interface):
            if "bridge" in lines:
                message = f"a NIC of type {interface.attributes.get('type')} has no port on the host"
                self._tell(index, lines["bridge"], Remark("unknown-value", "bridge", message, "type='ethernet'"))
            values.pop("bridge", None)
        else:
            self.attached.add(index)
            if interface.attributes.get("type") == "ethernet":
                self.ethernet.add(index)
            self._device(index, interface)
        self._nic(index, values, lines)

    def _device(self, index: int, interface: Element) -> None:
        """Read which device is the port."""
        device = interface.value("target", "dev")
        if device is None:
            return
        own = parse_tap(device)
        if not is_ifname(device):
            self._tell(index, interface.line, Remark("ifname", "target", f"target: '{device}' is no name of a device"))
        elif own and own != (self.vmid, index):
            message = f"target: '{device}' is net{own[1]} of guest {own[0]}, this is net{index} of guest {self.vmid}"
            self._tell(index, interface.line, Remark("ifname", "target", message))
        elif device in self.devices.values():
            self._tell(index, interface.line, Remark("ifname", "target", f"target: '{device}' is there twice"))
        else:
            if device != tap_name(self.vmid, index):
                self.devices[index] = device
            if interface.attributes.get("type") == "ethernet" and interface.value("target", "managed") == "no":
                self.made_here.add(index)

    def _nic(self, index: int, values: Mapping[str, str], lines: Mapping[str, int]) -> None:
        nic, wrong = judged(QemuNic, values, index)
        for code, key, message, hint in wrong:
            self._tell(index, lines.get(key, self.lines[index]), Remark(code, key, message, hint))
        if nic:
            self.found[index] = nic

    def _tell(self, index: int, line: int, remark: Remark) -> None:
        facts = (remark.code, remark.message, remark.severity, remark.hint, f"net{index}", remark.key)
        self.problems.append(Problem(self.path, line, *facts))


def is_about(net: Net, index: int, mac: str) -> bool:
    """Return whether *net* means the NIC net*index* with *mac*."""
    if net.mac and net.index is None:
        return net.mac == mac
    return net.index == index
