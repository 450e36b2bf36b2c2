"""NICs with one MAC on one bridge: the bridge sends a frame to whoever has spoken last."""

from __future__ import annotations

from collections.abc import Iterable

from pvenetd.errors import Problem
from pvenetd.guests.guest import Guest


def doubles(guests: Iterable[Guest]) -> dict[int, tuple[Problem, ...]]:
    """Return, by VMID, a warning for each NIC whose MAC another NIC on its bridge has too."""
    having: dict[tuple[str, str], list[tuple[Guest, int]]] = {}
    for guest in guests:
        for index, nic in guest.nics.items():
            if nic.bridge and nic.mac:
                having.setdefault((nic.bridge, nic.mac), []).append((guest, index))
    found: dict[int, list[Problem]] = {}
    for (bridge, mac), nics in having.items():
        for guest, index in nics if len(nics) > 1 else ():
            others = ", ".join(f"guest {one.vmid} net{n}" for one, n in nics if (one, n) != (guest, index))
            message = f"{mac} on {bridge} is the MAC of {others}, too"
            found.setdefault(guest.vmid, []).append(
                Problem(
                    guest.path,
                    guest.lines.get(index, 0),
                    "duplicate-address",
                    message,
                    "warning",
                    "give one of them another",
                    f"net{index}",
                    "macaddr",
                )
            )
    return {vmid: tuple(problems) for vmid, problems in found.items()}
