"""A NIC of a libvirt domain gets another netN string: what its XML does not say itself goes into the metadata."""

from __future__ import annotations

from collections.abc import Mapping

from pvenetd.errors import ConfigError
from pvenetd.guests import libvirt_meta, libvirt_nic, markup
from pvenetd.guests.libvirt_meta import KEYS, Meta
from pvenetd.guests.libvirt_xml import interfaces_of, is_about, mac_of, numbered, parse_domain, path_of, vmid_of
from pvenetd.guests.markup import Element
from pvenetd.guests.nic import QemuNic, Wrong, judged, parse_net, refusal

_SWITCHES = frozenset({"firewall", "link_down", "rate", "isolated"})
"""What 0 takes back."""
_ELSEWHERE = "virsh edit changes it"


def put(text: str, index: int, value: str) -> str:
    """Return the XML *text* with *value* for net*index*; one that the domain has not is announced.

    Raises `ConfigError` for what is wrong with the value, and where the domain's own XML says otherwise.
    """
    root, name, meta = _read(text)
    vmid = _vmid(root, name, meta)
    nic = parse_net(value, index, path_of(name))
    interface = next((one for number, one in numbered(interfaces_of(root), meta, vmid) if number == index), None)
    nets = _nets(root, meta, vmid)
    words = {key: kept for key, kept in nets.pop(index, {}).items() if key in ("isolated", "mac")}
    if interface is None:
        words |= {"mac": nic.mac} if nic.mac else {}
        words |= {key: text for key, text in _words(nic).items() if key in KEYS}
    else:
        words |= _beside(nic, interface, path_of(name))
    if interface is None or words.keys() - {"mac"}:
        nets[index] = words
    return markup.edited(markup.encoded(text), [libvirt_meta.put(root, vmid, nets)])


def drop(text: str, index: int) -> str:
    """Return the XML *text* with nothing in its metadata about net*index*."""
    root, name, meta = _read(text)
    vmid = _vmid(root, name, meta)
    nets = _nets(root, meta, vmid)
    if nets.pop(index, None) is None:
        return text
    return markup.edited(markup.encoded(text), [libvirt_meta.put(root, vmid, nets)])


def element(text: str) -> str:
    """Return our element in the XML *text* as virDomainSetMetadata() takes it."""
    root, name, meta = _read(text)
    vmid = _vmid(root, name, meta)
    return libvirt_meta.render(vmid, _nets(root, meta, vmid), bare=True)


def _read(text: str) -> tuple[Element, str, Meta]:
    """Return a domain, its name, and what it says in its metadata.  Raises `ConfigError`."""
    name = parse_domain(text).name
    root = markup.parse(text)
    return root, name, libvirt_meta.read(root, path_of(name))


def _vmid(root: Element, name: str, meta: Meta) -> int:
    found = vmid_of(name, meta, interfaces_of(root))
    if found is None:
        raise ConfigError([])
    return found


def _nets(root: Element, meta: Meta, vmid: int) -> dict[int, dict[str, str]]:
    """Return what the metadata say of each NIC, by its index."""
    found = {net.index: net.words for net in meta.nets if net.index is not None}
    for index, interface in numbered(interfaces_of(root), meta, vmid):
        for net in meta.nets:
            if net.index is None and is_about(net, index, mac_of(interface)):
                found[index] = {**found.get(index, {}), **net.values}
    return found


def _beside(nic: QemuNic, interface: Element, path: str) -> dict[str, str]:
    """Return what the metadata have to say beside *interface* for it to be *nic*.  Raises `ConfigError`."""
    said = dict(libvirt_nic.said(interface).values)
    own, _ = judged(QemuNic, said, nic.index)
    has = _words(own) if own else {}
    wanted = _words(nic)
    wrong: list[Wrong] = []
    if nic.model != said["model"]:
        wrong.append(("unknown-value", "model", f"model: the domain has '{said['model']}'", _ELSEWHERE))
    if nic.mac and nic.mac != mac_of(interface):
        wrong.append(("unknown-value", "macaddr", f"macaddr: the domain has '{mac_of(interface)}'", _ELSEWHERE))
    found: dict[str, str] = {}
    for key in dict.fromkeys([*wanted, *has]):
        if wanted.get(key) == has.get(key):
            continue
        if key not in KEYS or (key not in wanted and key not in _SWITCHES):
            wrong.append(("unknown-value", key, f"{key}: the domain has '{has.get(key, '')}'", _ELSEWHERE))
        else:
            found[key] = wanted.get(key, "0")
    if wrong:
        raise refusal(wrong, nic.index, path, interface.line)
    return found


def _words(nic: QemuNic) -> Mapping[str, str]:
    """Return the keys of a netN string that come by name, with their values."""
    return dict(part.split("=", 1) for part in str(nic).split(",")[1:])
