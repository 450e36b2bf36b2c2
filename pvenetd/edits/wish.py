"""What an edit asks for, and what is wrong with it by itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, ip_address, ip_interface

from pvenetd.edits.keys import TYPES, is_flag, is_type, option_of
from pvenetd.names import is_ifname

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_COMMENTS = ("comments", "comments6")
_METHODS = {"method": ("static", "manual", "dhcp"), "method6": ("static", "manual", "dhcp", "auto")}


@dataclass(frozen=True)
class Wish:
    """What one interface is to have: only what is named changes."""

    iface: str
    values: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """By the API's key; several values for an option that stands there as often."""
    dropped: frozenset[str] = frozenset()
    """Keys whose option goes."""
    kind: str | None = None
    """The API's type: what the interface is, or is to be."""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """What is known to be wrong with it already, by key."""

    def one(self, key: str) -> str | None:
        """Return the value of *key*, the first of several."""
        value = self.values.get(key)
        return value if isinstance(value, str) or value is None else next(iter(value), None)

    def several(self, key: str) -> tuple[str, ...]:
        """Return the values of *key*."""
        value = self.values[key]
        return (value,) if isinstance(value, str) else value

    def without(self, keys: Collection[str]) -> Wish:
        """Return what is left without *keys*; with one of a family's addresses all of them go."""
        gone = set(keys)
        for family in ("", "6"):
            addresses = {f"{key}{family}" for key in ("cidr", "address", "netmask")}
            gone |= addresses if addresses & gone else set()
        values = {key: value for key, value in self.values.items() if key not in gone}
        wrong = {key: text for key, text in self.wrong.items() if key not in gone}
        kind = None if "type" in gone else self.kind
        return replace(self, values=values, dropped=self.dropped - gone, kind=kind, wrong=wrong)

    def errors(self) -> dict[str, str]:
        """Return what is wrong with it whatever the configuration is, by key."""
        wrong = {**dict(self._wrong()), **self.wrong}
        for family in ("", "6"):
            wrong |= {key: text for key, text in self._addressing(family) if key not in wrong}
        return wrong

    def _wrong(self) -> Iterable[tuple[str, str]]:
        if not is_ifname(self.iface.partition(":")[0]):
            yield "iface", f"the kernel takes no name like '{self.iface}'"
        if self.kind is not None and not is_type(self.kind):
            yield "type", f"should be one of {', '.join(TYPES)}"
        for key in self.values.keys() & self.dropped:
            yield key, "is both set and deleted"
        for key in self.values:
            if reason := self._reason(key):
                yield key, reason

    def _reason(self, key: str) -> str:
        texts = self.several(key)
        if not texts:
            return "has no value"
        if key in _COMMENTS:
            return "no control characters" if any(_CONTROL.search(text.replace("\n", "")) for text in texts) else ""
        if any(_CONTROL.search(text) for text in texts):
            return "no control characters"
        if key == "autostart":
            return "" if is_flag(texts[0]) else "should be 0 or 1"
        if key == "ovs_tag":
            good = texts[0].isascii() and texts[0].isdigit() and 1 <= int(texts[0]) <= 4094
            return "" if good else "should be 1 to 4094"
        if key in _METHODS:
            return "" if texts[0] in _METHODS[key] else f"should be one of {', '.join(_METHODS[key])}"
        if option_of(key) is None:
            return "no such parameter"
        if key not in ("bridge_ports", "bridge-ports", "slaves", "bond-slaves") and any(not text for text in texts):
            return "is empty: delete it instead"
        return ""

    def _addressing(self, family: str) -> Iterable[tuple[str, str]]:
        version = 6 if family else 4
        sent = {key: self.values[key] for key in (f"cidr{family}", f"address{family}") if key in self.values}
        for key in sent:
            for text in self.several(key):
                if reason := _address_error(text, version, cidr=key.startswith("cidr")):
                    yield key, reason
        cidr, address = self.one(f"cidr{family}"), self.one(f"address{family}")
        if cidr and address and cidr.partition("/")[0] != address.partition("/")[0]:
            yield f"address{family}", f"conflicts with cidr{family}"
        if (mask := self.one(f"netmask{family}")) and prefix_length(mask, version) is None:
            yield f"netmask{family}", f"'{mask}' is no netmask"
        if f"gateway{family}" in self.values:
            for text in self.several(f"gateway{family}"):
                if not _is_host(text, version):
                    yield f"gateway{family}", f"'{text}' is no IPv{version} address"


def with_tag(wish: Wish, options: str) -> Wish:
    """Return *wish* with Open vSwitch's VLAN where ovs_options(5) has it, ``tag=N``; *options* are those there now."""
    if "ovs_tag" not in wish.values and "ovs_tag" not in wish.dropped and "ovs_options" not in wish.values:
        return wish
    old = [word for word in options.split() if word.startswith("tag=")]
    tag = [f"tag={wish.one('ovs_tag')}"] if "ovs_tag" in wish.values else [] if "ovs_tag" in wish.dropped else old
    text = "" if "ovs_options" in wish.dropped else wish.one("ovs_options") or options
    words = [word for word in text.split() if not word.startswith("tag=")]
    values = {key: value for key, value in wish.values.items() if key not in ("ovs_tag", "ovs_options")}
    dropped = wish.dropped - {"ovs_tag", "ovs_options"}
    if words or tag:
        return replace(wish, values={**values, "ovs_options": " ".join([*tag, *words])}, dropped=dropped)
    return replace(wish, values=values, dropped=dropped | {"ovs_options"})


def prefix_length(mask: str, version: int) -> int | None:
    """Return the length of a netmask, ``255.255.255.0`` or ``24``, None where it is none."""
    if mask.isascii() and mask.isdigit() and int(mask) <= (128 if version == 6 else 32):
        return int(mask)
    try:
        return IPv4Network(f"0.0.0.0/{mask}").prefixlen if "." in mask and version == 4 else None
    except ValueError:
        return None


def _address_error(text: str, version: int, *, cidr: bool) -> str:
    if cidr and "/" not in text:
        return f"'{text}' has no prefix length: {text}/{64 if version == 6 else 24}"
    try:
        found = ip_interface(text)
    except ValueError:
        return f"'{text}' is no IPv{version} address"
    if found.version != version or found.ip.is_multicast:
        return f"'{text}' is no IPv{version} address of a host"
    return ""


def _is_host(text: str, version: int) -> bool:
    try:
        return ip_address(text).version == version
    except ValueError:
        return False
