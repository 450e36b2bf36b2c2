"""The host as libvirt's guests find it: its firewall, guest 100's rules, and where files are."""

from __future__ import annotations

from pathlib import Path

from tests.guest.domain import mac
from tests.host.talk import FORBIDDEN, TAGS

CLUSTER = """\
[OPTIONS]
enable: 1
policy_in: ACCEPT
"""
RULES = f"""\
[OPTIONS]
enable: 1
policy_in: ACCEPT

[RULES]
OUT DROP -dest {",".join(FORBIDDEN)}
"""
CLUSTER_FILE = Path("/etc/pvenetd/firewall/cluster.fw")
RULES_FILE = Path("/etc/pvenetd/firewall/100.fw")
GUEST_FILE = Path("/etc/pvenetd/qemu-server/100.conf")
NET = f"bridge='vmbr0' tag='{TAGS[0]}' firewall='1'"
"""What the metadata say of a guest's first NIC."""
NETS = (
    NET,
    *(f"mac='{mac(index)}' bridge='vmbr0' tag='{tag}' firewall='1'" for index, tag in enumerate(TAGS) if index),
)
"""The same of all it may have: one that comes later finds its rules."""
