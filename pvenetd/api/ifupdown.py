"""What ifup, ifdown, ifreload and ifquery ask for."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from pvenetd.api.route import OfNode, Routes
from pvenetd.daemon.applies import OpRecord, shown
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.hand import Outcome, Wish
from pvenetd.daemon.query import CheckedRecord, StanzaRecord, UpRecord

routes = Routes()


class Which(OfNode):
    """Which interfaces."""

    names: str = ""
    """Parted by blanks; ``eth0=home`` for the stanza of another name."""
    everything: bool = False
    """All of a class."""
    group: str = ""
    """The class: ``auto``, or what follows ``allow-``."""
    exclude: str = ""
    """Shell patterns, parted by blanks."""

    def wish(self, *, dry_run: bool = False) -> Wish:
        """Return it as the daemon's noun."""
        names, exclude = tuple(self.names.split()), tuple(self.exclude.split())
        return Wish(names, self.everything, self.group, exclude, dry_run)


class Todo(Which):
    """What is to be done with them."""

    dry_run: bool = False
    """Only tell what would be done."""


class Question(Which):
    """What is asked about them."""

    what: Literal["list", "config", "check", "running", "state"] = "config"


class Brought(TypedDict):
    """What was done, or would be, and what failed."""

    ops: list[OpRecord]
    failed: list[str]


def _told(outcome: Outcome) -> Brought:
    return {"ops": [shown(op) for op in outcome.ops], "failed": list(outcome.failed)}


@routes.post("/nodes/{node}/pvenetd/ifup")
async def ifup(daemon: Daemon, params: Todo) -> Brought:
    """Bring interfaces up with what they stand on; all ``auto`` ones as a reload does."""
    return _told(await daemon.hand.up(params.wish(dry_run=params.dry_run)))


@routes.post("/nodes/{node}/pvenetd/ifdown")
async def ifdown(daemon: Daemon, params: Todo) -> Brought:
    """Take interfaces down with what stands on them."""
    return _told(await daemon.hand.down(params.wish(dry_run=params.dry_run)))


@routes.post("/nodes/{node}/pvenetd/ifreload")
async def ifreload(daemon: Daemon, params: Todo) -> Brought:
    """Apply the active configuration, never the staged one; every ``auto`` interface is up after it."""
    return _told(await daemon.hand.reload(params.wish(dry_run=params.dry_run)))


@routes.get("/nodes/{node}/pvenetd/ifquery")
async def ifquery(
    daemon: Daemon, params: Question
) -> list[str] | list[StanzaRecord] | list[CheckedRecord] | list[UpRecord]:
    """Return the active configuration by interface, beside what runs, or checked against it."""
    wish = params.wish()
    match params.what:
        case "list":
            return daemon.query.names(wish)
        case "check":
            return await daemon.query.checked(wish)
        case "running":
            return await daemon.query.running(wish)
        case "state":
            return await daemon.query.up(wish)
    return daemon.query.configured(wish)
