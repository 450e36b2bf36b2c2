"""The Debian host that the tests run in: its network in one picture, its package, its units."""

from __future__ import annotations

import json
import os
import re
import select
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.netns import run, show
from tests.patience import PATIENCE
from tests.sandbox.process import Process

CTL = "/usr/bin/pvenetctl"
LIBEXEC = Path("/usr/libexec/pvenetd")
SERVICE, SOCKET = "pvenetd.service", "pvenetd.socket"

Network = dict[str, list[str]]
"""What there is, by kind, in lines."""

PACKAGES = Path("/opt/packages")
"""What the image has to install, and has not installed."""
_PLACES = ("/etc", "/usr", "/var", "/run", "/opt", "/root", "/srv")
_KEPT_BY_OTHERS = ("/var/log/", "/var/cache/", "/var/backups/", "/run/log/", "/run/systemd/")
"""Logs and caches of apt, dpkg and systemd."""
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
_RUNNING = ("_timer", "fdb_n_learned")
"""Ends of the names of what changes by itself: a bridge's timers, and how many senders it has heard."""


def apt(*words: object) -> str:
    """Run apt-get without questions; this host has no network to fetch anything from."""
    settings = [f"{name}={value}" for name, value in _QUIET.items()]
    return run("env", *settings, "apt-get", "-q", "-y", *map(str, words))


def package() -> Path:
    """Return the package under test."""
    return Path(os.environ["PVENET_DEB"])


def newer(place: Path) -> Path:
    """Make the package's next version in *place*, of the same files; return it."""
    tree, made = place / "tree", place / "pvenetd_newer.deb"
    run("dpkg-deb", "--raw-extract", str(package().resolve()), str(tree))
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*", r"\g<0>+next", control.read_text(), flags=re.MULTILINE))
    run("dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(made))
    return made


def version() -> str:
    """Return the version of the package that is installed."""
    return run("dpkg-query", "-W", "-f", "${Version}", "pvenetd")


def files() -> set[str]:
    """Return the names of all files that a package could have left somewhere, those that others keep writing apart."""
    found = run("find", *_PLACES, "-xdev").splitlines()
    return {name for name in found if not name.startswith(_KEPT_BY_OTHERS) and "/__pycache__" not in name}


def unit(name: str, *properties: str) -> Mapping[str, str]:
    """Return properties of a unit, by systemd's word."""
    lines = run("systemctl", "show", name, f"--property={','.join(properties)}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def main_pid() -> int:
    """Return the process that systemd takes for the daemon."""
    return int(unit(SERVICE, "MainPID")["MainPID"])


def ended(pid: int, number: int, seconds: float = PATIENCE) -> None:
    """Send a signal to a process of somebody else's, and wait until it has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, number)
        gone, _, _ = select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)
    assert gone, f"process {pid} has not ended within {seconds:g} s"


def ctl(*words: str) -> str:
    """Return what pvenetctl prints.  It waits for a daemon that is being started: systemd holds the socket."""
    return run("timeout", f"{PATIENCE:g}", CTL, *words)


def asked(*words: str) -> Any:
    """Return pvenetctl's answer as a record."""
    return json.loads(ctl("--json", *words))


def journal(name: str = SERVICE) -> Process:
    """Follow a unit's journal from now on."""
    follower = Process(f"journal of {name}", ["journalctl", "-f", "-n", "1", "-o", "cat", "-u", name])
    follower.expect("")
    return follower


def port(name: str) -> dict[str, Any]:
    """Return a link, an empty record where there is none."""
    links: list[dict[str, Any]] = _steady(show("ip", "-d", "-j", "link"))
    return next((link for link in links if link["ifname"] == name), {})


def network() -> Network:
    """Return how the host's network is, as its own tools show it, in lines."""
    found: dict[str, Any] = {
        "links": show("ip", "-d", "-j", "link"),
        "addresses": show("ip", "-j", "address"),
        "routes": show("ip", "-j", "route", "show", "table", "all"),
        "routes6": show("ip", "-6", "-j", "route", "show", "table", "all"),
        "rules": show("ip", "-j", "rule"),
        "vlans": show("bridge", "-j", "vlan"),
        "rulesets": run("nft", "--stateless", "list", "ruleset"),
        "settings": run("sysctl", "-a", "-r", r"^net\.(bridge|ipv[46]\.(conf|ip_forward))"),
    }
    return {
        name: value.splitlines() if isinstance(value, str) else json.dumps(_steady(value), indent=1).splitlines()
        for name, value in found.items()
    }


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _steady(one) for name, one in value.items() if not name.endswith(_RUNNING)}
    if isinstance(value, list):
        return [_steady(one) for one in value]
    return value
