"""What can be asked of NAT: other sources for what leaves, other destinations for what comes in.

Each record is one wish of a user's, wherever it stands; `pvenetd.nat.rules` makes rules of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from pvenetd.firewall.ruleset import SCTP, TCP, UDP, Span

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}
"""What has ports to forward."""

MOST_RENUMBERED = 1024
"""Ports of one forward that become others, at most: each is an entry of its own in the kernel."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What comes from *network* and leaves by *out* has another source: *to*, or the address of *out*."""

    network: Network | None
    """None: wherever it comes from."""
    out: str
    """Empty: whichever way it leaves; only commands say that."""
    to: tuple[Address, Address] | None = None
    """The first and the last of a range; None is masquerading."""
    dest: Network | None = None
    not_dest: Network | None = None
    version: int = 4
    iface: str = ""
    """The interface whose stanza asks for it."""
    origin: str = ""
    """``FILE:LINE``."""

    @property
    def kind(self) -> Literal["snat", "masquerade"]:
        """Return what it is called."""
        return "snat" if self.to else "masquerade"


@dataclass(frozen=True, slots=True)
class Forward:
    """What comes for a port of the host's goes to another host."""

    protocol: int | None
    """None: all, and then without ports; only commands say that."""
    ports: Span | None
    to: Address
    to_ports: Span | None = None
    """As many as *ports*; None: they stay what they are."""
    public: Network | None = None
    """The address it comes to; None: any of the host's."""
    spared: tuple[Address, ...] = ()
    """Addresses of the host's that are not meant by any: those of the interface that the guests know it by."""
    way: str = ""
    """The interface it comes in at; from *iface* as well, for the guests there.  Empty: any."""
    source: Network | None = None
    inside: Network | None = None
    """The network of the host's that *to* lies in: who is there himself gets his answer by way of the host."""
    as_written: bool = False
    """Of a command, which has no words for the host's own addresses, nor for what the host itself sends."""
    iface: str = ""
    origin: str = ""

    kind = "forward"

    @property
    def version(self) -> int:
        """Return the family, 4 or 6."""
        return self.to.version


@dataclass(frozen=True, slots=True)
class OneToOne:
    """What comes for *public* goes to *private*, and what *private* sends by *out* comes from *public*."""

    public: Address
    private: Address
    out: str
    inside: Network | None = None
    iface: str = ""
    origin: str = ""

    kind = "one-to-one"

    @property
    def version(self) -> int:
        """Return the family, 4 or 6."""
        return self.private.version


Nat = Outgoing | Forward | OneToOne
