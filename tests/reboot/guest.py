"""What runs on the host after each boot: tells how the host is, leaves it in the next state, and reboots it.

``python3 -m tests.reboot.guest``: prints ``boot`` and a record (JSON), once a boot.  The first boot is ifupdown2's;
at its end the packages are installed.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.guest.domain import VMID, Domain, Libvirt, Wiring, interface, metadata
from tests.host.machine import SERVICE, apt, asked, ctl, package, port, unit
from tests.host.virtual import CLUSTER, CLUSTER_FILE, NET, RULES, RULES_FILE
from tests.netns import run, show
from tests.patience import until
from tests.reboot.scenario import ADDRESS, BROKEN, INTERFACES, ONLINE, OTHER, STAGED, TEXT, WITNESS

ROOT = Path("/")
NETWORKING = "networking.service"
"""ifupdown2's, and then another name of pvenetd.service."""
_WHEN = "ActiveEnterTimestampMonotonic"
"""Microseconds from the kernel's start."""
COUNT = Path("/var/lib/boots")
"""How many boots there have been."""


def install() -> None:
    """Have pvenetd take the place of ifupdown2, with a guest that starts by itself, and stage an edit."""
    apt("install", package().resolve(), next(package().parent.glob("pvenetd-ifupdown_*.deb")).resolve())
    CLUSTER_FILE.write_text(CLUSTER)
    RULES_FILE.write_text(RULES)
    ctl("apply")
    ctl("firewall", "apply")
    run("systemctl", "restart", "libvirtd.service")  # it looks for hooks when it starts
    guest = Domain(Libvirt(), [interface(Wiring.SCRIPT)], metadata=metadata(NET)).define()
    guest.libvirt.virsh("autostart", guest.name)
    guest.start()
    (ROOT / STAGED).write_text(TEXT.replace(ADDRESS, OTHER))
    reboot()


def leave_unconfirmed() -> None:
    """Apply the edit, and reboot in good order before anybody has confirmed it."""
    apply()
    reboot()


def leave_unconfirmed_and_crash() -> None:
    """Apply the edit, and have the kernel boot again at once: nobody is told to stop."""
    apply()
    run("bash", "/run/keep")
    Path("/proc/sysrq-trigger").write_text("b")


def leave_broken() -> None:
    """Break the file, and reboot."""
    ctl("interfaces", "revert")
    (ROOT / INTERFACES).write_text(TEXT.replace(ADDRESS, BROKEN))
    reboot()


def end() -> None:
    """Leave it at that."""


STEPS: tuple[Callable[[], None], ...] = (install, leave_unconfirmed, leave_unconfirmed_and_crash, leave_broken, end)
"""What happens at the end of each boot."""


def apply() -> None:
    """Apply what is staged, to be confirmed."""
    ctl("apply", "--confirm", "3600")
    assert addresses() == [OTHER], addresses()


def reboot() -> None:
    """Boot again, in good order."""
    Domain(Libvirt(), []).destroy()  # it has no system that could be asked to end, and is waited for
    run("systemctl", "reboot")
    signal.pause()


def addresses() -> list[str]:
    """Return the host's IPv4 addresses."""
    found = show("ip", "-4", "-j", "address", "show", "dev", "vmbr0")
    return [f"{one['local']}/{one['prefixlen']}" for link in found for one in link.get("addr_info", [])]


def seen() -> dict[str, Any]:
    """Return how the host is after a boot."""
    until((ROOT / ONLINE).exists, "the network is online")  # which it is for ifupdown2 before it has an address
    until(lambda: unit(NETWORKING, "ActiveState")["ActiveState"] == "active", "the interfaces have been brought up")
    reached = unit("network-online.target", _WHEN)[_WHEN], unit(NETWORKING, _WHEN)[_WHEN]
    witness = ROOT / WITNESS
    return {
        "online": max(map(int, reached)) / 1e6,
        "there": (ROOT / ONLINE).read_text(),
        "witness": witness.read_text().splitlines() if witness.exists() else [],
        "active": (ROOT / INTERFACES).read_text(),
        "staged": (ROOT / STAGED).read_text() if (ROOT / STAGED).exists() else None,
        "addresses": addresses(),
    }


def ours() -> dict[str, Any]:
    """Return what pvenetd has made of a boot."""
    guest = Domain(Libvirt(), [])
    until(lambda: guest.state() == "running", "the guest has been started")
    tap = guest.device()
    status = asked("status")
    said = run("journalctl", "-b", "-o", "cat", "-u", SERVICE).splitlines()
    return {
        "errors": status["errors"],
        "state": status["interfaces"]["state"],
        "guest": {"master": port(tap).get("master"), **asked("vm", "show", str(VMID))["nics"][0]},
        "guest's chains": tap in run("nft", "list", "map", "bridge", "pvenetd", "in"),
        "failed": run("systemctl", "list-units", "--failed", "--no-legend", "pvenetd*"),
        "said": [line for line in said if not line.startswith("INFO pvenetd.api")][-20:],
    }


def main() -> None:
    """Tell how the host is, and leave it in the next state."""
    count = int(COUNT.read_text()) if COUNT.exists() else 0
    COUNT.write_text(f"{count + 1}\n")
    record = {**seen(), **(ours() if count else {})}
    print("boot", json.dumps(record), flush=True)
    STEPS[count]()


def said() -> str:
    """Return what systemd's journal has of this boot, the end of it."""
    return run("journalctl", "-b", "-o", "short-monotonic", "--no-pager", "-n", "80")


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        print(said(), flush=True)
        raise
