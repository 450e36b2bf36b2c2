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
    "echo 7 >/sys/bus/netdevsim/del_device; echo 7 1 >/sys/bus/netdevsim/new_device"
    " && ip link set $(ls /sys/bus/netdevsim/devices/netdevsim7/net) name card0"
)


def _offload_of_bond(field: str, seen: str, option: str) -> Row:
    values = {f"{option} off": False, f"{option} on": True}
    return Row("Ethtool", field, f"{seen}.active", values, True, _BOND)


def _card(field: str, seen: str, option: str, values: dict[str, object], show: str) -> Row:
    """Return the row of a setting of a simulated card: without the option it stays."""
    scene = Scene(_TEXT.replace("eno1", "card0"), f"ethtool {show} card0", "0" if "--json" in show else "", _SIMULATED)
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
        _card(
            "fec", "Configured FEC encodings", "link-fec", {"rs": "RS", "baser": "BaseR", "off": "Off"}, "--show-fec"
        ),
        _card("ring_rx", "rx", "ring-rx", {"256": 256, "max": 4096, "100": 100}, "--json -g"),
        _card("ring_rx_mini", "rx-mini", "hardware-dma-ring-rx-mini", {"256": 256, "max": 4096}, "--json -g"),
        _card("ring_rx_jumbo", "rx-jumbo", "hardware-dma-ring-rx-jumbo", {"256": 256, "max": 4096}, "--json -g"),
        _card("ring_tx", "tx", "hardware-dma-ring-tx", {"256": 256, "128": 128}, "--json -g"),
        *(
            _card(
                field, field.replace("_", "-"), f"hardware-irq-coalesce-{field.replace('_', '-')}", values, "--json -c"
            )
            for field, values in (
                ("rx_usecs", {"50": 50, "7": 7}),
                ("rx_frames", {"16": 16, "32": 32}),
                ("tx_usecs", {"50": 50, "7": 7}),
                ("tx_frames", {"16": 16, "32": 32}),
                ("adaptive_rx", {"on": True, "off": False}),
                ("adaptive_tx", {"on": True, "off": False}),
            )
        ),
        *(
            _card(f"pause_{field}", seen, f"ethernet-pause-{field}", {"on": True, "off": False}, "--json -a")
            for field, seen in (("rx", "rx"), ("tx", "tx"), ("autoneg", "autonegotiate"))
        ),
    ),
)
