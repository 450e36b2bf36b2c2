"""A kernel that finds none of its modules, and what needs one: bonding, 802.1Q, nf_tables are built into the lab's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.netns import run

_MODULES = Path("/usr/lib/modules") / os.uname().release
_TRIED = ("br_netfilter", "ip_gre", "ip6_gre", "ip_vti", "ipip", "sit")

TUNNEL = """
auto tun0
iface tun0 inet static
	address 203.0.113.1/24
	tunnel-mode {}
	tunnel-local {}
	tunnel-endpoint {}
"""
V4, V6 = ("192.0.2.2", "192.0.2.1"), ("2001:db8::1", "2001:db8::2")
"""Both ends."""


@contextmanager
def hidden() -> Iterator[ExitStack]:
    """Have the kernel find none of its modules, as after its package has gone, until what is returned is closed."""
    run("modprobe", "--remove", *_TRIED)
    run("mount", "-t", "tmpfs", "none", str(_MODULES))
    with ExitStack() as stack:
        stack.callback(run, "umount", str(_MODULES))
        yield stack
