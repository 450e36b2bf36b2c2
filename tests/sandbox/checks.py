"""What must hold in the sandbox, each shown by a capture or by what the other end saw.

The guest's wget has its time limit from `timeout`: Debian 12's static busybox crashes on ``wget -T``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.guest.initramfs import PAGE
from tests.guest.qemu import Guest
from tests.sandbox.process import Process
from tests.sandbox.space import Capture
from tests.sandbox.world import GUEST, HOST, PROVIDER, TAP, World

OPEN, CLOSED = 8080, 2222
"""Ports of the guest: it listens on both, its rules open the first."""
WEB, FORBIDDEN = 80, 9999
"""Ports of the provider: it listens on both, the guest's rules close the second."""

Check = tuple[str, Callable[[], None]]


def checks(world: World, guest: Guest, provider: Process) -> Iterator[Check]:
    """Yield what to check, in an order that is to be kept."""
    outside = world.capture(world.host, "eth0", "tcp or icmp")
    inside = world.capture(world.host, TAP, "tcp")
    yield "the guest pings the provider", lambda: pings(guest)
    yield "the provider sees the host's address, not the guest's", lambda: is_masqueraded(guest, provider, outside)
    yield f"port {OPEN} of the guest answers the provider", lambda: answers(world)
    yield (
        f"port {CLOSED} of the guest stays closed: its SYN never reaches the tap",
        lambda: stays_closed(world, guest, outside, inside),
    )
    yield (
        f"port {FORBIDDEN} of the provider stays out of reach: the SYN never leaves",
        lambda: stays_inside(world, guest, outside, inside),
    )
    yield "nothing is left to do", lambda: is_in_sync(world)


def pings(guest: Guest) -> None:
    status, output = guest.run(f"ping -c 3 -W 60 {PROVIDER}")
    assert status == 0, output
    assert "3 packets transmitted, 3 packets received" in output, output


def is_masqueraded(guest: Guest, provider: Process, outside: Capture) -> None:
    status, output = guest.run(f"timeout 60 wget -q -O - http://{PROVIDER}:{WEB}/")
    assert (status, output) == (0, f"hello {HOST}"), output
    provider.expect(f"page for {HOST} on port {WEB}")
    outside.expect(rf"{HOST}\.\d+ > {PROVIDER}\.{WEB}: Flags \[S\]")
    assert not outside.seen(rf"{GUEST}.* > {PROVIDER}"), outside.seen(GUEST)


def stays_closed(world: World, guest: Guest, outside: Capture, inside: Capture) -> None:
    status, output = guest.run(f"wget -q -O - http://127.0.0.1:{CLOSED}/")
    assert (status, output) == (0, PAGE.decode().strip()), "the guest itself does listen"
    with pytest.raises(AssertionError, match="timed out"):
        world.page(f"http://{GUEST}:{CLOSED}/", seconds=3)
    outside.expect(rf"{PROVIDER}\.\d+ > {GUEST}\.{CLOSED}: Flags \[S\]")
    answers(world)  # later than the SYN in question: once the capture has this one, it would have had that
    inside.expect(rf"> {GUEST}\.{OPEN}: Flags \[F")
    assert not inside.seen(rf"{GUEST}\.{CLOSED}\b"), inside.seen(str(CLOSED))


def stays_inside(world: World, guest: Guest, outside: Capture, inside: Capture) -> None:
    page = world.page(f"http://127.0.0.1:{FORBIDDEN}/")
    assert page == "hello 127.0.0.1\n", "the provider itself does listen"
    status, _ = guest.run(f"nc -w 3 {PROVIDER} {FORBIDDEN}")
    assert status != 0
    inside.expect(rf"{GUEST}\.\d+ > {PROVIDER}\.{FORBIDDEN}: Flags \[S\]")
    status, _ = guest.run(f"timeout 60 wget -q -O - http://{PROVIDER}:{WEB}/")
    assert status == 0
    outside.expect(rf"{HOST}\.\d+ > {PROVIDER}\.{WEB}: Flags \[F")
    assert not outside.seen(rf"\.{FORBIDDEN}\b"), outside.seen(str(FORBIDDEN))


def is_in_sync(world: World) -> None:
    assert world.ctl("plan") == ""


def answers(world: World) -> None:
    assert world.page(f"http://{GUEST}:{OPEN}/") == PAGE.decode()
