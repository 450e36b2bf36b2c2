"""A guest that is a network namespace: frames go between the hypervisor's tap and the guest's NIC, as through QEMU.

  python -m tests.sandbox.pump HOST-NAMESPACE TAP GUEST-NAMESPACE MAC PROGRAM

The tap is made as QEMU makes it, then PROGRAM is called with its name (the ifup hook); the guest's NIC is eth0.
"""

from __future__ import annotations

import ctypes
import os
import select
import subprocess
import sys
from pathlib import Path

from tests.sandbox.tap import make

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_FRAME = 65536


def enter(namespace: str) -> None:
    """Go into a named network namespace, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{namespace}").open("rb") as place:
        if libc.setns(place.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main(host: str, tap: str, guest: str, mac: str, program: str) -> int:
    enter(guest)
    inside = make("eth0")
    for words in (["address", mac], ["up"]):
        subprocess.run(["ip", "link", "set", "eth0", *words], check=True)
    enter(host)
    outside = make(tap)
    if status := subprocess.run([program, tap]).returncode:
        return status
    print("plugged", flush=True)
    others = {inside: outside, outside: inside}
    while True:
        for device in select.select(list(others), [], [])[0]:
            try:
                os.write(others[device], os.read(device, _FRAME))
            except OSError:
                continue  # one of them is down: a cable that leads nowhere


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
