"""Which guests there are, and by whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvenetd.daemon.definitions import DOMAINS, LXC, QEMU, Definitions
from pvenetd.drivers.files import Files
from pvenetd.errors import ConfigError, Conflict

ONE, TWO = "6d0b3c9a-52f4-4c5e-9d7e-0123456789aa", "6d0b3c9a-52f4-4c5e-9d7e-0123456789ab"


def domain(name: str, uuid: str = ONE, device: str = "vnet3") -> str:
    nic = f"<interface type='bridge'><source bridge='vmbr0'/><target dev='{device}'/><model type='virtio'/></interface>"
    return f"<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><devices>{nic}</devices></domain>"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def told(files: Files, vmid: int = 100) -> list[str]:
    guest = Definitions(files).guest(vmid)
    assert guest
    return [guest.path, *map(str, guest.problems)]


def test_a_file_stands_before_a_container_and_a_container_before_a_domain(files: Files) -> None:
    Definitions(files).define(domain("web-100"))
    assert told(files) == ["libvirt:web-100"]
    files.write(f"{LXC}/100.conf", b"net0: name=eth0,bridge=vmbr0\n")
    container, *warnings = told(files)
    assert container == f"/{LXC}/100.conf"
    (warning,) = warnings
    assert warning.startswith(f"libvirt:web-100:0: warning duplicate-guest: 100 is a guest already, by /{LXC}/100.conf")
    files.write(f"{QEMU}/100.conf", b"net0: virtio,bridge=vmbr0\n")
    file, *warnings = told(files)
    assert (file, len(warnings)) == (f"/{QEMU}/100.conf", 2)


def test_a_domain_is_known_after_a_restart_as_it_was_told_last(files: Files) -> None:
    definitions = Definitions(files)
    assert definitions.define(domain("web-100"))[1] == {100}
    assert definitions.define(domain("web-200"))[1] == {100, 200}, "its VMID is another now"
    again = Definitions(files)
    assert (again.ids(), again.holder("vnet3")) == ([200], (200, 0))
    assert again.undefine(ONE) == {200}
    assert (again.ids(), again.holder("vnet3"), files.names(DOMAINS)) == ([], None, [])
    assert again.undefine(ONE) == set()


def test_a_domain_that_is_no_guest_of_ours_is_none_any_more(files: Files) -> None:
    definitions = Definitions(files)
    definitions.define(domain("web-100"))
    found, about = definitions.define(domain("web"))
    assert (found.guest, about, definitions.ids()) == (None, {100}, [])


def test_the_second_domain_with_a_vmid_waits_until_the_first_is_gone(files: Files) -> None:
    definitions = Definitions(files)
    definitions.define(domain("web-100"))
    with pytest.raises(Conflict, match=r"^libvirt:vm100:0: .*100 is a guest already, by libvirt:web-100"):
        definitions.define(domain("vm100", TWO))
    first = definitions.guest(100)
    assert first
    assert (first.name, [problem.path for problem in first.problems]) == ("web-100", ["libvirt:vm100"])
    assert definitions.undefine(ONE) == {100}
    second = definitions.guest(100)
    assert second
    assert (second.name, second.problems) == ("vm100", ())


def test_what_is_no_domain_leaves_what_was_told_before(files: Files) -> None:
    definitions = Definitions(files)
    definitions.define(domain("web-100"))
    with pytest.raises(ConfigError):
        definitions.define(domain("web-100") + "<")
    assert Definitions(files).ids() == [100]


@pytest.mark.parametrize(
    ("device", "holder"),
    [
        ("tap100i0", (100, 0)),
        ("tap100i1", None),
        ("veth100i0", None),
        ("veth101i0", (101, 0)),
        ("tap101i0", None),
        ("vnet3", (102, 0)),
        ("tap102i0", None),
        ("tap103i0", None),
        ("eth0", None),
    ],
)
def test_a_port_is_its_guests_by_the_name_it_has_there(
    files: Files, device: str, holder: tuple[int, int] | None
) -> None:
    files.write(f"{QEMU}/100.conf", b"net0: virtio,bridge=vmbr0\n")
    files.write(f"{LXC}/101.conf", b"net0: name=eth0,bridge=vmbr0\n")
    definitions = Definitions(files)
    definitions.define(domain("web-102"))
    assert definitions.holder(device) == holder


def test_a_domain_that_a_file_stands_before_has_no_port(files: Files) -> None:
    definitions = Definitions(files)
    definitions.define(domain("web-100"))
    files.write(f"{QEMU}/100.conf", b"net0: virtio,bridge=vmbr0\n")
    assert (definitions.holder("vnet3"), definitions.holder("tap100i0")) == (None, (100, 0))
    files.put(f"{QEMU}/100.conf", None)
    assert (definitions.holder("vnet3"), definitions.holder("tap100i0")) == ((100, 0), None)
