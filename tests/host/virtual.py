"""The host as libvirt's guests find it: its firewall, guest 100's rules, and where files are."""

from __future__ import annotations

from pathlib import Path

from tests.host.talk import FORBIDDEN

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
OUT DROP -dest {FORBIDDEN}
"""
CLUSTER_FILE = Path("/etc/pvenetd/firewall/cluster.fw")
RULES_FILE = Path("/etc/pvenetd/firewall/100.fw")
GUEST_FILE = Path("/etc/pvenetd/qemu-server/100.conf")
TAG = 20
NET = f"bridge='vmbr0' tag='{TAG}' firewall='1'"
"""What a NIC's metadata say."""
