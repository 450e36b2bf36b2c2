"""What a network card is told by ethtool(8): offloads, speed, rings, coalescing, pause frames, wake-on-LAN.

A setting without its option stays as it is: what a driver begins with is nowhere written down.  A rollback
puts it back all the same.

Sources: ethtool(8), the hooks of Debian's ethtool package, ifupdown2's ethtool addon, linux/ethtool_netlink.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from pvenetd.option import Option, Wire, YesNo, annotated, choice
from pvenetd.resource import Changes, Key, Resource

_U32 = Field(ge=0, lt=2**32)
DUPLEX = ("half", "full")
FEC = {"off": "None", "rs": "RS", "baser": "BASER", "llrs": "LLRS"}
"""Spelling of a forward error correction → the kernel's link mode."""
_WAKE = {
    "p": "phy",
    "u": "ucast",
    "m": "mcast",
    "b": "bcast",
    "a": "arp",
    "g": "magic",
    "s": "magicsecure",
    "f": "filter",
}
_FEATURES = "ETHTOOL_A_FEATURES_WANTED"
_CHECKSUMS = tuple(f"tx-checksum-{kind}" for kind in ("ipv4", "ip-generic", "ipv6", "fcoe-crc", "sctp"))
_TCP = tuple(f"tx-tcp{kind}-segmentation" for kind in ("", "-ecn", "-mangleid", "6"))


def _feature(*names: str) -> Wire:
    """Return the wire of an offload that stands for kernel features *names*: on where one of them is."""
    return Wire(to=lambda on: dict.fromkeys(names, on), of=lambda active: any(name in active for name in names))


def _wake(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value == "d":
        return ""
    if unknown := sorted({*value} - _WAKE.keys()):
        raise ValueError(f"{unknown[0]!r} is none of {''.join(_WAKE)}, nor d")
    return "".join(sorted({*value}))


_WAKE_MODES = Wire(
    to=lambda text: {name: letter in text for letter, name in _WAKE.items() if name != "magicsecure" or letter in text},
    of=lambda active: "".join(sorted(letter for letter, name in _WAKE.items() if name in active)),
)
_BOOL = Wire(to=int, of=bool)
Offload = YesNo | None
Ring = Annotated[int, _U32] | Literal["max"] | None
Count = Annotated[int, _U32] | None


def _ring(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdigit() else value


def _rate(value: object) -> object:
    """Return Mb/s of ``1000`` or of what the ethtool package lets stand there: ``1000 full``."""
    return value.split()[0] if isinstance(value, str) and value.split() else value


class Ethtool(Resource):
    """Settings of one card; read only where a configuration has some."""

    noun: ClassVar[str] = "ethtool"
    rank: ClassVar[int] = 5
    named: ClassVar[frozenset[str]] = frozenset({"dev"})
    silent: ClassVar[frozenset[str]] = Resource.silent | {"owner", "limits"}

    dev: str
    limits: tuple[tuple[str, int], ...] = ()
    """What the card has at most, by field: what ``max`` means."""

    speed: Annotated[int | None, BeforeValidator(_rate), _U32, Option("link-speed", nl="ETHTOOL_A_LINKMODES_SPEED")] = (
        None
    )
    """Mb/s, where it is not negotiated."""
    duplex: Annotated[
        Literal["half", "full"] | None,
        Option("link-duplex", nl="ETHTOOL_A_LINKMODES_DUPLEX", wire=choice(DUPLEX)),
    ] = None
    """half or full."""
    autoneg: Annotated[
        YesNo | None, Option("link-autoneg", ("ethernet-autoneg",), nl="ETHTOOL_A_LINKMODES_AUTONEG", wire=_BOOL)
    ] = None
    """Negotiate speed and duplex with the other side."""
    lanes: Annotated[int | None, _U32, Option("link-lanes", nl="ETHTOOL_A_LINKMODES_LANES")] = None
    """Lanes of the link."""
    fec: Annotated[
        Literal["off", "rs", "baser", "llrs", "auto"] | None, Option("link-fec", nl="ETHTOOL_A_FEC_MODES")
    ] = None
    """Forward error correction: off, rs (Reed-Solomon), baser, llrs, or as the driver finds (auto)."""

    rx: Annotated[Offload, Option("offload-rx", ("rx-offload",), nl=_FEATURES, wire=_feature("rx-checksum"))] = None
    """The card checks the checksums of what comes in."""
    tx: Annotated[Offload, Option("offload-tx", ("tx-offload",), nl=_FEATURES, wire=_feature(*_CHECKSUMS))] = None
    """The card computes the checksums of what goes out."""
    sg: Annotated[
        Offload,
        Option(
            "offload-sg",
            ("sg-offload",),
            nl=_FEATURES,
            wire=_feature("tx-scatter-gather", "tx-scatter-gather-fraglist"),
        ),
    ] = None
    """It takes packets in several pieces."""
    tso: Annotated[Offload, Option("offload-tso", ("tso-offload",), nl=_FEATURES, wire=_feature(*_TCP))] = None
    """It cuts large TCP segments."""
    ufo: Annotated[
        Offload, Option("offload-ufo", ("ufo-offload",), nl=_FEATURES, wire=_feature("tx-udp-fragmentation"))
    ] = None
    """It fragments large UDP datagrams; few do."""
    gso: Annotated[
        Offload, Option("offload-gso", ("gso-offload",), nl=_FEATURES, wire=_feature("tx-generic-segmentation"))
    ] = None
    """The kernel cuts large packets as late as can be."""
    gro: Annotated[Offload, Option("offload-gro", ("gro-offload",), nl=_FEATURES, wire=_feature("rx-gro"))] = None
    """The kernel joins packets that come in."""
    lro: Annotated[Offload, Option("offload-lro", ("lro-offload",), nl=_FEATURES, wire=_feature("rx-lro"))] = None
    """The card joins them: not for a bridge or a router."""
    rxvlan: Annotated[
        Offload,
        Option("offload-rxvlan", ("offload-rx-vlan-hw-parse",), nl=_FEATURES, wire=_feature("rx-vlan-hw-parse")),
    ] = None
    """The card takes VLAN tags off."""
    txvlan: Annotated[
        Offload,
        Option("offload-txvlan", ("offload-tx-vlan-hw-insert",), nl=_FEATURES, wire=_feature("tx-vlan-hw-insert")),
    ] = None
    """The card puts VLAN tags on."""
    rx_vlan_filter: Annotated[
        Offload, Option("rx-vlan-filter", ("offload-rx-vlan-filter",), nl=_FEATURES, wire=_feature("rx-vlan-filter"))
    ] = None
    """The card passes only frames of VLANs that are configured: some take few of them."""
    ntuple: Annotated[Offload, Option("offload-ntuple", nl=_FEATURES, wire=_feature("rx-ntuple-filter"))] = None
    """Filters by address and port in the card."""
    rxhash: Annotated[Offload, Option("offload-rxhash", nl=_FEATURES, wire=_feature("rx-hashing"))] = None
    """The card computes hashes that spread flows over processors."""

    ring_rx: Annotated[
        Ring, BeforeValidator(_ring), Option("ring-rx", ("hardware-dma-ring-rx",), nl="ETHTOOL_A_RINGS_RX")
    ] = None
    """Packets in the ring of what comes in; ``max`` for as many as the card has."""
    ring_rx_mini: Annotated[
        Ring, BeforeValidator(_ring), Option("hardware-dma-ring-rx-mini", nl="ETHTOOL_A_RINGS_RX_MINI")
    ] = None
    """Likewise of small packets."""
    ring_rx_jumbo: Annotated[
        Ring, BeforeValidator(_ring), Option("hardware-dma-ring-rx-jumbo", nl="ETHTOOL_A_RINGS_RX_JUMBO")
    ] = None
    """Likewise of jumbo frames."""
    ring_tx: Annotated[
        Ring, BeforeValidator(_ring), Option("ring-tx", ("hardware-dma-ring-tx",), nl="ETHTOOL_A_RINGS_TX")
    ] = None
    """Packets in the ring of what goes out."""

    adaptive_rx: Annotated[
        YesNo | None, Option("hardware-irq-coalesce-adaptive-rx", nl="ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX", wire=_BOOL)
    ] = None
    """Let the driver choose how long interrupts wait, by the load."""
    adaptive_tx: Annotated[
        YesNo | None, Option("hardware-irq-coalesce-adaptive-tx", nl="ETHTOOL_A_COALESCE_USE_ADAPTIVE_TX", wire=_BOOL)
    ] = None
    """Likewise for what goes out."""
    rx_usecs: Annotated[Count, Option("hardware-irq-coalesce-rx-usecs", nl="ETHTOOL_A_COALESCE_RX_USECS")] = None
    """Microseconds an interrupt waits for more packets."""
    rx_frames: Annotated[Count, Option("hardware-irq-coalesce-rx-frames", nl="ETHTOOL_A_COALESCE_RX_MAX_FRAMES")] = None
    """Packets an interrupt waits for at most."""
    tx_usecs: Annotated[Count, Option("hardware-irq-coalesce-tx-usecs", nl="ETHTOOL_A_COALESCE_TX_USECS")] = None
    """Microseconds, for what goes out."""
    tx_frames: Annotated[Count, Option("hardware-irq-coalesce-tx-frames", nl="ETHTOOL_A_COALESCE_TX_MAX_FRAMES")] = None
    """Packets, for what goes out."""

    pause_autoneg: Annotated[
        YesNo | None, Option("ethernet-pause-autoneg", nl="ETHTOOL_A_PAUSE_AUTONEG", wire=_BOOL)
    ] = None
    """Negotiate pause frames (802.3 annex 31B)."""
    pause_rx: Annotated[YesNo | None, Option("ethernet-pause-rx", nl="ETHTOOL_A_PAUSE_RX", wire=_BOOL)] = None
    """Obey them."""
    pause_tx: Annotated[YesNo | None, Option("ethernet-pause-tx", nl="ETHTOOL_A_PAUSE_TX", wire=_BOOL)] = None
    """Send them."""

    wol: Annotated[
        str | None, BeforeValidator(_wake), Option("ethernet-wol", nl="ETHTOOL_A_WOL_MODES", wire=_WAKE_MODES)
    ] = None
    """What wakes the host: letters p u m b a g s f as in ethtool(8), d for nothing."""

    @property
    def key(self) -> Key:
        return ("ethtool", self.dev)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({("link", self.dev)})

    @property
    def dies_with(self) -> frozenset[Key]:
        return self.needs

    def describe(self) -> str:
        return f"ethtool {self.dev}"

    def changes(self, current: Resource) -> Changes:
        """Return what differs; ``max`` is the card's own limit."""
        most = dict(getattr(current, "limits", ()))
        wanted = {name: most.get(name, "max") for name, value in self if value == "max"}
        return super(Ethtool, self.model_copy(update=wanted)).changes(current) if wanted else super().changes(current)


OPTIONS: Mapping[str, str] = {
    spelling: name for name, option in annotated(Ethtool) for spelling in (option.name, *option.aliases)
}
"""Spelling (with dashes) → field."""
