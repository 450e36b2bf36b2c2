"""The other programs that read interfaces(5): Debian's ifupdown and ifupdown2, run without being installed.

Their packages conflict, and either would take over the machine; `tests/fetch-peers` only unpacks them
below .cache/peers.  Each run has mounts of its own: an empty /etc/network, /run and /var/tmp, and a sysfs that
shows the network namespace of the thread that calls.  What a run must leave for the next is in *state*.

  python -m tests.peers STATE FILE ifreload -a                  ifupdown2
  python -m tests.peers STATE FILE classic-ifquery --list       ifupdown
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNPACKED = ROOT / ".cache" / "peers"
INSTALLED = Path("/usr/share/ifupdown2")
"""Where a host has ifupdown2 (the lab's Debian host): that one runs on that host's Python."""

IFUPDOWN2 = ("ifup", "ifdown", "ifreload", "ifquery")
CLASSIC = ("classic-ifup", "classic-ifdown", "classic-ifquery")

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

_PRIVATE = """\
set -e
state=$1 settings=$2 target=$3 name=$4; shift 4
mount -t sysfs sysfs /sys 2>/dev/null || true    # busy: it shows this namespace already
for place in /etc/network "$settings"; do
    [ ! -d "$place" ] || mount --bind "$state/etc" "$place"
done
[ ! -d /var/lib/ifupdown2 ] || mount -t tmpfs tmpfs /var/lib/ifupdown2
mount --bind "$state/var" /var/tmp
mount -t tmpfs tmpfs /run
mkdir /run/network /run/bin
mount --bind "$state/run" /run/network
ln -s "$target" "/run/bin/$name"
case $target in *.py) exec /usr/bin/python3 "/run/bin/$name" "$@" ;; *) exec "/run/bin/$name" "$@" ;; esac
"""
"""Both tell by the name they are called by what is wanted of them."""

_INTERFACES = re.compile("(?<=^default_interfaces_configfile=).*", re.MULTILINE)


def command(state: Path, interfaces: Path, program: str, *arguments: str) -> list[str]:
    """Return how to run *program*, one of `IFUPDOWN2` or `CLASSIC`, on the file *interfaces*, as root.

    Its records go below *state*; that and the files it is given may be anywhere but below /run and /var/tmp.
    """
    for name in ("etc", "run", "var"):
        (state / name).mkdir(parents=True, exist_ok=True)
    if program in CLASSIC:
        name = program.removeprefix("classic-")
        target, arguments = UNPACKED / "ifupdown" / "sbin/ifup", ("-i", str(interfaces), *arguments)
        return ["unshare", "-m", "sh", "-c", _PRIVATE, "peers", str(state), "", str(target), name, *arguments]
    tree = INSTALLED if INSTALLED.is_dir() else UNPACKED / "ifupdown2" / "usr/share/ifupdown2"
    settings = (Path("/") if tree == INSTALLED else tree) / "etc/network"
    shutil.copytree(settings, state / "etc", dirs_exist_ok=True)
    own = state / "etc/ifupdown2/ifupdown2.conf"
    own.write_text(_INTERFACES.sub(str(interfaces), own.read_text()))
    target = tree / "__main__.py"
    return ["unshare", "-m", "sh", "-c", _PRIVATE, "peers", str(state), str(settings), str(target), program, *arguments]


def run(state: Path, interfaces: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run *program* in the caller's network namespace; whether it failed is for the caller to see."""
    return subprocess.run(
        command(state, interfaces, program, *arguments),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
    )


def main(arguments: list[str]) -> int:
    """Run what the command line says, its output passed on."""
    state, interfaces, program, *rest = arguments
    return subprocess.run(
        command(Path(state).resolve(), Path(interfaces).resolve(), program, *rest), env=ENVIRONMENT
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
