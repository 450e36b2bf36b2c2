"""A guest that talks with hosts outside without a pause, and what is seen there of what it may not send.

Each of its NICs has a VLAN and a network of its own, in which are a host that it may talk to and one that it may not.
The first asks and the guest's kernel answers: what programs in a guest under emulation are told may be lost on its
way up to them, wherever they do not get the processor in time.
"""

from __future__ import annotations

from tests.guest.domain import Domain
from tests.guest.qemu import Shell
from tests.host.flow import Pings
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
"""Seconds between two pings, either way."""


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
    """Pings to each of a guest's NICs, and from each to whom it may not talk to, until the end."""

    def __init__(self, guest: Domain, provider: Provider) -> None:
        self.guest = guest
        self._addresses = [address.partition("/")[0] for address in guest.addresses]
        self._seen = provider.capture(" or ".join(f"host {address}" for address in FORBIDDEN))
        self._pings: list[Pings] = []
        self.shell = guest.shell()

    def begin(self) -> None:
        """Begin to talk, anew, once the guest is there."""
        forbidden = FORBIDDEN[: len(self._addresses)]
        pings = " ".join(f"ping -q -i {_PAUSE} {target} >/dev/null 2>&1 &" for target in forbidden)
        self.shell.run(f"killall ping; {pings}")
        for target in forbidden:
            until(lambda target=target: self._sees(f"who-has {target}"), f"it tries to reach {target}")
        self._end()
        self._pings = [Pings(address, _PAUSE) for address in self._addresses]
        self.goes_on()

    def take(self) -> None:
        """Take the guest's serial line anew: it is another QEMU's by now."""
        self.shell.process.stop()
        self.shell = Shell(self.guest.shell().process)

    def goes_on(self) -> None:
        """Wait until more pings have been answered.  None is to have been lost, and none to have passed the rules."""
        for address, pings in zip(self._addresses, self._pings, strict=True):
            assert pings.lost() == set(), address
        self.is_filtered()

    def is_filtered(self) -> None:
        """Nothing that the rules forbid is to have been seen outside; that it was asked who has the address, has."""
        assert not self._sees("ICMP")

    def stop(self) -> None:
        """End it."""
        self._end()
        self._seen.stop()
        self.shell.process.stop()

    def _end(self) -> None:
        for pings in self._pings:
            pings.stop()
        self._pings = []

    def _sees(self, words: str) -> list[str]:
        return [line for line in self._seen.lines.copy() if words in line]
