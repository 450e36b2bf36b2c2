"""What `interfaces pin` writes is what udev takes: a NIC with that MAC gets the name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pvenetd.nics import Nic, link_file, link_path
from tests.netns import run

pytestmark = pytest.mark.host
MAC = "02:00:5e:00:53:77"


@pytest.fixture
def file() -> Iterator[Path]:
    path = Path("/") / link_path("uplink7")
    path.write_text(link_file("uplink7", Nic("pin7", MAC, lasting=False)))
    yield path
    path.unlink()
    run("ip", "link", "del", "uplink7")
    run("udevadm", "control", "--reload")


def test_udev_gives_the_name_to_the_nic_with_that_mac_alone(file: Path) -> None:
    run("udevadm", "control", "--reload")
    run("ip", "link", "add", "pin7", "address", MAC, "type", "dummy")
    run("udevadm", "settle", "--timeout=120")
    said = run("udevadm", "test-builtin", "net_setup_link", "/sys/class/net/uplink7")
    assert f"ID_NET_LINK_FILE={file}" in said
    run("ip", "link", "add", "br7", "address", MAC, "type", "bridge")
    run("udevadm", "settle", "--timeout=120")
    run("ip", "link", "del", "br7")
