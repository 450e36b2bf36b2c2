"""A hypervisor to look at: `make run`.  With ONCE=1 it is checked, taken down, and the exit status says how it went."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable

from tests.guest.qemu import Guest
from tests.sandbox.checks import CLOSED, FORBIDDEN, OPEN, WEB, checks
from tests.sandbox.process import Process
from tests.sandbox.world import GUEST, TAP, VMID, World

_started = time.monotonic()


def main() -> int:
    """Run the sandbox."""
    if os.geteuid() != 0:
        print("the sandbox makes network namespaces: run it as root", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    once = os.environ.get("ONCE", "") not in ("", "0")
    world = World(say=say)
    failed = 0
    try:
        with world:
            failed = run(world, once=once)
            say("taking all down")
    except KeyboardInterrupt:
        say("interrupted: all is taken down")
    except AssertionError as error:
        print(f"FAILED {error}", flush=True)
        failed += 1
    left = world.left()
    for what in left:
        print(f"FAILED left behind: {what}", flush=True)
    if once and not left:
        say("nothing is left of it")
    if once:
        print("ok" if not failed and not left else "NOT OK", flush=True)
    return 1 if failed or left else 0


def run(world: World, *, once: bool) -> int:
    """Build the hypervisor, then check it or wait to be interrupted; return how many checks failed."""
    provider = world.serve_pages(WEB, FORBIDDEN)
    say(f"starting pvenetd --root {world.root}")
    world.start_daemon()
    say("pvenetctl apply")
    if world.show("apply"):
        raise AssertionError("pvenetctl apply failed")
    say(f"starting guest {VMID} in QEMU; it boots")
    guest = world.start_guest(listen=(OPEN, CLOSED))
    guest.ready()
    say(f"guest {VMID} is there; pvenetctl status, pvenetctl topology")
    for command in ("status", "topology"):
        print(flush=True)
        if world.show(command):
            raise AssertionError(f"pvenetctl {command} failed")
    print(flush=True)
    if not once:
        invite(world)
        signal.pause()
    return check(world, guest, provider)


def check(world: World, guest: Guest, provider: Process) -> int:
    """Go through all checks, and power the guest off; return how many failed."""
    failed = 0
    for name, holds in checks(world, guest, provider):
        failed += not passes(name, holds)
    failed += not passes("the guest powers off, and its tap and chains go", lambda: goes(world, guest))
    failed += not passes("pvenetd ends when it is told to", lambda: ends(world))
    return failed


def passes(name: str, holds: Callable[[], None]) -> bool:
    """Say and return whether a check passes."""
    try:
        holds()
    except AssertionError as error:
        say(f"FAILED {name}: {error}")
        return False
    say(f"ok     {name}")
    return True


def goes(world: World, guest: Guest) -> None:
    assert guest.power_off() == 0
    assert TAP not in world.host.links()
    assert world.ctl("plan") == ""


def ends(world: World) -> None:
    assert world.daemon
    world.daemon.signal(signal.SIGTERM)
    assert world.daemon.wait() == 0, world.daemon.lines[-5:]


def invite(world: World) -> None:
    """Say what there is to try."""
    inside = shlex.join(world.host.prefix())
    ctl = f"{inside} {sys.prefix}/bin/pvenetctl --root {world.root}"
    print(
        f"""The sandbox runs until you press Ctrl-C.  In another terminal, try:

  {ctl} vm list
  {ctl} interfaces list
  {inside} bash              # the hypervisor: ip, bridge, nft, tcpdump -i {TAP}
  {shlex.join(world.provider.prefix())} wget -qO- http://{GUEST}:{OPEN}/     # from outside: open
  {shlex.join(world.provider.prefix())} nc -zw 3 {GUEST} {CLOSED}               # closed by its rules
  edit {world.root}/etc/pvenetd/firewall/{VMID}.fw, then: {ctl} firewall apply
  edit {world.root}/etc/network/interfaces, then: {ctl} plan; {ctl} apply --confirm 60
""",
        flush=True,
    )


def say(what: str) -> None:
    """Print a step, with the seconds since the start."""
    print(f"[{time.monotonic() - _started:5.1f} s] {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
