"""An option is a record: its spelling in interfaces(5), its netlink attribute, and how the value crosses over.

A kind's field carries an `Option`; reading, range checks, netlink encoding, observation, diff and
documentation all follow from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

USER_HZ = 100
"""Ticks per second of every time a bridge takes over netlink (clock_t, time(7))."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How a value is spelled in a netlink attribute: *to* the kernel and back *of* it."""

    to: Callable[[Any], Any]
    of: Callable[[Any], Any]
    over: Callable[[Any, Any], Any] | None = None
    """(value now, value wanted) → what has to be told, where that is not the value wanted."""
    absent: Any = None
    """What the kernel means where it leaves the attribute out; None: its default."""


@dataclass(frozen=True, slots=True)
class Option:
    """Where a field comes from and where it goes.

    *name* and *aliases* are spellings in interfaces(5) (``_`` and ``-`` are one); *nl* is the
    kernel's attribute, its prefix telling the nest: ``IFLA_BRPORT_`` a bridge port's, the
    kind's own prefix IFLA_INFO_DATA, any other the link itself.
    """

    name: str
    aliases: tuple[str, ...] = ()
    nl: str = ""
    wire: Wire | None = None
    down: bool = False
    """The kernel takes a change only while the link is down."""
    nl6: str = ""
    """The attribute where the kernel has another one for IPv6 addresses."""
    several: bool = False
    """Several lines of it add up to one list."""


def _seconds_of(ticks: int) -> float:
    """Return seconds; of 31.25 a kernel with 250 jiffies a second shows 31.24."""
    ticks += ticks % 5 == 4
    return ticks // USER_HZ if ticks % USER_HZ == 0 else ticks / USER_HZ


PLAIN = Wire(to=lambda value: value, of=lambda value: value)
FLAG = Wire(to=int, of=bool)
PRESENT = Wire(to=lambda on: on or None, of=bool)
"""A flag that is set by being there."""
TICKS = Wire(to=lambda seconds: round(seconds * USER_HZ), of=_seconds_of)
IFINDEX = Wire(to=lambda name: name, of=lambda name: name)
"""A link by name here and by index on the wire; the driver, who knows the indices, translates."""

IP = Wire(to=lambda text: text, of=lambda text: "" if ip_address(text).is_unspecified else text)
"""An IP address, empty for none; the driver spells none as the family's own."""


def bit(number: int) -> Wire:
    """Return the wire of a flag that shares its attribute with others: written as (value, mask)."""
    return Wire(to=lambda on: (on << number, 1 << number), of=lambda bits: bool(bits >> number & 1), absent=0)


def choice(names: Iterable[str]) -> Wire:
    """Return the wire of an enumeration whose *names* stand in the kernel's order."""
    table = tuple(names)
    return Wire(to=table.index, of=lambda number: table[number] if number < len(table) else str(number))


def yes_no(value: object) -> object:
    """Return whether a word says yes; what is no word as it is.  Raises ValueError for other words."""
    if isinstance(value, str):
        words = {
            "yes": True,
            "on": True,
            "1": True,
            "true": True,
            "no": False,
            "off": False,
            "0": False,
            "false": False,
        }
        if value.lower() not in words:
            raise ValueError("should be yes or no")
        return words[value.lower()]
    return value


ZeroOne = Annotated[int, Field(ge=0, le=1)]
"""A boolean as Proxmox VE's answers have it."""
YesNo = Annotated[bool, BeforeValidator(yes_no)]
"""``yes on 1 true`` or ``no off 0 false``, in any case."""


def words(values: Mapping[str, int]) -> Callable[[object], object]:
    """Return a reader of numbers that have names too; yes and no in all their spellings."""

    def read(value: object) -> object:
        if not isinstance(value, str) or value.isdigit():
            return value
        text = value.lower()
        text = {"on": "yes", "true": "yes", "off": "no", "false": "no"}.get(text, text)
        if text not in values:
            raise ValueError(f"should be one of {', '.join(values)}, or a number")
        return values[text]

    return read


def _number(value: object) -> object:
    return int(value, 16) if isinstance(value, str) and re.fullmatch(r"0[xX][0-9a-fA-F]+", value) else value


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[0-9]{1,19}(\.[0-9]*)?", value):
        raise ValueError("should be a number of seconds")
    return int(float(value)) if float(value).is_integer() else float(value)


Number = Annotated[int, BeforeValidator(_number)]
"""Decimal, or hexadecimal with 0x."""
Seconds = Annotated[int | float, BeforeValidator(_seconds)]
"""Seconds, to the hundredth."""


def vlan_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Return the VLAN ids of ``2-4094 10,20`` as sorted, joined (first, last) ranges.

    Raises ValueError for what is no VLAN id (IEEE 802.1Q: 1 to 4094).
    """
    ranges: list[tuple[int, int]] = []
    for word in re.split(r"[\s,;]+", text.strip()):
        found = re.fullmatch("([0-9]{1,5})(?:-([0-9]{1,5}))?", word)
        if not found:
            raise ValueError(f"{word!r} is neither a VLAN id nor a range of them")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= 4094:
            raise ValueError(f"{word!r} is outside 1-4094")
        ranges.append((first, last))
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def vlan_ids(text: str) -> frozenset[int]:
    """Return the VLAN ids in *text*, each of them."""
    return frozenset(vid for first, last in (vlan_ranges(text) if text else ()) for vid in range(first, last + 1))


def vlan_text(ranges: Iterable[tuple[int, int]]) -> str:
    """Return (first, last) ranges in the one spelling that State compares: ``1,10-20``."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def join_vlans(*texts: str) -> str:
    """Return the union of VLAN sets in their one spelling; empty ones are left out."""
    text = ",".join(text for text in texts if text)
    return vlan_text(vlan_ranges(text)) if text else ""


def _mac(value: object) -> object:
    if isinstance(value, str):
        text = value.split()[-1].lower() if value.split() else ""
        if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text):
            raise ValueError("should be six hexadecimal pairs like 02:00:5e:00:53:01")
        return text
    return value


def _of_one(text: str) -> str:
    if int(text[:2], 16) & 1 or not int(text.replace(":", ""), 16):
        raise ValueError("should be one card's: not all zeros, and the first pair even (IEEE 802: no group)")
    return text


def _member_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(word for word in value.split() if word != "none")
    return value


@lru_cache(maxsize=1 << 14)
def interface(text: str) -> IPv4Interface | IPv6Interface:
    """Return `ip_interface` of *text*, which is asked for again and again."""
    return ip_interface(text)


VlanSet = Annotated[str, AfterValidator(lambda text: vlan_text(vlan_ranges(text)) if text else "")]
Mac = Annotated[str, BeforeValidator(_mac)]
"""Six bytes; `OwnMac` is one that a link can have."""


def _note(text: str) -> str:
    if len(text.encode(errors="surrogateescape")) > _LONGEST_NOTE:
        raise ValueError(f"is longer than {_LONGEST_NOTE} bytes")
    return text


OwnMac = Annotated[str, BeforeValidator(_mac), AfterValidator(_of_one)]
_LONGEST_NOTE = 200
"""Bytes: the kernel takes 255 (IFALIASZ), of which the mark needs some."""
Note = Annotated[str, AfterValidator(_note)]
Words = Annotated[tuple[str, ...], BeforeValidator(_member_list)]
Ip = Annotated[str, AfterValidator(lambda text: str(ip_address(text)))]
IpOrNone = Annotated[str, AfterValidator(lambda text: str(ip_address(text)) if text else "")]


def _one_of(*words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"should be one of {', '.join(words)}")
        return text

    return check


def _word(word: str, number: int) -> BeforeValidator:
    """Return what reads *word* as *number*, and hexadecimal numbers."""

    def read(value: object) -> object:
        if not isinstance(value, str):
            return value
        return number if value.lower() == word else int(value, 16) if value.lower().startswith("0x") else value

    return BeforeValidator(read)


Ttl = Annotated[int, _word("auto", 0), _word("inherit", 0), Field(ge=0, le=255)]
Tos = Annotated[int, _word("inherit", 1), Field(ge=0, le=255)]
DF: Wire = choice(("unset", "set", "inherit"))
"""Don't fragment, in an outer header (linux/if_link.h VXLAN_DF_*, GENEVE_DF_*)."""
Df = Annotated[str, AfterValidator(_one_of("unset", "set", "inherit"))]
VlanId = Annotated[int, Field(ge=1, le=4094)]
Mtu = Annotated[int, Field(ge=68, le=65535)]
"""Bytes; 68 is the smallest IPv4 allows (RFC 791)."""


def annotated(model: type[BaseModel]) -> Iterator[tuple[str, Option]]:
    """Yield each field of *model* that has an `Option`, with it."""
    for name, field in model.model_fields.items():
        yield from ((name, option) for option in field.metadata if isinstance(option, Option))
