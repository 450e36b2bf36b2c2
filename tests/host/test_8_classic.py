"""Debian's classic ifupdown, as test_1_install and test_4_owner have ifupdown2: beside it, and in its place.

ifupdown2, which cannot be there beside it, goes first.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.host.conftest import INTERFACES
from tests.host.events import Events
from tests.host.flow import Flow
from tests.host.machine import PACKAGES, SERVICE, Network, asked, ctl, network, package, port, unit
from tests.netns import run, show
from tests.patience import until

pytestmark = pytest.mark.host

RAN = Path("/run/ran")
TEXT = f"""\
auto lo
iface lo inet loopback

iface eno1 inet manual

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.2/24
	gateway 192.0.2.1
	bridge_ports eno1
	bridge_stp off
	bridge_fd 0
	post-up echo "$IFACE" >>{RAN}
"""


MARK = re.compile(r'"(ifalias|protocol)": "')
"""Of whose something is."""
ONLINK = re.compile(r'\[\s*"onlink"\s*\]')
TAKEN_OVER = ["~ route default onlink=no"]
"""What changes: classic ifupdown takes a gateway for reachable whatever the addresses are."""


@dataclass
class Change:
    """What the host's network was, and what it is after packages have come or gone."""

    before: Network = field(default_factory=network)
    after: Network = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    """Of a flow from outside that went on meanwhile."""
    told: list[str] = field(default_factory=list)
    """The kernel's events."""

    @property
    def nothing(self) -> bool:
        """Whether nothing at all has changed, and nothing was lost."""
        return (self.after, self.lost, self.told) == (self.before, set(), [])


def changed(*commands: Sequence[object]) -> Change:
    """Run apt or dpkg; return what that has changed."""
    made = Change()
    with Flow() as flow, Events() as events:
        for command in commands:
            run("env", "DEBIAN_FRONTEND=noninteractive", *map(str, command))
        made.lost = flow.lost()
        made.told = events.told()
    made.after = network()
    return made


def unmarked(found: Network) -> Network:
    """Return it without our marks, and without what is foretold."""
    lists = {what: ONLINK.sub("[]", "\n".join(lines)).splitlines() for what, lines in found.items()}
    return {what: [line.rstrip(",") for line in lines if not MARK.search(line)] for what, lines in lists.items()}


def deb(name: str, where: Path = PACKAGES) -> Path:
    (found,) = where.resolve().glob(f"{name}_*.deb")
    return found


@pytest.fixture(scope="module")
def classic(before: Network) -> None:
    """The host with a network that classic ifupdown has made, and nothing of ours or of ifupdown2's."""
    del before
    run("dpkg", "--purge", "pvenetd-ifupdown", "pvenetd", "ifupdown2")
    RAN.unlink(missing_ok=True)
    run("sh", "-c", "ip link delete vmbr0; ip link set eno1 down; rm -rf /run/network")
    INTERFACES.write_text(TEXT)
    run("dpkg", "-i", str(deb("ifupdown")))
    run("systemctl", "restart", "networking.service")
    last = ("ip", "-6", "-j", "address", "show", "dev", "vmbr0", "scope", "link")
    until(lambda: show(*last), "vmbr0 has its link-local address: the last to come, with the carrier")
    assert RAN.read_text() == "vmbr0\n"


@pytest.fixture(scope="module")
def beside(classic: None) -> Change:
    """What the package's installation has changed."""
    del classic
    return changed(["apt-get", "-q", "-y", "install", package().resolve()])


@pytest.fixture(scope="module")
def foretold(beside: Change) -> list[str]:
    """What status says that taking over would change."""
    del beside
    found = asked("status")["interfaces"]
    assert (found["mode"], found["applied"]) == ("guest", 0)
    said: list[str] = found["switch"]
    return said


@pytest.fixture(scope="module")
def owned(foretold: list[str]) -> Change:
    """What the installation of pvenetd-ifupdown has changed."""
    del foretold
    return changed(["apt-get", "-q", "-y", "install", deb("pvenetd-ifupdown", package().parent)])


@pytest.mark.reliability("the package is installed on a host that classic ifupdown runs", guarantee="no packet is lost")
def test_installing_beside_it_changes_nothing_and_loses_no_packet(beside: Change) -> None:
    assert beside.nothing, beside


def test_what_is_there_is_taken_as_it_is_and_what_taking_over_would_change_is_told(foretold: list[str]) -> None:
    ctl("interfaces", "check")
    assert foretold == TAKEN_OVER


@pytest.mark.reliability("pvenetd takes classic ifupdown's place", guarantee="no packet is lost")
def test_taking_over_is_as_foretold_and_loses_no_packet(owned: Change) -> None:
    assert unmarked(owned.after) == unmarked(owned.before)
    assert owned.lost == set()
    assert not [line for line in owned.told if re.search("Deleted|state DOWN", line)], owned.told


def test_taking_over_runs_no_command_that_it_has_run(owned: Change) -> None:
    del owned
    assert RAN.read_text() == "vmbr0\n"
    assert unit("networking.service", "Id", "ActiveState") == {"Id": SERVICE, "ActiveState": "active"}
    assert asked("status")["interfaces"]["mode"] == "owner"


def test_its_commands_answer(owned: Change) -> None:
    del owned
    run("ifquery", "--check", "-a")
    assert run("ifquery", "--list").split() == ["lo", "vmbr0"]
    run("ifdown", "vmbr0")
    assert not port("vmbr0")
    assert subprocess.run(["ifquery", "--check", "vmbr0"], capture_output=True).returncode == 1
    run("ifup", "vmbr0")
    run("ifquery", "--check", "vmbr0")
    assert RAN.read_text() == "vmbr0\nvmbr0\n"


@pytest.mark.reliability(
    "classic ifupdown takes its place again, and pvenetd then classic ifupdown's",
    guarantee="the network runs on: where the plan is empty not even an event is told",
)
def test_it_takes_its_place_again_and_loses_it(owned: Change) -> None:
    del owned
    back = changed(["dpkg", "--remove", "pvenetd-ifupdown"], ["dpkg", "-i", deb("ifupdown")])
    assert back.nothing, back
    assert asked("status")["interfaces"]["switch"] == []
    again = changed(["dpkg", "-i", deb("pvenetd-ifupdown", package().parent)])
    assert again.nothing, again
    assert asked("status")["interfaces"]["mode"] == "owner"
