"""The machine's iptables and ipset: what they have of ours, and one commit a family for each operation.

Rules are read and written by the programs themselves, in either of their variants (legacy, nf_tables): they keep the
lock that others keep, too.  Only what carries our comments is read or written; what is below IP is nftables' affair.

Sources: iptables-save(8), iptables-restore(8), ipset(8).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from pvenetd.drivers.programs import lacking, tool
from pvenetd.errors import KernelError
from pvenetd.firewall.backend import joined, split
from pvenetd.firewall.iptables_commit import Commit, Seen, commit, read
from pvenetd.firewall.iptables_parts import Part
from pvenetd.firewall.iptables_tally import tallies
from pvenetd.firewall.tally import Tally
from pvenetd.plan import Op
from pvenetd.resource import Key
from pvenetd.state import Chains

log = logging.getLogger("pvenetd")

_PROGRAMS = ("iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore", "ipset")
_PATIENCE = 60.0
"""Seconds a program may take: iptables itself waits for who has the lock."""
_WAIT = ["-w", "30"]
_TRIES, _PAUSE = 20, 0.01
"""How often, and with how many seconds between, a set is to be destroyed."""
_SAVES = (("iptables-save", "-c"), ("ip6tables-save", "-c"), ("ipset", "save"))


class Below(Protocol):
    """What nftables has of ours."""

    def observe(self, names: Collection[str] | None = None) -> dict[Key, Chains]:
        """Return the pieces the kernel has; with *names*, only those."""

    def disturbed(self) -> bool:
        """Return whether anybody but us may have changed our tables since this was last asked."""

    def apply(self, *ops: Op) -> None:
        """Do operations in one transaction."""

    def generation(self) -> int:
        """Return the kernel's number of the last change of nftables, anybody's."""

    def tallies(self, pieces: Collection[str]) -> tuple[Tally, ...]:
        """Return what the rules of *pieces* have counted."""

    def lacking(self, abilities: Collection[str]) -> frozenset[str]:
        """Return those of *abilities* that this kernel does not have."""


def obstacle() -> str:
    """Return what keeps iptables from being used here, nothing if nothing does."""
    if missing := lacking(_PROGRAMS):
        return f"the iptables backend needs {', '.join(missing)} (apt install iptables ipset)"
    return ""


class Iptables:
    """What the kernel has of our chains and sets, and changes to them; for one thread, in its network namespace."""

    def __init__(self, below: Below, note: Callable[[], None] = lambda: None) -> None:
        self._below = below
        self._note = note
        """Called before the first rule is loaded."""
        self._obstacle = obstacle()
        self._counts_changes = not self._obstacle and "legacy" not in tool(["iptables", "--version"], seconds=_PATIENCE)
        """Whether nftables' generation tells that somebody has changed iptables' rules."""
        self._others = False
        """Whether somebody else has changed something since `disturbed` was last asked."""
        self._joined: dict[str, tuple[Part, Chains | None, Chains]] = {}
        """The pieces that were read last, of both."""
        self._as_of = -1
        """The generation of nftables that `_seen` was true at."""
        self._seen = read("", "", "")
        self._read()

    def observe(self, names: Collection[str] | None = None) -> dict[Key, Chains]:
        """Return the pieces the kernel has, each with the text that restores it; with *names*, only those."""
        self._refresh(look=names is None)
        below = self._below.observe(names)
        parts = {name: part for name, part in self._seen.parts.items() if names is None or name in names}
        return below | {("chains", name): self._whole(name, part, below) for name, part in parts.items()}

    def _whole(self, name: str, part: Part, below: Mapping[Key, Chains]) -> Chains:
        """Return a piece of both; as it was before where neither has been read anew."""
        other = below.get(("chains", name))
        was = self._joined.get(name)
        if was is None or was[0] is not part or was[1] is not other:
            was = self._joined[name] = (part, other, joined(part, other))
        return was[2]

    def disturbed(self) -> bool:
        """Return whether anybody but us may have changed what is ours since this was last asked."""
        self._refresh()
        found, self._others = self._others, False
        return self._below.disturbed() or found

    def apply(self, *ops: Op) -> None:
        """Do operations; where one of the programs refuses, or nftables does, the others' part is taken back.

        A guest's chains are there before nftables lets its port through, and go after that.  Raises `KernelError`.
        """
        known = self._below.observe([op.resource.key[1] for op in ops])
        before = self._seen.parts
        pieces = [(op, *split(_piece(op))) for op in ops]
        wanted = [part for op, part, _ in pieces if part and op.verb != "-"]
        gone = [op.resource.key[1] for op in ops if op.verb == "-" and op.resource.key[1] in before]
        self._bring_below(op for op in ops if op.verb == "-" and op.resource.key in known)
        if wanted or gone:
            self._commit(wanted, gone, ops)
        try:
            self._bring_below(
                Op(op.verb, below) if below else Op("-", known[op.resource.key])
                for op, _, below in pieces
                if op.verb != "-" and (below or op.resource.key in known)
            )
        except KernelError:
            self._take_back(before, [part.name for part in wanted])
            raise

    def _bring_below(self, ops: Iterable[Op]) -> None:
        if todo := tuple(ops):
            before = self._below.generation()
            self._below.apply(*todo)
            if before == self._as_of and self._below.generation() == before + 1:  # nobody else's change
                self._as_of = before + 1

    def lacking(self, abilities: Collection[str]) -> frozenset[str]:
        """Return those of *abilities* that this kernel does not have, of what is left to nftables."""
        return self._below.lacking(abilities)

    def tallies(self, pieces: Collection[str]) -> tuple[Tally, ...]:
        """Return what the rules of *pieces* that are loaded have counted."""
        self._refresh()
        parts = self._seen.parts
        whose = {chain.name: name for name in pieces if name in parts for chain in parts[name].chains}
        found = [
            one
            for table, command in zip(("ip", "ip6"), _SAVES, strict=False)
            for one in (tallies(table, tool(command, seconds=_PATIENCE), whose) if whose else ())
        ]
        return (*found, *self._below.tallies(pieces))

    def _commit(self, wanted: Sequence[Part], gone: Sequence[str], ops: Iterable[Op]) -> None:
        before = self._seen.parts
        try:
            self._note()
            _run(commit(self._fresh(), wanted, gone))
            self._read()
        except OSError as error:
            self._take_back(before, [*(part.name for part in wanted), *gone])
            raise KernelError(", ".join(map(str, ops)), error.errno or 0, error.strerror or str(error)) from error

    def _take_back(self, before: Mapping[str, Part], names: Sequence[str]) -> None:
        """Bring the parts called *names* back to what they were *before*, as far as it goes."""
        if self._obstacle:
            return
        try:
            self._read()
            back = [before[name] for name in names if name in before]
            _run(commit(self._seen, back, [name for name in names if name not in before]))
            self._read()
        except OSError as error:
            log.warning("not all of iptables could be taken back: %s", error.strerror)

    def _fresh(self) -> Seen:
        """Return what there is now: a commit must name what goes."""
        if self._obstacle:
            raise OSError(0, self._obstacle)
        self._refresh(look=True)
        return self._seen

    def _refresh(self, *, look: bool = False) -> None:
        """Read everything anew where somebody else may have changed it; with *look* where nothing would tell."""
        if self._below.generation() != self._as_of or (look and not self._counts_changes):
            before = self._seen.parts
            self._read()
            self._others |= before != self._seen.parts

    def _read(self) -> None:
        self._as_of = self._below.generation()
        if not self._obstacle:
            self._seen = _look()


def clear() -> None:
    """Take all that is ours away; others' rules stay.  Raises `KernelError`."""
    if obstacle():
        return
    try:
        seen = _look()
        _run(commit(seen, (), seen.parts))
    except OSError as error:
        raise KernelError("taking iptables' rules away", error.errno or 0, error.strerror or str(error)) from error


def _look() -> Seen:
    v4, v6, sets = (tool(command, seconds=_PATIENCE) for command in _SAVES)
    return read(v4, v6, sets)


def _run(work: Commit) -> None:
    """Run what there is of *work*: sets first, as rules ask them; then both families, once both are tested."""
    families = (("iptables-restore", work.v4), ("ip6tables-restore", work.v6))
    if work.sets:
        tool(["ipset", "restore", "-exist"], work.sets, seconds=_PATIENCE)
    for test in (["--test"], []):
        for program, text in families:
            if text:
                tool([program, "--noflush", *_WAIT, *test], text, seconds=_PATIENCE)
    _destroy(work.left)


def _destroy(commands: str) -> None:
    """Take sets away that nothing asks: the kernel lets go of them a moment after the rules that asked them.

    One that it keeps for longer is among those of the next commit.
    """
    for line in commands.splitlines():
        for _ in range(_TRIES):
            try:
                tool(["ipset", *line.split()], seconds=_PATIENCE)
                break
            except OSError:
                time.sleep(_PAUSE)


def _piece(op: Op) -> Chains:
    if not isinstance(op.resource, Chains):
        raise TypeError(f"{op}: no chains")
    return op.resource
