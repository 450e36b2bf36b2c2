"""Bond: a stanza with ``bond-slaves`` (IEEE 802.1AX for 802.3ad).

Sources: the kernel's Documentation/networking/bonding.rst, ifenslave's README.Debian, linux/if_link.h IFLA_BOND_*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from pvenetd.kinds.link import Link
from pvenetd.option import IFINDEX, Mtu, Option, Wire, Words, choice

MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
HASH_POLICIES = ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac")
LACP_RATES = ("slow", "fast")


def _named(names: tuple[str, ...]) -> BeforeValidator:
    def name(value: object) -> object:
        text = str(value)
        text = names[int(text)] if text.isdigit() and int(text) < len(names) else text
        if text not in names:
            raise ValueError(f"should be one of {', '.join(names)}")
        return text

    return BeforeValidator(name)


_MODE: Wire = choice(MODES)
_HASH: Wire = choice(HASH_POLICIES)
_RATE: Wire = choice(LACP_RATES)


class Bond(Link):
    """Several links used as one."""

    kinds: ClassVar[tuple[str, ...]] = ("bond",)
    prefix: ClassVar[str] = "IFLA_BOND_"
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"mode"}
    silent: ClassVar[frozenset[str]] = Link.silent | {"slaves"}

    kind: str = "bond"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes; its slaves follow."""
    slaves: Annotated[Words, Option("bond-slaves", ("bond-ports", "slaves"), several=True)] = ()
    """The links it is made of."""
    mode: Annotated[str, _named(MODES), Option("bond-mode", nl="IFLA_BOND_MODE", wire=_MODE)] = "balance-rr"
    """How the slaves share the traffic; by name or the kernel's number."""
    miimon: Annotated[int, Field(ge=0, le=2**31 - 1), Option("bond-miimon", nl="IFLA_BOND_MIIMON")] = 100
    """Milliseconds between looks at the slaves' carrier; 100 as in Proxmox VE: the kernel's 0 never looks."""
    updelay: Annotated[int, Field(ge=0, le=2**31 - 1), Option("bond-updelay", nl="IFLA_BOND_UPDELAY")] = 0
    """Milliseconds before a slave whose link came is used: a multiple of miimon."""
    downdelay: Annotated[int, Field(ge=0, le=2**31 - 1), Option("bond-downdelay", nl="IFLA_BOND_DOWNDELAY")] = 0
    """Milliseconds before a slave whose link went is given up: a multiple of miimon."""
    xmit_hash_policy: Annotated[
        str, _named(HASH_POLICIES), Option("bond-xmit-hash-policy", nl="IFLA_BOND_XMIT_HASH_POLICY", wire=_HASH)
    ] = "layer2"
    """What decides which slave a packet takes (balance-xor, 802.3ad, balance-tlb)."""
    lacp_rate: Annotated[
        str | None, _named(LACP_RATES), Option("bond-lacp-rate", nl="IFLA_BOND_AD_LACP_RATE", wire=_RATE, down=True)
    ] = None
    """How often the partner is asked to send LACPDUs: slow is every 30 s, fast every second (802.3ad only)."""
    min_links: Annotated[int, Field(ge=0, le=255), Option("bond-min-links", nl="IFLA_BOND_MIN_LINKS")] = 0
    """Slaves that must be up before the bond is."""
    primary: Annotated[str | None, Option("bond-primary", nl="IFLA_BOND_PRIMARY", wire=IFINDEX)] = None
    """The slave used whenever it is up (active-backup, balance-tlb, balance-alb)."""

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is a bond."""
        return bool(options.keys() & {"bond-slaves", "bond-ports", "slaves"})
