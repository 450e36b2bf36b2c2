"""udev leaves the MACs of guests' devices alone: it would change them at any moment after they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.netns import run

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("installed")]

NET_ADDR_RANDOM, NET_ADDR_SET = "1", "3"  # linux/netdevice.h


@pytest.fixture
def made() -> Iterator[Callable[[str], None]]:
    """Make a device as others do, and have udev look at it."""
    names = []

    def make(name: str) -> None:
        if name.startswith("tap"):
            run("ip", "tuntap", "add", name, "mode", "tap")
        else:
            run("ip", "link", "add", name, "type", "bridge" if "br" in name else "veth")
        names.append(name)
        run("udevadm", "settle", "--timeout=120")

    yield make
    for name in names:
        run("ip", "link", "delete", name)


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("tap300i0", NET_ADDR_RANDOM),
        ("tap300i12", NET_ADDR_RANDOM),
        ("veth300i0", NET_ADDR_RANDOM),
        ("vnet300", NET_ADDR_RANDOM),
        ("fwbr300i0", NET_ADDR_RANDOM),
        ("fwln300i0", NET_ADDR_RANDOM),
        ("fwpr300p0", NET_ADDR_RANDOM),
        ("br300", NET_ADDR_SET),
        ("tap300", NET_ADDR_SET),
    ],
)
def test_udev_gives_macs_to_others_devices_alone(made: Callable[[str], None], name: str, whose: str) -> None:
    made(name)
    assert Path(f"/sys/class/net/{name}/addr_assign_type").read_text().strip() == whose
