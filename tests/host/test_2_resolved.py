"""systemd-resolved is told of an interface's name servers, and told again of a link that is another one now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.host.conftest import INTERFACES
from tests.host.machine import CTL, PACKAGES, SERVICE, apt, ctl
from tests.netns import run

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("resolved")]

NIC = "names0"
STANZA = f"""
auto {NIC}
iface {NIC} inet static
	link-type dummy
	address 198.51.100.9/24
"""


@pytest.fixture
def resolved(installed: object) -> Iterator[None]:
    """The host with systemd-resolved, for as long as a test takes."""
    del installed
    resolv_conf = Path("/etc/resolv.conf")
    before = resolv_conf.read_bytes() if resolv_conf.exists() else None
    (package,) = PACKAGES.glob("systemd-resolved_*.deb")
    apt("install", package)
    run("systemctl", "reload", "dbus")  # may resolved have its name: dbus sees new files late
    run("systemctl", "restart", "systemd-resolved")
    run("resolvectl", "status")
    yield
    apt("purge", "systemd-resolved")
    resolv_conf.unlink(missing_ok=True)
    if before is not None:
        resolv_conf.write_bytes(before)


@pytest.fixture
def text() -> Iterator[str]:
    """The interfaces without ours; they are again what they were."""
    before = INTERFACES.read_text()
    yield before
    apply(before)


def apply(text: str) -> None:
    INTERFACES.with_suffix(".new").write_text(text)
    ctl("apply", "--yes")


def told(what: str) -> list[str]:
    """Return what resolved knows of our interface; its answer begins with the name."""
    return run("resolvectl", what, NIC).partition(":")[2].split()


@contextmanager
def no_resolvectl() -> Iterator[None]:
    """Have resolvectl fail, for all who run it."""
    run("mount", "--bind", "/usr/bin/false", "/usr/bin/resolvectl")
    try:
        yield
    finally:
        run("umount", "/usr/bin/resolvectl")


def test_servers_and_domains_come_change_and_go(text: str) -> None:
    with no_resolvectl():  # it is told by D-Bus
        apply(f"{text}{STANZA}\tdns-nameservers 192.0.2.53 2001:db8::53\n\tdns-search example.com example.net\n")
    assert told("dns") == ["192.0.2.53", "2001:db8::53"]
    assert told("domain") == ["example.com", "example.net"]
    assert "nameserver 127.0.0.53" in Path("/etc/resolv.conf").read_text()
    assert ctl("plan") == ""

    apply(f"{text}{STANZA}\tdns-nameservers 203.0.113.53\n\tdns-domain example.org\n")
    assert (told("dns"), told("domain")) == (["203.0.113.53"], ["example.org"])
    apply(f"{text}{STANZA}\tdns-search example.org\n")
    assert (told("dns"), told("domain")) == ([], ["example.org"])
    apply(f"{text}{STANZA}\tdns-nameservers 203.0.113.53\n")
    assert (told("dns"), told("domain")) == (["203.0.113.53"], [])
    with no_resolvectl():
        apply(f"{text}{STANZA}")
    assert (told("dns"), told("domain")) == ([], [])


WITHOUT_DBUS_FAST = f"""
import sys
from pathlib import Path
sys.modules["dbus_fast"] = None
from pvenetd.drivers.files import Files
from pvenetd.drivers.resolver import Resolver
from pvenetd.plan import Op
from pvenetd.state import Dns

dns = Dns(iface="{NIC}", nameservers=("192.0.2.53", "2001:db8::53"), search=("example.com",), owner="interfaces")
Resolver(Files(Path("/"))).apply(Op(sys.argv[1], dns))
"""


def test_where_nobody_speaks_dbus_resolvectl_tells_it(text: str) -> None:
    del text
    run("ip", "link", "add", NIC, "type", "dummy")
    run("python3", "-c", WITHOUT_DBUS_FAST, "+")
    assert (told("dns"), told("domain")) == (["192.0.2.53", "2001:db8::53"], ["example.com"])
    run("python3", "-c", WITHOUT_DBUS_FAST, "-")
    assert (told("dns"), told("domain")) == ([], [])
    run("ip", "link", "delete", NIC)


def test_what_it_forgets_it_is_told_again(text: str) -> None:
    apply(f"{text}{STANZA}\tdns-nameservers 192.0.2.53\n")
    run("systemctl", "restart", "systemd-resolved")
    assert told("dns") == ["192.0.2.53"]
    run("systemctl", "restart", SERVICE)
    assert ctl("plan") == ""

    run("ip", "link", "delete", NIC)
    run("ip", "link", "add", NIC, "type", "dummy")
    assert told("dns") == []
    assert f"+ dns {NIC}" in ctl("plan")
    ctl("apply", "--yes")
    assert told("dns") == ["192.0.2.53"]
    assert ctl("plan") == ""


def test_an_apply_that_fails_leaves_it_as_it_was(text: str) -> None:
    apply(f"{text}{STANZA}\tdns-nameservers 192.0.2.53\n")
    INTERFACES.with_suffix(".new").write_text(f"{text}{STANZA}\tdns-nameservers 203.0.113.53\n\tup false\n")
    run("bash", "-c", f"! {CTL} apply --yes")
    assert told("dns") == ["192.0.2.53"]


@pytest.mark.reliability("systemd-resolved is stopped", guarantee="applies go on")
def test_stopped_it_stops_no_apply(text: str) -> None:
    run("systemctl", "disable", "--now", "systemd-resolved")
    apply(f"{text}{STANZA}\tdns-nameservers 192.0.2.53\n")
    assert ctl("plan") == ""
