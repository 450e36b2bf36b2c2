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
from tests.sandbox.space import CHECKOUT
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
        say("interrupted: took all down")
    except AssertionError as error:
        print(f"FAILED {error}", flush=True)
        failed += 1
    if not failed:
        say("nothing is left of it")
    if once:
        print("NOT OK" if failed else "ok", flush=True)
    return 1 if failed else 0


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
    failed += not passes("the guest powers off, and its tap goes with it", lambda: goes(world, guest))
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
    host, provider = shlex.join(world.host.prefix()), shlex.join(world.provider.prefix())
    ctl = f"{host} {sys.prefix}/bin/pvenetctl --root {world.root}"
    get = f"{provider} {sys.executable} {CHECKOUT}/tests/sandbox/web.py get"
    print(
        f"""The sandbox runs until you press Ctrl-C.  In another terminal, as root:

{host} bash     # the hypervisor: ip, bridge, nft list ruleset, tcpdump -i {TAP}
{get} http://{GUEST}:{OPEN}/     # from outside to the guest: open
{get} http://{GUEST}:{CLOSED}/     # closed by its rules
{ctl} vm show {VMID}
{ctl} interfaces list

Edit {world.root}/etc/pvenetd/firewall/{VMID}.fw, then
{ctl} firewall apply

Edit {world.root}/etc/network/interfaces, then
{ctl} plan
{ctl} apply --confirm 60
""",
        flush=True,
    )


def say(what: str) -> None:
    """Print a step, with the seconds since the start."""
    print(f"[{time.monotonic() - _started:5.1f} s] {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
