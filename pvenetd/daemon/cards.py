"""Guests' NICs as their rules know them; one whose line is broken is what it was when it could last be read.

Where nobody knows what it was, it is taken to be filtered, and is let nothing pass: a typo opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from pvenetd.firewall import backend
from pvenetd.firewall.closed import is_closed
from pvenetd.firewall.compile import Guest as Facts
from pvenetd.firewall.compile import Nic
from pvenetd.firewall.compile_guest import BROKEN
from pvenetd.firewall.syntax import Config
from pvenetd.guests.guest import Guest
from pvenetd.names import IFNAMSIZ
from pvenetd.resource import Resource
from pvenetd.state import Chains


def knows(resource: Resource, port: str) -> bool:
    """Return whether *resource* is chains of a guest that were made when the line of *port* could be read."""
    if not isinstance(resource, Chains) or is_closed(resource.text):
        return False
    return BROKEN not in resource.text and backend.is_filtered(port, resource.text)


class Cards:
    """What is known of guests' NICs beside what their files say now."""

    def __init__(self) -> None:
        self._good: dict[int, Mapping[int, Nic]] = {}

    def facts(self, guest: Guest, config: Config) -> Facts:
        """Return *guest* with its NICs, and *config* for its rules."""
        return Facts(guest.vmid, config, self._nics(guest))

    def unknown(self, guest: Guest) -> list[str]:
        """Return the ports of *guest* whose lines are broken, and were when they were first read."""
        return [nic.port for nic in self._nics(guest).values() if nic.is_broken]

    def take(self, guest: Guest) -> None:
        """Remember the NICs of *guest* that are known now."""
        self._good[guest.vmid] = {index: nic for index, nic in self._nics(guest).items() if not nic.is_broken}

    def forget(self, vmid: int) -> None:
        """Forget a guest that nothing defines any more."""
        self._good.pop(vmid, None)

    def _nics(self, guest: Guest) -> dict[int, Nic]:
        found = {
            index: Nic(guest.device(index), nic.firewall, nic.mac or "", nic.addresses)
            for index, nic in guest.nics.items()
            if nic.bridge
        }
        known = self._good.get(guest.vmid, {})
        for index in sorted(guest.lines.keys() - guest.nics.keys()):
            if len(guest.device(index)) < IFNAMSIZ:  # no device has a longer name: net9999
                found[index] = known.get(index) or Nic(guest.device(index), firewall=True, mac="", is_broken=True)
        return found
