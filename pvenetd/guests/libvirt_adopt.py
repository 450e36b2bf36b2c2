"""A domain's XML → the same with the wiring that pvenetd recommends; every other byte stays.

That is ``type='ethernet'`` with our script, which libvirt waits for at boot and at hotplug alike, and which may refuse;
a tap with the name that tells whose it is; bridge and VLANs, which such a NIC cannot say, in the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pvenetd.errors import ConfigError, Problem
from pvenetd.guests import libvirt_meta, libvirt_nic, markup
from pvenetd.guests.libvirt_meta import Meta
from pvenetd.guests.libvirt_xml import interfaces_of, is_about, mac_of, numbered, parse_domain, path_of, vmid_of
from pvenetd.guests.markup import Element
from pvenetd.guests.wiring import IFUP
from pvenetd.names import tap_name

_MOVED = ("bridge", "tag", "trunks", "isolated")
"""What goes into the metadata: libvirt takes it of no NIC of type ethernet."""
_REPLACED = ("source", "vlan", "port", "virtualport", "target", "script", "downscript")
_TYPE = re.compile(rb"""\stype\s*=\s*('[^']*'|"[^"]*")""")
_BLANK = re.compile(rb"\s*")


@dataclass(frozen=True, slots=True)
class Network:
    """A network of libvirt's, as far as a NIC on it is concerned."""

    forward: str
    """``bridge`` for a bridge of the host's; empty, nat, route, open for one that libvirt makes."""
    bridge: str
    said: Mapping[str, str]
    """VLANs of all its NICs, by the keys of a netN string."""


def parse_network(text: str, portgroup: str = "") -> Network:
    """Return the network in *text*, with what *portgroup* says.  Raises `MarkupError`."""
    root = markup.parse(text)
    groups = [group for group in root.all("portgroup") if group.attributes.get("name") == portgroup]
    said: dict[str, str] = {}
    for place in (root, *groups):
        said |= libvirt_nic.vlans(place)
    return Network(root.value("forward", "mode") or "", root.value("bridge", "name") or "", said)


def networks_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield (network, portgroup) of each NIC on one."""
    for interface in interfaces_of(markup.parse(text)):
        if interface.attributes.get("type") == "network":
            yield interface.value("source", "network") or "", interface.value("source", "portgroup") or ""


def adopted(text: str, vmid: int, networks: Mapping[tuple[str, str], Network]) -> str:
    """Return the XML in *text* with every NIC that has a bridge wired to us, as guest *vmid*'s.

    A NIC on a network that libvirt makes itself stays on it, and gets its tap's name alone.  Raises `ConfigError`
    where what comes of it has errors.
    """
    data = markup.encoded(text)
    root = markup.parse(data)
    name = found.text.strip() if (found := root.first("name")) else ""
    meta = libvirt_meta.read(root, path_of(name))
    nets = {net.index: net.words for net in meta.nets if net.index is not None}
    edits: list[markup.Edit] = []
    interfaces = interfaces_of(root)
    for index, interface in numbered(interfaces, meta, vmid_of(name, meta, interfaces) or vmid):
        if not libvirt_nic.is_port(interface):
            continue
        values = _values(interface, index, meta, networks)
        network = networks.get(_place(interface))
        own = network is not None and network.forward != "bridge"
        target = f"<target dev='{tap_name(vmid, index)}'/>"
        if own or "bridge" not in values:
            if not _has(interface, tap_name(vmid, index)):
                edits += _children(data, interface, ("target",), [target])
            values = {key: value for key, value in values.items() if key not in _MOVED or not own}
        elif not _is_wired(interface, tap_name(vmid, index)):
            lines = [f"<script path='{IFUP}'/>", target]
            edits += [*_typed(data, interface), *_children(data, interface, _REPLACED, lines)]
        if values:
            nets[index] = values
    if meta.vmid != vmid or [(net.index, net.words) for net in meta.nets] != sorted(nets.items()):
        edits.append(libvirt_meta.put(root, vmid, nets))
    return _checked(markup.edited(data, edits), name)


def _has(interface: Element, device: str) -> bool:
    """Return whether libvirt gives its tap the name *device*."""
    return interface.value("target", "dev") == device and interface.value("target", "managed") != "no"


def _is_wired(interface: Element, device: str) -> bool:
    """Return whether it is what is wanted already."""
    others = set(_REPLACED) - {"script", "target"}
    is_ours = interface.attributes.get("type") == "ethernet" and interface.value("script", "path") == IFUP
    return is_ours and _has(interface, device) and not any(child.tag in others for child in interface.children)


def _checked(text: str, name: str) -> str:
    guest = parse_domain(text, name).guest
    errors = [problem for problem in guest.problems if problem.severity == "error"] if guest else []
    if guest is None or errors:
        raise ConfigError(errors or [Problem(path_of(name), 0, "syntax", "nothing comes of it")])
    return text


def _place(interface: Element) -> tuple[str, str]:
    return interface.value("source", "network") or "", interface.value("source", "portgroup") or ""


def _values(interface: Element, index: int, meta: Meta, networks: Mapping[tuple[str, str], Network]) -> dict[str, str]:
    """Return what the metadata is to say of a NIC: what they said, and what its interface cannot say any more."""
    said = {key: text for key, text in libvirt_nic.said(interface).values.items() if key in _MOVED}
    if network := networks.get(_place(interface)):
        said = {"bridge": network.bridge, **network.said, **said}
    for net in meta.nets:
        if is_about(net, index, mac_of(interface)):
            said |= net.words if net.index is not None else net.values
    return {key: text for key, text in said.items() if text}


def _typed(data: bytes, interface: Element) -> Iterator[markup.Edit]:
    if found := _TYPE.search(data, interface.start, interface.content):
        yield found.start(1), found.end(1), b"'ethernet'"


def _children(data: bytes, interface: Element, gone: tuple[str, ...], lines: list[str]) -> Iterator[markup.Edit]:
    """Yield what takes the children called *gone* out of *interface* and puts *lines* in, each where a child begins."""
    for child in interface.children:
        if child.tag in gone and not child.space:
            yield len(data[: child.start].rstrip()), child.end, b""
    if interface.is_empty_tag:
        yield interface.content - 2, interface.content, f">{''.join(lines)}</interface>".encode()
        return
    found = _BLANK.match(data, interface.content)
    indent = found[0] if found else b""
    yield interface.content, interface.content, b"".join(indent + line.encode() for line in lines)
