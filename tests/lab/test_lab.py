"""The lab keeps what it promises: a kernel with all that a hypervisor's network needs, and a whole Debian host."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"lab{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.lab
@pytest.mark.parametrize(
    "link",
    [
        "bond mode 802.3ad",
        "bridge vlan_filtering 1 vlan_default_pvid 0",
        "dummy",
        "geneve id 1 remote 192.0.2.1",
        "ifb",
        "vrf table 10",
        "vxlan id 1 dstport 4789 local 192.0.2.1",
    ],
)
def test_kernel_has_kind(namespace: str, link: str) -> None:
    subprocess.run(["ip", "-n", namespace, "link", "add", "new", "type", *link.split()], check=True)


@pytest.mark.lab
@pytest.mark.parametrize("family", ["bridge", "inet"])
def test_kernel_knows_connection_state(namespace: str, family: str) -> None:
    table = f"table {family} t {{ chain c {{ type filter hook forward priority 0; ct state established accept; }}; }}"
    subprocess.run(["ip", "netns", "exec", namespace, "nft", table], check=True)


@pytest.mark.lab
def test_only_the_checkout_is_kept() -> None:
    """The guest writes through to the current directory, and into its own memory elsewhere."""
    for directory, kept in ((Path.cwd(), True), (Path("/usr"), False)):
        kind = subprocess.run(["stat", "-f", "-c", "%T", directory], stdout=subprocess.PIPE, text=True, check=True)
        assert (kind.stdout.strip() != "overlayfs") == kept


@pytest.mark.host
def test_host_is_debian_with_its_own_python() -> None:
    assert platform.freedesktop_os_release()["VERSION_CODENAME"] == "trixie"
    assert sys.prefix == "/usr"
    assert Path("/run/systemd/system").is_dir()


@pytest.mark.host
def test_host_has_a_kernel_for_guests() -> None:
    directory = Path(os.environ["PVENET_GUEST_KERNEL"])
    assert (directory / "vmlinuz").stat().st_size > 2**20
    for name in (directory / "modules" / "order").read_text().split():
        assert (directory / "modules" / name).read_bytes()[:4] == b"\x7fELF"


@pytest.mark.host
def test_host_installs_a_local_package_without_a_network() -> None:
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(
            "Package: lab-probe\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
            "Depends: python3-pyroute2, python3-nftables\nDescription: probe\n"
        )
        package = f"{directory}/lab-probe_1_all.deb"
        subprocess.run(["dpkg-deb", "-b", tree, package], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-y", package], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-s", "lab-probe"], check=True, stdout=subprocess.DEVNULL)
