"""A guest that talks to hosts outside without a pause, and what is seen there of what it may not send.

Each of its NICs has a VLAN and a network of its own, in which are a host that it may talk to and one that it may not.
"""

from __future__ import annotations

import re

from tests.guest.domain import Domain
from tests.guest.qemu import Shell
from tests.netns import run
from tests.patience import until
from tests.sandbox.process import Process

TAGS = (20, 21, 22)
_NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
ADDRESSES = tuple(f"{network}.7/24" for network in _NETWORKS)
"""The guest's."""
FRIENDS = tuple(f"{network}.1" for network in _NETWORKS)
FORBIDDEN = tuple(f"{network}.66" for network in _NETWORKS)
_PAUSE = 0.05
"""Seconds between two pings."""
_MORE = 20
"""Pings that are waited for: a second's."""


class Provider:
    """Who the guests talk to: outside, in their VLANs, with all addresses."""

    _SPACE = ("ip", "netns", "exec", "provider")

    def __init__(self) -> None:
        ip = ("ip", "-n", "provider")
        for tag, addresses in zip(TAGS, zip(FRIENDS, FORBIDDEN, strict=True), strict=True):
            link = f"customer0.{tag}"
            run(*ip, "link", "add", link, "link", "customer0", "type", "vlan", "id", str(tag))
            run(*ip, "link", "set", link, "up")
            for address in addresses:
                run(*ip, "address", "add", f"{address}/24", "dev", link)

    def capture(self, expression: str) -> Process:
        """Watch what comes in, with a tag."""
        words = ["tcpdump", "-nne", "-l", "-p", "--immediate-mode", "-Q", "in", "-i", "customer0"]
        process = Process("tcpdump on customer0", [*self._SPACE, *words, f"vlan and ({expression})"])
        process.expect("listening on")
        return process


class Talk:
    """Pings from each of a guest's NICs to both hosts, until the end."""

    def __init__(self, guest: Domain, provider: Provider) -> None:
        self.guest = guest
        nics = len(guest.addresses)
        self._friends, self._forbidden = FRIENDS[:nics], FORBIDDEN[:nics]
        self._seen = provider.capture(" or ".join(f"host {address}" for address in FORBIDDEN))
        self.shell = guest.shell()

    def begin(self) -> None:
        """Begin to talk, anew, once the guest is there."""
        targets = (*self._friends, *self._forbidden)
        pings = " ".join(f"ping -i {_PAUSE} {target} >/{target} 2>&1 &" for target in targets)
        self.shell.run(f"killall ping; {pings}")
        for target in self._forbidden:
            until(lambda target=target: self._sees(f"who-has {target}"), f"it tries to reach {target}")
        self.goes_on()

    def take(self) -> None:
        """Take the guest's serial line anew: it is another QEMU's by now."""
        self.shell.process.stop()
        self.shell = Shell(self.guest.shell().process)

    def goes_on(self) -> None:
        """Wait until more pings have been answered.  None is to have been lost, and none to have passed the rules."""
        before, now = self._answered(), dict[str, tuple[int, int]]()

        def go_on() -> bool:
            nonlocal now
            now = self._answered()
            return all(now[friend][0] >= before[friend][0] + _MORE for friend in self._friends)

        until(go_on, "more pings are answered")
        for friend, (answered, sent) in now.items():
            assert answered == sent, friend
        self.is_filtered()

    def is_filtered(self) -> None:
        """Nothing that the rules forbid is to have been seen outside; that it was asked who has the address, has."""
        assert not self._sees("ICMP")

    def stop(self) -> None:
        """End it."""
        self._seen.stop()
        self.shell.process.stop()

    def _sees(self, words: str) -> list[str]:
        return [line for line in self._seen.lines.copy() if words in line]

    def _answered(self) -> dict[str, tuple[int, int]]:
        """Return of each host how many pings it has answered, and how many it should have by then."""
        each = f"for it in {' '.join(self._friends)}; do cp /$it /now; echo; grep -c seq= /now; tail -n 1 /now; done"
        _, said = self.shell.run(each)
        found = re.findall(r"^(\d+)\n.* from (\S+): seq=(\d+) ", said, re.MULTILINE)
        return {**dict.fromkeys(self._friends, (0, 0)), **{who: (int(n), int(last) + 1) for n, who, last in found}}
