"""A guest's NIC: Proxmox VE's ``netN`` string ⇄ `Nic`.

Sources: qm.conf(5) of Proxmox VE, "net[n]"; IEEE 802 for the I/G bit of a MAC; IEEE 802.1Q for tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from ipaddress import IPv4Interface, IPv6Interface
from typing import Annotated, ClassVar, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pvenetd.errors import ConfigError, Problem
from pvenetd.names import is_ifname
from pvenetd.option import VlanId, VlanSet, YesNo

Model = Literal[
    "e1000",
    "e1000-82540em",
    "e1000-82544gc",
    "e1000-82545em",
    "e1000e",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "pcnet",
    "rtl8139",
    "virtio",
    "vmxnet3",
]
"""The devices QEMU can show a guest, by Proxmox VE's names."""

LEAST_RATE = 0.001
"""Megabytes a second: with less, the largest piece a guest sends would never pass (act_police counts 275 s at most)."""


def _digits(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,9}", value):
        raise ValueError("should be a whole number")
    return value


def _number(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?", value, re.IGNORECASE):
        raise ValueError("should be a number, 0 or more")
    return value


def _worth_it(rate: float) -> float:
    if 0 < rate < LEAST_RATE:
        raise ValueError(f"should be 0 for no limit, or at least {LEAST_RATE}")
    return rate


def hardware(text: str) -> str:
    """Return a NIC's MAC as it is written.  Raises ValueError for what is none."""
    if not re.fullmatch("[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
        raise ValueError("should be six hexadecimal pairs like BC:24:11:00:53:01")
    if int(text[:2], 16) & 1:
        raise ValueError("is a group's address, the first pair of a device's is even")
    return text


def _bridge(text: str) -> str:
    if not re.fullmatch(r"[-_.0-9A-Za-z]+", text) or not is_ifname(text):
        raise ValueError("should be a name of at most 15 letters, digits, - _ .")
    return text


Whole = BeforeValidator(_digits)


class Nic(BaseModel):
    """A NIC as its guest's configuration has it: what a VM's and a container's have both.

    `str` gives the ``netN`` string, in Proxmox VE's order: what it begins with, then the rest by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    leading: ClassVar[frozenset[str]] = frozenset()
    """The fields a string begins with."""
    needed: ClassVar[tuple[str, str]]
    """The key no string is without, and a string that has it."""

    index: Annotated[int, Field(ge=0, le=31)] = 0
    """The N of netN."""
    macaddr: Annotated[str, AfterValidator(hardware)] | None = None
    """As written; None where one is still to be made."""
    bridge: Annotated[str, AfterValidator(_bridge)] | None = None
    """The bridge it is a port of; without one the host has no port, and QEMU does NAT by itself."""
    tag: Annotated[VlanId, Whole] | None = None
    """VLAN of the guest's untagged frames."""
    trunks: VlanSet = ""
    """VLANs that pass tagged: ``1,10-20``, in a netN string with ``;``."""
    firewall: YesNo = False
    """Whether the guest's firewall rules hold for it."""
    rate: (
        Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False), AfterValidator(_worth_it), BeforeValidator(_number)]
        | None
    ) = None
    """Most megabytes (2^20 bytes) a second, each way; 0 for no limit."""
    mtu: Annotated[int, Whole, Field(ge=1, le=65520)] | None = None
    """Bytes; 1 or nothing for the bridge's."""
    link_down: YesNo = False
    """Cable pulled."""
    isolated: YesNo = False
    """Whether frames pass between it and the bridge's ports that are not isolated only; no netN string says it."""

    def __str__(self) -> str:
        return ",".join(f"{key}={text}" for key, name in keys(type(self)).items() if (text := self._text(name)))

    @property
    def addresses(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """Return the addresses it is given by its configuration: a VM's has none."""
        return ()

    @property
    def mac(self) -> str | None:
        """Return the MAC as the kernel shows it, in lower case."""
        return self.macaddr.lower() if self.macaddr else None

    def _text(self, name: str) -> str:
        value = getattr(self, name)
        if name not in self.model_fields_set or value is None:
            return ""
        if isinstance(value, bool):
            return str(int(value))
        if isinstance(value, float):
            return repr(value).removesuffix(".0")
        return str(value).replace(",", ";")


class QemuNic(Nic):
    """A VM's NIC: its string begins with ``MODEL=MAC``."""

    leading: ClassVar[frozenset[str]] = frozenset({"model", "macaddr"})
    needed: ClassVar[tuple[str, str]] = ("model", "virtio=MAC,…")

    model: Model
    """The device that QEMU shows the guest."""
    queues: Annotated[int, Whole, Field(ge=0, le=64)] | None = None
    """Packet queues of the device."""
    host_tunnel: Annotated[YesNo, Field(alias="host-tunnel")] = False
    """Offload of tunnelled packets (virtio)."""

    def __str__(self) -> str:
        first = f"{self.model}={self.macaddr}" if self.macaddr else self.model
        return ",".join(filter(None, (first, super().__str__())))


@cache
def keys(kind: type[Nic]) -> Mapping[str, str]:
    """Return key → field of what a netN string of *kind* has by name, in the order it is printed."""
    named = kind.model_fields.keys() - kind.leading - {"index", "isolated"}
    return dict(sorted((kind.model_fields[name].alias or name, name) for name in named))


_CODES = {
    "tag": "vlan-id-range",
    "trunks": "vlan-id-range",
    "mtu": "mtu",
    "bridge": "ifname",
    "name": "ifname",
    **dict.fromkeys(("macaddr", "hwaddr", "ip", "ip6", "gw", "gw6"), "address"),
}
"""Key → code of a wrong value, where it is not ``unknown-value``."""


Wrong = tuple[str, str, str, str]
"""Something wrong with a NIC: (code, key, message, hint)."""
Kind = TypeVar("Kind", bound=Nic)


def parse_net(value: str, index: int = 0, path: str = "netN", line: int = 0) -> QemuNic:
    """Return the NIC of a VM's ``netN`` string.

    Raises `ConfigError` with all that is wrong, each naming its key and value; *path* and *line*
    tell where the string stands.
    """
    return read_net(QemuNic, value, _pairs(value), index, path, line)


def read_net(kind: type[Kind], value: str, pairs: Iterable[tuple[str, str]], index: int, path: str, line: int) -> Kind:
    """Return the NIC net*index* that *value* tells in *pairs* of key and text.  Raises `ConfigError`."""
    values, wrong = _gathered(kind, value, pairs)
    nic, refused = judged(kind, values, index)
    if nic is None or wrong:
        raise refusal([*wrong, *refused], index, path, line)
    return nic


def judged(kind: type[Kind], values: Mapping[str, str], index: int) -> tuple[Kind | None, list[Wrong]]:
    """Return the NIC net*index* that has *values* by key, None where something is wrong with them, and what."""
    try:
        return kind.model_validate({**values, "index": index}), []
    except ValidationError as error:
        return None, _refused(error, values, index)


def refusal(wrong: Iterable[Wrong], index: int, path: str, line: int) -> ConfigError:
    """Return the error that tells all that is *wrong* with net*index*, which stands at *line* of *path*."""
    return ConfigError(
        Problem(path, line, code, message, "error", hint, f"net{index}", key) for code, key, message, hint in wrong
    )


def _gathered(kind: type[Nic], value: str, pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], list[Wrong]]:
    """Return the text of each key of *pairs*, and what is wrong with the shape of *value*, which they come from."""
    known = {*keys(kind), *(kind.model_fields[name].alias or name for name in kind.leading)}
    values: dict[str, str] = {}
    wrong: list[Wrong] = []
    for key, text in pairs:
        if key not in known:
            every = ", ".join(sorted(known))
            wrong.append(("unknown-option", key, f"unknown key '{key}' in '{key}={text}'", f"keys are {every}"))
        elif not text:
            wrong.append(("syntax", key, f"'{key}=' has no value", "drop it"))
        elif key in values:
            wrong.append(("syntax", key, f"{key} twice: '{values[key]}' and '{text}'", "keep one"))
        else:
            values[key] = text
    needed, example = kind.needed
    if needed not in values and not any(key == needed for _, key, _, _ in wrong):
        wrong.append(("syntax", needed, f"no {needed} in '{value}'", example))
    return values, wrong


def _refused(error: ValidationError, values: Mapping[str, str], index: int) -> list[Wrong]:
    """Return what the fields say about their *values*; of one that is missing, nothing."""
    wrong = []
    for found in error.errors():
        if found["type"] == "missing":
            continue
        key = str(found["loc"][0])
        if key == "index":
            wrong.append(("syntax", key, f"no NIC net{index}", "net0 to net31"))
        else:
            message = found["msg"].removeprefix("Value error, ")
            wrong.append((_CODES.get(key, "unknown-value"), key, f"{key}: '{values[key]}': {message}", ""))
    return wrong


def _pairs(value: str) -> list[tuple[str, str]]:
    """Return key and value of each part; a bare word is the model, ``MODEL=MAC`` both."""
    pairs: list[tuple[str, str]] = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        key, equals, text = part.partition("=")
        if not equals:
            pairs.append(("model", key))
        elif key in get_args(Model):
            pairs += [("model", key), ("macaddr", text)]
        else:
            pairs.append((key, text))
    return pairs
