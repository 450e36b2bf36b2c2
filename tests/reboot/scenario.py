"""The host that is rebooted: what its files are, and how it tells what each boot has made of it."""

from __future__ import annotations

from pathlib import Path

INTERFACES = "etc/network/interfaces"
STAGED = f"{INTERFACES}.new"
ADDRESS, OTHER, BROKEN = "192.0.2.2/24", "192.0.2.3/24", "192.0.2.300/24"
"""What is applied, what an edit makes of it, and what no address is."""

TEXT = f"""\
auto lo
iface lo inet loopback

iface eno1 inet manual

auto vmbr0
iface vmbr0 inet static
	address {ADDRESS}
	gateway 192.0.2.1
	bridge-ports eno1
	bridge-stp off
	bridge-fd 0
	bridge-vlan-aware yes
	bridge-vids 2-4094
"""

WITNESS = "run/witness"
"""What there was before each interface came up: a line an interface."""
ONLINE = "run/online"
"""The address that was there when the network was online."""

_CABLE = """\
[Unit]
DefaultDependencies=no
Before=network-pre.target networking.service
Wants=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip netns add provider
ExecStart=/usr/sbin/ip link add eno1 type veth peer name customer0 netns provider
ExecStart=/usr/sbin/ip -n provider address add 192.0.2.1/24 dev customer0
ExecStart=/usr/sbin/ip -n provider link set customer0 up
"""
"""The NIC, and who is on its other end."""
_ONLINE = f"""\
[Unit]
After=network-online.target
Wants=network-online.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'ip -o -4 address >/{ONLINE}'
"""
_SEEN = f"""\
#!/bin/sh
echo "$IFACE eno1=$(cat /sys/class/net/eno1/operstate) $(nft list tables | tr '\\n' ' ')" >>/{WITNESS}
"""
_UNITS = "etc/systemd/system"
_MASKED = ("ovsdb-server.service", "ovs-vswitchd.service", "openvswitch-switch.service")
"""Nobody here needs them, and they take as long as all the rest."""


def write(root: Path) -> None:
    """Write the host's files below *root*."""
    for name, text in (
        (INTERFACES, TEXT),
        (f"{_UNITS}/cable.service", _CABLE),
        (f"{_UNITS}/online.service", _ONLINE),
        ("etc/network/if-pre-up.d/witness", _SEEN),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "etc/network/if-pre-up.d/witness").chmod(0o755)
    for target, unit in (("sysinit", "cable"), ("multi-user", "online")):
        wants = root / f"{_UNITS}/{target}.target.wants"
        wants.mkdir()
        (wants / f"{unit}.service").symlink_to(f"/{_UNITS}/{unit}.service")
    for unit in _MASKED:
        (root / _UNITS / unit).symlink_to("/dev/null")
