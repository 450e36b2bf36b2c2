"""A guest that talks to a host outside without a pause, and what is seen there of what it may not send."""

from __future__ import annotations

import re

from tests.guest.domain import Domain
from tests.guest.qemu import Shell
from tests.netns import run
from tests.patience import until
from tests.sandbox.process import Process

ADDRESS = "192.0.2.7/24"
"""The guest's."""
FRIEND, FORBIDDEN = "192.0.2.1", "192.0.2.66"
_MORE = 50
"""Pings that are waited for: a second's."""


class Provider:
    """Who the guests talk to: outside, in their VLAN, with both addresses."""

    _SPACE = ("ip", "netns", "exec", "provider")

    def __init__(self, tag: int) -> None:
        self._link = f"customer0.{tag}"
        ip = (*self._SPACE, "ip")
        run(*ip, "link", "add", self._link, "link", "customer0", "type", "vlan", "id", str(tag))
        run(*ip, "link", "set", self._link, "up")
        for address in (FRIEND, FORBIDDEN):
            run(*ip, "address", "add", f"{address}/24", "dev", self._link)

    def capture(self, expression: str) -> Process:
        """Watch what comes in."""
        words = ["tcpdump", "-nne", "-l", "-p", "--immediate-mode", "-Q", "in", "-i", self._link, expression]
        process = Process(f"tcpdump on {self._link}", [*self._SPACE, *words])
        process.expect("listening on")
        return process

    def remove(self) -> None:
        """Take it away."""
        run(*self._SPACE, "ip", "link", "delete", self._link)


class Talk:
    """Pings to both, one every 20 ms, until the end."""

    def __init__(self, guest: Domain, provider: Provider) -> None:
        self.guest = guest
        self._forbidden = provider.capture(f"icmp and host {FORBIDDEN}")
        self.shell = guest.shell()

    def begin(self) -> None:
        """Begin to talk, anew, once the guest is there."""
        pings = " ".join(f"ping -i 0.02 {target} >/{target} 2>&1 &" for target in (FRIEND, FORBIDDEN))
        self.shell.run(f"killall ping; {pings}")
        self.goes_on()

    def take(self) -> None:
        """Take the guest's serial line anew: it is another QEMU's by now."""
        self.shell.process.stop()
        self.shell = Shell(self.guest.shell().process)

    def goes_on(self) -> None:
        """Wait until more pings have been answered.  None is to have been lost, and none to have passed the rules."""
        (before, _), answered, sent = self._answered(), 0, 0

        def go_on() -> bool:
            nonlocal answered, sent
            answered, sent = self._answered()
            return answered >= before + _MORE

        until(go_on, "more pings are answered")
        assert answered == sent
        self.is_filtered()

    def is_filtered(self) -> None:
        """Nothing that the rules forbid is to have been seen outside."""
        assert [line for line in self._forbidden.lines if " > " in line] == []

    def stop(self) -> None:
        """End it."""
        self._forbidden.stop()
        self.shell.process.stop()

    def _answered(self) -> tuple[int, int]:
        """Return how many pings have been answered, and how many should have been by then."""
        _, said = self.shell.run(f"cp /{FRIEND} /now; grep -c seq= /now; tail -n 1 /now")
        counted, last = re.match(r"\d+", said), re.search(r"seq=(\d+) ", said)
        return (int(counted[0]), int(last[1]) + 1) if counted and last else (0, 0)
