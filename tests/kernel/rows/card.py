"""What a card is told, by ethtool(8)."""

from __future__ import annotations

from tests.kernel.options import Family, Row, Scene

_TEXT = "auto eno1\niface eno1 inet manual\n\t@\n"
_FEATURES = Scene(_TEXT, "ethtool --json -k eno1", "0")


def _offload(field: str, seen: str, *options: str, first: str = "off") -> Row:
    """Return the row of an offload: without the option it stays."""
    last = first == "on"
    words = (first, "off" if last else "on", "yes" if last else "no")
    values = {f"{option} {word}": word in ("on", "yes") for option in options for word in words}
    return Row("Ethtool", field, f"{seen}.active", values, last, _FEATURES)


_TAP = Scene(_TEXT.replace("eno1", "card0"), "ethtool card0", before="ip tuntap add card0 mode tap")
_BOND = Scene("auto bond0\niface bond0 inet manual\n\tbond-slaves none\n\t@\n", "ethtool --json -k bond0", "0")
_SIMULATED = (
    "echo 7 >/sys/bus/netdevsim/del_device; echo 7 1 >/sys/bus/netdevsim/new_device && ip link set eth0 name card0"
)


def _offload_of_bond(field: str, seen: str, option: str) -> Row:
    values = {f"{option} off": False, f"{option} on": True}
    return Row("Ethtool", field, f"{seen}.active", values, True, _BOND)


_FEC = "Supported/Configured FEC encodings"
_ADAPTIVE_RX: dict[str, object] = {"on": "on  TX: off", "off": "off  TX: off"}
_ADAPTIVE_TX: dict[str, object] = {"on": "off  TX: on", "off": "off  TX: off"}


def _card(field: str, seen: str, option: str, values: dict[str, object], show: str) -> Row:
    """Return the row of a setting of a simulated card: without the option it stays."""
    scene = Scene(_TEXT.replace("eno1", "card0"), f"ethtool {show} card0", before=_SIMULATED)
    last = [*values.values()][-1]
    return Row("Ethtool", field, seen, {f"{option} {text}": value for text, value in values.items()}, last, scene)


def _link(field: str, seen: str, option: str, values: dict[str, object]) -> Row:
    last = [*values.values()][-1]
    return Row("Ethtool", field, seen, {f"{option} {text}": value for text, value in values.items()}, last, _TAP)


FAMILY = Family(
    scenes={"Ethtool": Scene(_TEXT, "ethtool --json eno1", "0")},
    rows=(
        _offload("rx", "rx-checksumming", "offload-rx", "rx-offload"),
        _offload("tx", "tx-checksumming", "tx-offload", "offload_tx"),
        _offload("sg", "scatter-gather", "offload-sg"),
        _offload("tso", "tcp-segmentation-offload", "tso-offload", "offload-tso"),
        _offload("gso", "generic-segmentation-offload", "gso-offload"),
        _offload("gro", "generic-receive-offload", "gro-offload", "offload-gro", first="on"),
        _offload("rxvlan", "rx-vlan-offload", "offload-rxvlan"),
        _offload("txvlan", "tx-vlan-offload", "offload-txvlan"),
        _offload_of_bond("lro", "large-receive-offload", "lro-offload"),
        _offload_of_bond("rx_vlan_filter", "rx-vlan-filter", "rx-vlan-filter"),
        _link("speed", "Speed", "link-speed", {"1000": "1000Mb/s", "100": "100Mb/s"}),
        _link("duplex", "Duplex", "link-duplex", {"half": "Half", "full": "Full"}),
        _link("autoneg", "Auto-negotiation", "link-autoneg", {"on": "on", "off": "off", "yes": "on"}),
        _card("fec", _FEC, "link-fec", {"rs": "RS", "baser": "BaseR", "auto": "Auto", "off": "Off"}, "--show-fec"),
        _card("ring_rx", "RX", "ring-rx", {"256": "256", "max": "4096", "100": "100"}, "-g"),
        _card("ring_rx_mini", "RX Mini", "hardware-dma-ring-rx-mini", {"256": "256", "max": "4096"}, "-g"),
        _card("ring_rx_jumbo", "RX Jumbo", "hardware-dma-ring-rx-jumbo", {"256": "256", "max": "4096"}, "-g"),
        _card("ring_tx", "TX", "hardware-dma-ring-tx", {"256": "256", "128": "128"}, "-g"),
        _card("rx_usecs", "rx-usecs", "hardware-irq-coalesce-rx-usecs", {"50": "50", "7": "7"}, "-c"),
        _card("rx_frames", "rx-frames", "hardware-irq-coalesce-rx-frames", {"16": "16", "32": "32"}, "-c"),
        _card("tx_usecs", "tx-usecs", "hardware-irq-coalesce-tx-usecs", {"50": "50", "7": "7"}, "-c"),
        _card("tx_frames", "tx-frames", "hardware-irq-coalesce-tx-frames", {"16": "16", "32": "32"}, "-c"),
        _card("adaptive_rx", "Adaptive RX", "hardware-irq-coalesce-adaptive-rx", _ADAPTIVE_RX, "-c"),
        _card("adaptive_tx", "Adaptive RX", "hardware-irq-coalesce-adaptive-tx", _ADAPTIVE_TX, "-c"),
        _card("pause_rx", "RX", "ethernet-pause-rx", {"on": "on", "off": "off"}, "-a"),
        _card("pause_tx", "TX", "ethernet-pause-tx", {"on": "on", "off": "off"}, "-a"),
    ),
)
