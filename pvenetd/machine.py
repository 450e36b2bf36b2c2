"""The seam to the machine: what the engine asks of it, and has it do."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from pvenetd.firewall.flow import Flow
from pvenetd.firewall.tally import Tally
from pvenetd.forwarding import Heard
from pvenetd.plan import Op
from pvenetd.resource import Key
from pvenetd.state import State


class Machine(Protocol):
    """The kernel, or a fake of it."""

    def observe(self, keys: Collection[Key] = (), *, only: bool = False, anew: Collection[Key] = ()) -> State:
        """Return what there is, the sysctls among *keys* too; with *only*, nothing but *keys*.

        ``("links", "")`` among them stands for all links but guests' own.  *anew* are read anew even where no
        event told of a change.
        """

    def owned(self, owner: str) -> list[Key]:
        """Return the links marked as *owner*'s, and what a guest's port may have beside."""

    def changed(self) -> set[Key]:
        """Return the keys of links, addresses and routes that came, went or changed since this was last asked."""

    def disturbed(self) -> bool:
        """Return whether anybody but us has changed nftables since this was last asked."""

    def counters(self, names: Collection[str]) -> dict[str, dict[str, int]]:
        """Return what links have counted, those of *names* that are there: ``rx_bytes`` and its like."""

    def forwarding(self) -> tuple[Heard, ...]:
        """Return the forwarding tables of bridges and VXLANs."""

    def tallies(self, pieces: Collection[str]) -> tuple[Tally, ...]:
        """Return what the rules of *pieces* that are loaded have counted."""

    def lacking(self, abilities: Collection[str]) -> frozenset[str]:
        """Return those of *abilities* (`firewall.abilities`) that it does not have."""

    def cut(self, flows: Collection[Flow], *, at_host: bool) -> int:
        """Forget connections, and have answers refused, *at_host* or at guests' ports; return how many there were.

        Raises `KernelError`.
        """

    def apply(self, *ops: Op) -> None:
        """Carry out one operation, or several at once (`plan.steps`): all or none.  Raises `KernelError`."""
