"""Modules that the kernel does not find: what needs them is refused by their name, and the host is reached as before.

Bonding, 802.1Q and nf_tables are built into the lab's kernel.  Its tunnels and br_netfilter are modules; a link of a
kind that the kernel does not know is refused in the same words, whichever kind it is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.host.conftest import INTERFACES, TEXT
from tests.host.flow import Flow
from tests.host.machine import CTL, SERVICE, Network, apt, asked, ctl, network, package
from tests.host.modules import TUNNEL, V4, V6, hidden
from tests.netns import run, show
from tests.reliability import Outcome

SETTINGS = Path("/etc/pvenetd/pvenetd.toml")
OTHER = TEXT.replace("bridge-ports eno1", "bridge-ports eno1\n\taddress 198.51.100.2/24\n\tmtu 1400")
"""An edit that changes what is there, before it comes to what cannot be made."""

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("no_modules")]


@pytest.fixture(scope="module", autouse=True)
def installed_again(before: Network) -> Iterator[None]:
    """Have the package there beside ifupdown2, which owns the interfaces, and leave them as they were."""
    del before
    apt("install", package().resolve())
    INTERFACES.write_text(TEXT)
    ctl("apply")
    yield
    INTERFACES.write_text(TEXT)
    ctl("apply")


@pytest.fixture
def no_modules() -> Iterator[ExitStack]:
    """Have the kernel find none of its modules."""
    with hidden() as until_then:
        yield until_then


def refused(*words: str) -> str:
    """Return why pvenetctl fails."""
    done = subprocess.run([CTL, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done
    return done.stderr


@pytest.mark.reliability("a kernel module that a link needs is missing", guarantee="told by its name; all is as before")
@pytest.mark.parametrize(
    ("mode", "ends", "module"),
    [("gre", V4, "ip_gre"), ("ip6gretap", V6, "ip6_gre"), ("vti", V4, "ip_vti"), ("ipip", V4, "ipip")],
)
def test_an_apply_that_needs_a_module_changes_nothing(
    outcome: Outcome, mode: str, ends: tuple[str, str], module: str
) -> None:
    as_it_was = network()
    INTERFACES.with_suffix(".new").write_text(OTHER + TUNNEL.format(mode, *ends))
    with Flow() as flow:
        said = refused("apply")
        lost = flow.lost()
    assert f"the module {module} is not loaded: `modprobe {module}` says why" in said
    assert f"linux-image-{os.uname().release}" in said
    assert "rolled back: the host is as it was" in said
    assert lost == set()
    assert network() == as_it_was
    assert INTERFACES.read_text() == TEXT
    told = asked("status")
    assert module in told["errors"]["interfaces"]
    assert told["interfaces"]["state"] == "staged", "the edit waits"
    assert any(module in reason for reason in told["health"]["reasons"])
    ctl("interfaces", "revert")
    outcome(seen="no packet of the host's lost, the edit still staged")


def test_once_the_module_is_there_the_same_edit_is_applied(no_modules: ExitStack) -> None:
    INTERFACES.with_suffix(".new").write_text(TEXT + TUNNEL.format("gre", *V4))
    assert "ip_gre" in refused("apply")
    no_modules.close()
    ctl("apply")
    assert show("ip", "-j", "link", "show", "tun0")
    assert asked("status")["errors"] == {}
    INTERFACES.with_suffix(".new").write_text(TEXT)
    ctl("apply")


@pytest.mark.reliability(
    "br_netfilter is missing where the iptables backend needs it",
    guarantee="told by its name, no rule is half loaded, and the host is reached",
)
def test_the_iptables_backend_tells_that_br_netfilter_is_missing() -> None:
    SETTINGS.parent.mkdir(exist_ok=True)
    SETTINGS.write_text('[firewall]\nbackend = "iptables"\n')
    try:
        with Flow() as flow:
            run("systemctl", "restart", SERVICE)
            told = asked("status")
            assert flow.lost() == set()
        assert "br_netfilter is not loaded (modprobe br_netfilter)" in told["errors"]["kernel"]
        assert any("br_netfilter" in reason for reason in told["health"]["reasons"])
    finally:
        SETTINGS.unlink()
        run("systemctl", "restart", SERVICE)
    assert asked("status")["errors"] == {}
