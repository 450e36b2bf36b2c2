"""The machine's nftables: what it has of our tables, and one transaction for each operation.

libnftables runs in this process: no program is started.  Only the tables ``inet``,
``bridge`` and ``netdev pvenetd`` are read or written.

Sources: libnftables(3), nft(8).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
import weakref
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pvenetd.drivers.bound import bound
from pvenetd.drivers.nfnetlink import Batches, Changes, Counted
from pvenetd.errors import KernelError
from pvenetd.firewall import listing, nft, nft_cut
from pvenetd.firewall.abilities import BRIDGE, CONNTRACK, asked, question, told, without
from pvenetd.firewall.counters import carried
from pvenetd.firewall.exchange import Exchange, exchange, held, sweep
from pvenetd.firewall.flow import Flow
from pvenetd.firewall.listing import Found
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.tally import Tally, tallies, together
from pvenetd.resource import Key
from pvenetd.state import Chains

if TYPE_CHECKING:
    from pvenetd.plan import Op

log = logging.getLogger("pvenetd")

_REFERRED = (nft.SETS, nft.GROUPS)
_NETLINK_NETFILTER = 12
_SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTABLES = 270, 1, 7
_NFT_MSG_GETGEN = 10 << 8 | 16
"""NFNL_SUBSYS_NFTABLES, and its message."""
_GENERATION_AT = 24
"""Bytes before the answer's first value: nlmsghdr, nfgenmsg, and NFTA_GEN_ID's own header."""

_CALLS_IPTABLES = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
"""There once br_netfilter is loaded; of the network namespace of who reads it."""

_ERRNO = {os.strerror(number): number for number in errno.errorcode}
"""libnftables tells the kernel's error in words only."""


class Library:
    """libnftables in the network namespace of the thread that makes it; used by one thread at a time."""

    def __init__(self) -> None:
        import nftables  # Debian's python3-nftables: not on PyPI

        self._nft = nftables.Nftables()

    def run(self, commands: str, *, counters: bool = False) -> str:
        """Run *commands* as one transaction and return what it prints, *counters* too; raises OSError."""
        self._nft.set_stateless_output(not counters)
        status, output, error = self._nft.cmd(commands)
        if not status:
            return str(output)
        lines = [line for line in error.splitlines() if "Error: " in line] or error.splitlines() or ["refused"]
        words = lines[0].rpartition("Error: ")[2]
        reason = words.rpartition(": ")[2].partition(";")[0]
        raise OSError(_ERRNO.get(reason, 0), words)

    def listing(self) -> str:
        """Return everybody's tables, with the numbers of their rules.  Raises OSError."""
        self._nft.set_handle_output(True)
        try:
            return self.run("list ruleset")
        finally:
            self._nft.set_handle_output(False)


def probe() -> Design:
    """Return how guests' chains learn of connections: ``ct`` where bridge conntrack works, else ``mark``.

    Where bridged packets go through the inet hooks already (Docker and Kubernetes want that, and so
    did we before a restart), bridge conntrack would track them a second time: ``mark`` it is.

    A table is made and deleted in one transaction, so nothing is ever seen of it; the kernel loads
    the modules that it asks for.
    """
    if _CALLS_IPTABLES.exists() and _CALLS_IPTABLES.read_text().strip() != "0":
        return "mark"
    return "ct" if _takes(question(CONNTRACK)) else "mark"


def tells_bridge() -> bool:
    """Return whether chains can ask which bridge a frame is in (the kernel's nft_meta_bridge)."""
    return _takes(question(BRIDGE))


def _takes(commands: str) -> bool:
    try:
        Library().run(commands)
    except OSError:
        return False
    return True


def obstacle(design: Design) -> str:
    """Return what keeps guests from being filtered in this namespace, nothing if nothing does."""
    if design != "ct" and not _CALLS_IPTABLES.exists():
        why = "iptables sees no bridged packets" if design == "iptables" else "this kernel has no bridge conntrack"
        return f"{why}, and br_netfilter is not loaded (modprobe br_netfilter)"
    return ""


def events() -> socket.socket:
    """Return a socket that is readable when anybody has changed this namespace's nftables (NFNLGRP_NFTABLES)."""
    listening = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    listening.bind((0, 0))
    listening.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
    listening.setblocking(False)
    return listening


def drain(listening: socket.socket) -> None:
    """Read what has come in; that something did is all it says, so what was too much for the buffer is no loss."""
    while True:
        try:
            listening.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise


class Generation:
    """The number that the kernel counts up with every change of this namespace's nftables, whoever makes it.

    Its socket is kept: closing one waits for the kernel to forget what was deleted, half a millisecond.
    Source: linux/netfilter/nf_tables.h, NFT_MSG_GETGEN.
    """

    def __init__(self) -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as asking:
            asking.bind((0, 0))
            self._asking = asking.detach()
        weakref.finalize(self, os.close, self._asking)

    def now(self) -> int:
        """Return the number.  Raises OSError."""
        os.write(self._asking, struct.pack("=IHHIIBBH", 20, _NFT_MSG_GETGEN, 0x1, 0, 0, 0, 0, 0))
        return int.from_bytes(os.read(self._asking, 4096)[_GENERATION_AT : _GENERATION_AT + 4], "big")


_FEW = 8
"""Chains above which listing the whole tables takes no longer: for each one, nft's library asks for all chains."""
_WHOLE = [f"table {table} pvenetd" for table in nft.TABLES]


class Nftables:
    """What the kernel has of our tables, and changes to it; for one thread, in its network namespace."""

    def __init__(self) -> None:
        self._library = Library()
        self._generation = Generation()
        self._batches = Batches()
        self._changes = Changes()
        self._counted = Counted()
        self._found: dict[str, Found] = {}
        """What the kernel has: a replacement has to name what goes."""
        self._as_of = -1
        """The generation `_found` was true at."""
        self._left: dict[str, Found] = {}
        """What was left of pieces because others refer to it."""
        self._abilities: dict[str, bool] = {}
        """What was asked of the kernel, and whether it has it."""
        self._told: frozenset[str] = frozenset()
        """What it lacks that was told of."""
        self._devices: dict[str, int] = {}
        """The devices that chains are bound to, by their ifindex."""
        self._others = False
        """Whether somebody else has changed nftables since `disturbed` was last asked."""
        self._read()

    def observe(self, names: Collection[str] | None = None) -> dict[Key, Chains]:
        """Return the pieces the kernel has, each with the text that restores it; with *names*, only those.

        A transaction is taken whole or not at all, so as long as the generation is the one that ours
        made, the kernel has what was sent; else the tables are listed, unless all that was changed is others'.
        """
        self._refresh()
        asked = self._found if names is None else self._found.keys() & names
        return {("chains", name): self._found[name].resource(name) for name in asked if not self._only_held(name)}

    def _only_held(self, name: str) -> bool:
        """Return whether all there is of a piece is there for others' sake."""
        there = self._found[name]
        return name in _REFERRED and not there.digest and there.is_held(held(name, self._found))

    def disturbed(self) -> bool:
        """Return whether anybody but us may have changed our tables since this was last asked."""
        self._refresh()
        found, self._others = self._others, False
        return found

    def apply(self, *ops: Op) -> None:
        """Do operations in one transaction: the kernel takes all of it or nothing.

        Rules that stay as they are go on counting.  When the kernel refuses, somebody may have changed our tables
        since they were read: they are read again, and only a second refusal counts, which nft's library has words
        for.
        """
        changes = [self._exchange(op) for op in ops]
        before = self._generation.now()
        try:
            messages = _messages(changes)
            if messages is not None:
                self._batches.send(messages)
            else:
                self._library.run("".join(change.script for change in changes))
        except OSError:
            self._read()
            before = self._as_of
            changes = [self._exchange(op) for op in ops]
            try:
                self._library.run("".join(change.script for change in changes))
            except OSError as error:
                named = ", ".join(map(str, ops))
                raise KernelError(named, error.errno or 0, error.strerror or str(error)) from error
        self._made_from(before)
        for change in changes:
            self._note(change)
        self._sweep()

    def _made_from(self, before: int) -> None:
        """Note that the generation after *before* is ours, if it is."""
        if before == self._as_of and self._generation.now() == before + 1:
            self._as_of = before + 1

    def generation(self) -> int:
        """Return the kernel's number of the last change of nftables, anybody's."""
        return self._generation.now()

    def refuse(self, flows: Collection[Flow], *, at_host: bool) -> None:
        """Have answers of connections that are cut refused; without chains of ours there is nobody to do so."""
        before = self._generation.now()
        messages = nft_cut.refused(flows, at_host=at_host)
        try:
            if messages:
                self._batches.send(messages)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        self._made_from(before)

    def tallies(self, pieces: Collection[str]) -> tuple[Tally, ...]:
        """Return what the rules of *pieces* that are loaded have counted: of few of them, their chains are listed."""
        self._refresh()
        chains = {chain for name in pieces if name in self._found for chain in self._found[name].chains}
        few = len(chains) <= _FEW
        what = [f"chain {table} pvenetd {name}" for table, name in sorted(chains)] if few else _WHOLE
        listed = "".join(self._run(f"list {one}", counters=True) for one in what)
        return together(one for one in tallies(listed) if (one.table, one.chain) in chains)

    def lacking(self, abilities: Collection[str]) -> frozenset[str]:
        """Return those of *abilities* (`firewall.abilities`) that this kernel does not have; each is asked for once."""
        return frozenset(filter(self._lacks, abilities))

    def _exchange(self, op: Op) -> Exchange:
        piece = self._possible(_piece(op)) if op.verb != "-" else _piece(op)
        old = self._found.get(piece.name)
        change = exchange(piece, self._found, keep=op.verb != "-")
        if old and change.new and old.chains:
            there = {key: self._counted.of(*key) for key in old.chains if key in change.new.chains}
            return replace(change, counted=carried(old, change.new, there))
        return change

    def _possible(self, piece: Chains) -> Chains:
        """Return *piece* as this kernel takes it; what it lacks is told once."""
        missing = self.lacking([*asked(piece.text)])
        if not missing:
            return piece
        for ability in sorted(missing - self._told):
            log.warning("%s: %s", piece.name, told(piece.text, ability))
        self._told |= missing
        return piece.model_copy(update={"text": without(piece.text, missing), "wire": None})

    def _lacks(self, ability: str) -> bool:
        if ability not in self._abilities:
            before = self._generation.now()
            self._abilities[ability] = _takes(question(ability))
            self._made_from(before)
        return not self._abilities[ability]

    def _note(self, change: Exchange) -> None:
        name = change.piece.name
        self._found.pop(name, None)
        if not change.new and name == "base":
            self._found.clear()
            self._left.clear()
        self._found |= change.after
        if name in (nft.SENT, "base"):
            self._devices = bound(self._found)
        if change.left.chains or change.left.sets:
            self._left[name] = change.left
        else:
            self._left.pop(name, None)

    def _sweep(self) -> None:
        """Delete the sets and groups that were left for others' sake, once nobody refers to them."""
        for name, left in list(self._left.items()):
            there = self._found.get(name)
            if there is None:
                continue
            used = held(name, self._found)
            free = Found(
                {key: block for key, block in left.chains.items() if key[1] not in used},
                {key: block for key, block in left.sets.items() if key[1].rpartition(" ")[2] not in used},
            )
            if not (free.chains or free.sets):
                continue
            before = self._generation.now()
            with suppress(OSError):  # What somebody else deleted first need not be: it is listed anew.
                self._library.run(sweep(name, there, free))
                self._made_from(before)
                there.drop(free)
                left.drop(free)

    def _refresh(self) -> None:
        """Read our tables anew where somebody else may have changed them; of other tables nothing is read."""
        now = self._generation.now()
        if self._devices != bound(self._found):
            self._read()
        if now == self._as_of:
            return
        if self._changes.since(self._as_of, "pvenetd") == now:
            self._as_of = now
        else:
            self._read()

    def _read(self) -> None:
        self._others = True
        self._as_of = self._generation.now()
        self._found = listing.pieces(
            "".join(self._run(f"list table {table} pvenetd") for table in nft.TABLES), listed=True
        )
        self._devices = bound(self._found)

    def _run(self, command: str, *, counters: bool = False) -> str:
        """Return what a command prints, nothing where what it is about is not there.

        One command a call: of several listings in one, nft 1.0.6 finds the first only.
        """
        try:
            return self._library.run(command, counters=counters)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return ""
            raise KernelError(command, error.errno or 0, error.strerror or str(error)) from error


def _messages(changes: Iterable[Exchange]) -> bytes | None:
    """Return what is sent for *changes* past nft's library, None where it has to say one of them."""
    found = []
    for change in changes:
        if (messages := change.messages) is None:
            return None
        found.append(messages)
    return b"".join(found)


def _piece(op: Op) -> Chains:
    if not isinstance(op.resource, Chains):
        raise TypeError(f"{op}: no nftables resource")
    return op.resource
