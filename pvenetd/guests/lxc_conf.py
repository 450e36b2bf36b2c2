"""``lxc/<ctid>.conf``: containers, and the ``netN`` strings of Proxmox VE's containers ⇄ `LxcNic`.

What the container's own end has (``name``, ``hwaddr``, ``ip``, ``gw``, …) is set by LXC, when it starts the
container: `lxc_lines` gives the lines for that.

Sources: pct.conf(5) of Proxmox VE, "net[n]"; lxc.container.conf(5), "Network".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from pvenetd.guests import conf
from pvenetd.guests.guest import Guest
from pvenetd.guests.nic import Nic, Whole, Wrong, hardware, read_net
from pvenetd.names import is_ifname
from pvenetd.option import YesNo

SCRIPT = "/usr/libexec/pvenetd/lxc-net"
"""What LXC is to run when it has made a pair, and before it takes it away."""


def _name(text: str) -> str:
    if not is_ifname(text):
        raise ValueError("the kernel takes no such name: at most 15 bytes, without blanks, slashes and colons")
    return text


def _own_address(version: int, *words: str) -> Callable[[str], str]:
    """Return the check of an address with its prefix length, or one of *words*."""

    def check(text: str) -> str:
        if text in words:
            return text
        address, slash, bits = text.partition("/")
        try:
            own = ip_interface(text) if slash and bits.isascii() and bits.isdigit() and "%" not in text else None
        except ValueError:
            own = None
        if own is None or own.version != version:
            raise ValueError(f"should be an IPv{version} address with its prefix length, or {', '.join(words)}")
        if own.ip.is_multicast or own.ip.is_unspecified or own.ip.is_loopback:
            raise ValueError(f"{address} is no address for a container's interface")
        return text

    return check


def _router(version: int) -> Callable[[str], str]:
    """Return the check of a gateway's address."""

    def check(text: str) -> str:
        try:
            address = None if "%" in text else ip_address(text)  # no zone: it is the container's own link
        except ValueError:
            address = None
        if address is None or address.version != version or address.is_multicast or address.is_unspecified:
            raise ValueError(f"should be a router's IPv{version} address")
        return text

    return check


class LxcNic(Nic):
    """A container's NIC: its string begins with the name it has in there."""

    leading: ClassVar[frozenset[str]] = frozenset({"name"})
    needed: ClassVar[tuple[str, str]] = ("name", "name=eth0,…")

    name: Annotated[str, AfterValidator(_name)]
    """What the container calls it."""
    macaddr: Annotated[Annotated[str, AfterValidator(hardware)] | None, Field(alias="hwaddr")] = None
    """MAC of the container's end, as written; without one LXC makes one up at each start."""
    mtu: Annotated[int, Whole, Field(ge=64, le=65535)] | None = None
    """Bytes; without one the bridge's."""
    ip: Annotated[str, AfterValidator(_own_address(4, "dhcp", "manual"))] | None = None
    """The container's IPv4 address with its prefix length; with ``dhcp`` or ``manual`` it gets one by itself."""
    ip6: Annotated[str, AfterValidator(_own_address(6, "auto", "dhcp", "manual"))] | None = None
    """The same of IPv6; with ``auto`` by router advertisements."""
    gw: Annotated[str, AfterValidator(_router(4))] | None = None
    """The container's default gateway."""
    gw6: Annotated[str, AfterValidator(_router(6))] | None = None
    """The same of IPv6."""
    type: Literal["veth"] | None = None
    """The only one there is."""
    host_managed: Annotated[YesNo, Field(alias="host-managed")] = False
    """Whether Proxmox VE sets the address instead of the container; here LXC does, wherever there is one."""

    def __str__(self) -> str:
        return ",".join(filter(None, (f"name={self.name}", super().__str__())))

    @property
    def addresses(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """Return the addresses it is given by its configuration."""
        return tuple(ip_interface(text) for text in (self.ip, self.ip6) if text and "/" in text)


def parse_lxc_net(value: str, index: int = 0, path: str = "netN", line: int = 0) -> LxcNic:
    """Return the NIC of a container's ``netN`` string.

    Raises `ConfigError` with all that is wrong, each naming its key and value.
    """
    parts = (part.strip().partition("=") for part in value.split(",") if part.strip())
    return read_net(LxcNic, value, ((key, text) for key, _, text in parts), index, path, line)


def parse_lxc_conf(text: str | bytes, ctid: int, path: str) -> Guest:
    """Return container *ctid*; nothing is refused, `Guest.problems` says what is wrong."""
    return conf.parse(text, ctid, path, _DIALECT)


def _doubts(nic: Nic) -> Iterator[Wrong]:
    """Yield what is odd about the gateways: those that nobody sets, or that cannot be reached."""
    if not isinstance(nic, LxcNic):
        return
    for key, gateway, own, text in (("gw", nic.gw, "ip", nic.ip), ("gw6", nic.gw6, "ip6", nic.ip6)):
        if not gateway:
            continue
        if not text or "/" not in text:
            yield "gateway-unreachable", key, f"{key}: '{gateway}' is not used, {own} is '{text or ''}'", "drop it"
        elif ip_address(gateway) == ip_interface(text).ip:
            yield "gateway-unreachable", key, f"{key}: '{gateway}' is the container's own address", "the router's"
        elif ip_address(gateway) not in ip_interface(text).network and not ip_address(gateway).is_link_local:
            yield "gateway-unreachable", key, f"{key}: '{gateway}' is not in {text}", f"{key} in {own}'s network"


_DIALECT = conf.Dialect(
    "lxc", "hostname", parse_lxc_net, _doubts, other=re.compile(r"lxc\.[a-z0-9_.]+[ \t]*[:=].*", re.DOTALL)
)


def lxc_lines(guest: Guest) -> str:
    """Return the lines of lxc.container.conf(5) with which LXC makes the NICs of *guest* and has us plug them.

    There is no ``lxc.net.N.link``: LXC would make the host's end a port by itself.
    """
    return "".join(
        f"lxc.net.{index}.{key} = {value}\n"
        for index, nic in sorted(guest.nics.items())
        if isinstance(nic, LxcNic)
        for key, value in _settings(nic, guest.device(index))
        if value
    )


def _settings(nic: LxcNic, device: str) -> Iterator[tuple[str, str | int | None]]:
    yield from (("type", "veth"), ("veth.pair", device), ("flags", "up"), ("name", nic.name))
    yield from (("hwaddr", nic.mac), ("mtu", nic.mtu))
    for family, own, gateway in (("ipv4", nic.ip, nic.gw), ("ipv6", nic.ip6, nic.gw6)):
        if own and "/" in own:
            yield from ((f"{family}.address", own), (f"{family}.gateway", gateway))
    if nic.bridge:
        yield from (("script.up", SCRIPT), ("script.down", SCRIPT))
