"""The API's keys: which option of interfaces(5) each sets, and how its value is written.

Proxmox VE's keys have their own names; every other option goes by its own.  Source: the parameters of
Proxmox VE's ``nodes/{node}/network``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pvenetd.interfaces.edit import COMMANDS
from pvenetd.interfaces.stanza import canonical
from pvenetd.kinds import KINDS, kind_of
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import options
from pvenetd.kinds.vlan import Vlan
from pvenetd.nat.option import OPTIONS as NAT_OPTIONS

ADDRESSING = ("address", "netmask", "cidr", "gateway")
"""Keys that have a twin for IPv6: ``cidr6``."""
OVS_TYPES = ("OVSBridge", "OVSBond", "OVSPort", "OVSIntPort")
TYPES = ("eth", "bridge", "bond", "vlan", "vxlan", "alias", "dummy", "loopback", *OVS_TYPES)
"""Types that a new interface may be said to have; others follow from its options."""

_OPTION = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_PROXMOX = (
    "bond_miimon", "bond_mode", "bond_xmit_hash_policy", "bridge_fd", "bridge_ports", "bridge_stp", "bridge_vids",
    "bridge_vlan_aware", "ovs_bonds", "ovs_bridge", "ovs_options", "ovs_ports", "ovs_tag", "slaves",
)  # fmt: skip
"""Keys that are spelled otherwise than their options."""
_LISTS = frozenset({"bridge-ports", "bond-slaves", "ovs-ports", "ovs-bonds", "bridge-vids"})
_OR_NONE = frozenset({"bridge-ports", "bond-slaves"})
_PATTERNS = frozenset({"regex", "glob", "noregex", "noglob"})
_FLAGS = frozenset({"bridge-vlan-aware"})
_SHOWN = frozenset(
    {"bridge-ports", "bridge-stp", "bridge-fd", "bond-slaves", "bond-mode", "bond-miimon"}
    | {"vlan-raw-device", "vlan-id", "vlan-protocol"}
)
"""Options that records show for every interface of their kind."""
_TRUE, _FALSE = frozenset({"1", "yes", "on", "true"}), frozenset({"0", "no", "off", "false"})
_DEFAULTS: dict[str, dict[str, str]] = {
    "bridge": {"bridge-ports": "none", "bridge-stp": "off", "bridge-fd": "0"},
    "bond": {"bond-slaves": "none", "bond-miimon": "100", "bond-mode": "balance-rr"},
    "dummy": {"link-type": "dummy"},
    **{name: {"ovs_type": name} for name in OVS_TYPES},
}
_RANKS = (("loopback",), ("eth", "OVSPort"), ("bond", "OVSBond"), ("bridge", "OVSBridge"))
_PHYSICAL = re.compile(r"eth\d+|en.*|ib.*|nic\d+|if\d+")


def is_or_none(option: str) -> bool:
    """Return whether *option* says that there are none by a word, and makes its interface what it is."""
    return canonical(option) in _OR_NONE


def option_of(key: str) -> str | None:
    """Return how a new line spells the option that *key* sets, None where no option has such a name."""
    if not _OPTION.fullmatch(key):
        return None
    if key == "slaves":
        return "bond-slaves"
    return canonical(key).replace("-", "_") if canonical(key).startswith("ovs-") else canonical(key)


def synonyms(option: str, name: str, there: Mapping[str, str]) -> tuple[str, ...]:
    """Return the spellings of *option* on the interface *name*, whose options are *there*."""
    known = options(kind_of(name, there))
    field = known.get(canonical(option))
    return tuple(spelling for spelling, found in known.items() if field and found[0] == field[0])


def goes_without_saying(option: str, text: str, name: str, there: Mapping[str, str]) -> bool:
    """Return whether records of *name*, whose options are *there*, show *text* for *option* though no line says so."""
    kind = kind_of(name, there)
    field = options(kind).get(canonical(option), ("", None))[0]
    if canonical(option) not in _SHOWN or not field:
        return False
    said = {"name": name, **(kind.implied(name) if issubclass(kind, Vlan) else {})}
    needed = {one: "1" for one, info in kind.model_fields.items() if info.is_required() and one not in said}
    if field in needed:
        return False
    try:
        found = [getattr(kind.model_validate({**needed, **said, **more}), field) for more in ({}, {field: text})]
    except ValueError:
        return False
    return bool(found[0] == found[1])


def written(option: str, text: str, old: str = "") -> str:
    """Return *text* as the value of *option*: lists with blanks, flags as yes and no; *old* where that says the same.

    Raises ValueError.
    """
    key = canonical(option)
    if key in _LISTS:
        words = _words(text)
        if not words and key not in _OR_NONE:
            raise ValueError("names nothing")
        return old if old and _words(old) == words else " ".join(words) or "none"
    if key in _FLAGS:
        wanted = flag(text)
        return old if old and (old.lower() in _TRUE) == wanted else "yes" if wanted else "no"
    return old if key not in COMMANDS and text.split() == old.split() else text


def flag(text: str) -> bool:
    """Return what a boolean of the API says.  Raises ValueError."""
    if not is_flag(text):
        raise ValueError("should be 0 or 1")
    return text.lower() in _TRUE


def is_flag(text: str) -> bool:
    """Return whether *text* is a boolean of the API."""
    return text.lower() in _TRUE | _FALSE


def known() -> list[str]:
    """Return every key that somebody may want to type: Proxmox VE's, and the options of every kind."""
    own = [f"{key}{family}" for key in (*ADDRESSING, "comments", "method") for family in ("", "6")]
    found = {spelling for kind in KINDS.values() for spelling, (_, option) in options(kind).items() if option.name}
    return sorted({*own, "autostart", "type", *_PROXMOX, *COMMANDS, *NAT_OPTIONS, *found})


def defaults(kind: str) -> dict[str, str]:
    """Return what Proxmox VE writes for a new interface of the type *kind* though nobody said it."""
    return dict(_DEFAULTS.get(kind, {}))


def needed(kind: str, name: str) -> tuple[str, ...]:
    """Return the keys without which nothing of the type *kind* can be made by the name *name*."""
    if kind == "vlan" and "raw_device" not in Vlan.implied(name):
        return ("vlan-raw-device",)
    return ("vxlan-id",) if kind == "vxlan" else ()


def type_of(name: str, there: Mapping[str, str], *, physical: bool = False) -> str:
    """Return Proxmox VE's type of the interface *name* with the options *there* (spelled with dashes).

    *physical*: whether its link is known to be a NIC; the name may tell so, too.
    """
    if ":" in name:
        return "alias"
    if "ovs-type" in there:
        return there["ovs-type"]
    kind = kind_of(name, there)
    if kind is not Ethernet:
        found: str = kind.model_fields["kind"].default
        return found
    return "eth" if physical or is_nic_name(name) else "unknown"


def is_nic_name(name: str) -> bool:
    """Return whether *name* is a NIC's by the rule Proxmox VE has, whatever its link is."""
    return bool(_PHYSICAL.fullmatch(name))


def is_type(kind: str) -> bool:
    """Return whether *kind* is a type that an interface is shown with, or may be said to have."""
    return kind in (*TYPES, "unknown") or (kind in KINDS and kind not in ("ethernet", "tap"))


def rank(kind: str) -> int:
    """Return where interfaces of the type *kind* stand in a file that a person wrote: NICs before bridges."""
    return next((number for number, kinds in enumerate(_RANKS) if kind in kinds), len(_RANKS))


def _words(text: str) -> list[str]:
    blanks = text.split()
    if not _PATTERNS.isdisjoint(blanks):
        return blanks
    return [word for word in re.split(r"[\s,;]+", text) if word and word != "none"]
