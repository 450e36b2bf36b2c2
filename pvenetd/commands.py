"""What is run for a stanza: the user's commands, and the scripts of other packages (interfaces(5), ifup(8))."""

from __future__ import annotations

from typing import ClassVar

from pvenetd.resource import Key, Resource

OWNER = "usr/share/pvenetd/owner"
"""Where it is, pvenetd owns the host's interfaces, and runs scripts; the package pvenetd-ifupdown has it."""


class Hook(Resource):
    """The user's own commands of one stanza (interfaces(5)): run when it comes, undone when it goes.

    A stanza has two of them, and when the text of either changes both are undone and done again:
    what ``up`` has done may be undone by ``post-down``.
    """

    noun: ClassVar[str] = "hook"
    named: ClassVar[frozenset[str]] = frozenset({"iface", "phase", "stanza"})
    fixed: ClassVar[frozenset[str]] = frozenset({"run", "undo", "digest"})
    silent: ClassVar[frozenset[str]] = Resource.silent | {"owner", "environment", "always"}

    iface: str
    stanza: str = "inet"
    """Its family; ``inet.2`` for the second of one family."""
    phase: str
    """``pre-up`` (undone by post-down) or ``up`` (up and post-up; undone by pre-down and down)."""
    run: tuple[tuple[str, str], ...] = ()
    """(PHASE, shell command), in order."""
    undo: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    """Of all commands of the stanza."""
    always: bool = False
    """Run at every apply, as ifupdown2 does."""
    environment: tuple[tuple[str, str], ...] = ()
    """IFACE, LOGICAL, ADDRFAM, METHOD and IF_*, as ifupdown sets them."""

    @property
    def key(self) -> Key:
        return ("hook", self.iface, self.phase, self.stanza)

    def describe(self) -> str:
        """Return ``hook vmbr0 up``, with the stanza where it is not the usual one: ``hook vmbr0 inet6 up``."""
        return " ".join(["hook", self.iface, *([self.stanza] if self.stanza != "inet" else []), self.phase])

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset() if self.phase == "pre-up" else frozenset({("link", self.link)})

    @property
    def redone_with(self) -> Key:
        return ("link", self.link)

    @property
    def link(self) -> str:
        """Return the link whose coming up it follows; an alias has that of its interface."""
        return self.iface.partition(":")[0]

    def details(self) -> list[str]:
        """Return the commands that are run."""
        return [f"'{command}'" for _, command in self.run]

    @property
    def order(self) -> int:
        """Return 0 before links are touched, 9 after everything else."""
        return 0 if self.phase == "pre-up" else 9


class Scripts(Resource):
    """The scripts in ``if-*.d`` for one stanza: run when its link comes up, and when it goes down (ifup(8))."""

    noun: ClassVar[str] = "scripts"
    named: ClassVar[frozenset[str]] = frozenset({"iface", "phase", "stanza"})
    silent: ClassVar[frozenset[str]] = Resource.silent | {"owner", "environment"}

    iface: str
    """``--all`` with the stanza ``meta`` for the run around all interfaces."""
    stanza: str = "inet"
    phase: str
    """``pre-up`` (if-pre-up.d, if-post-down.d) or ``up`` (if-up.d and if-post-up.d, if-pre-down.d and if-down.d)."""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> Key:
        return ("scripts", self.iface, self.phase, self.stanza)

    def describe(self) -> str:
        """Return ``scripts vmbr0 up``, with the stanza where it is not the usual one."""
        return " ".join(["scripts", self.iface, *([self.stanza] if self.stanza != "inet" else []), self.phase])

    @property
    def needs(self) -> frozenset[Key]:
        link = self.redone_with
        return frozenset({link}) if link and self.phase != "pre-up" else frozenset()

    @property
    def redone_with(self) -> Key | None:
        return None if self.stanza == "meta" else ("link", self.iface.partition(":")[0])

    @property
    def order(self) -> int:
        """Return 0 before links are touched, 9 after everything else."""
        return 0 if self.phase == "pre-up" else 9


def substituted(command: str, name: str) -> str:
    """Return *command* with the interface's name in it."""
    return command.replace("${IFACE}", name).replace("$IFACE", name)
