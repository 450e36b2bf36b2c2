"""Firewall: check, compile, apply, status."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from pvenetd.api.network import Problems
from pvenetd.api.route import OfNode, Routes, Vmid
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.interfaces import ProblemRecord, problem_record
from pvenetd.daemon.limits import limits
from pvenetd.daemon.overview import FilteringRecord, RemarkRecord
from pvenetd.errors import NotFound, Problem
from pvenetd.firewall.nft_base import Design

routes = Routes()

_TOOLS = {
    "ipset": "ipset restore -exist",
    "iptables": "iptables-restore --noflush",
    "ip6tables": "ip6tables-restore --noflush",
    "nft": "nft -f -",
}
"""What takes each text of the iptables backend, in the order they are run."""


@routes.get("/nodes/{node}/pvenetd/firewall/check")
async def check(daemon: Daemon, params: OfNode) -> Problems:
    """Return all that is wrong with the firewall files and the guests' NICs.

    A running daemon tells of lines that this kernel has no means for, too.
    """
    del params
    lacking = () if daemon.once else await daemon.abilities.problems()
    found = (*await daemon.firewall.problems(), *daemon.firewall.idle(), *_limits(daemon), *lacking)
    return {"problems": [problem_record(problem) for problem in found]}


def _limits(daemon: Daemon) -> Iterator[Problem]:
    """Yield what the files ask for and the backend cannot do."""
    return limits(daemon.store, daemon.settings, daemon.firewall.design)


class Compile(OfNode):
    """What to compile."""

    backend: Literal["iptables", "nftables"] | None = None
    """In whose languages; without it, those of the backend that is set."""
    vmid: Vmid | None = None
    """One guest alone."""


class Compiled(TypedDict):
    """A ruleset."""

    backend: str
    text: str
    """All of it, as ``nft -f`` takes it; for iptables to read, each tool's text under a heading."""
    ipset: NotRequired[str]
    iptables: NotRequired[str]
    ip6tables: NotRequired[str]
    nft: NotRequired[str]


@routes.get("/nodes/{node}/pvenetd/firewall/compile")
async def compiled(daemon: Daemon, params: Compile) -> Compiled:
    """Return the ruleset as text that the kernel's own tools accept; for iptables, beside it, each tool's by itself."""
    if params.vmid is not None and daemon.store.guest(params.vmid) is None:
        raise NotFound(f"no guest {params.vmid}")
    own = daemon.firewall.design
    designs: dict[str, Design] = {"iptables": "iptables", "nftables": "mark" if own == "iptables" else own}
    name = params.backend or ("iptables" if own == "iptables" else "nftables")
    guard = (await daemon.guard.of_design(designs[name])).values()
    texts = daemon.firewall.compiled(designs[name], params.vmid, guard)
    if name == "nftables":
        return {"backend": name, "text": texts["nft"]}
    whole = "".join(f"# {tool}\n\n{texts[part]}\n" for part, tool in _TOOLS.items())
    return {
        "backend": name,
        "text": whole,
        "ipset": texts["ipset"],
        "iptables": texts["iptables"],
        "ip6tables": texts["ip6tables"],
        "nft": texts["nft"],
    }


class Apply(OfNode):
    """How to apply."""

    confirm: Annotated[int, Field(ge=1, le=86400)] | None = None
    """Seconds within which it has to be confirmed, or what was loaded before is again."""
    cut: bool = False
    """Whether connections that stand are cut where the rules would not let them begin any more."""


class Loaded(FilteringRecord):
    """What is loaded now."""

    failed: dict[str, str]
    """The reason, by owner: ``firewall``, ``vm:100``, …"""
    cut: dict[str, int]
    """How many connections were cut, by the lines that refuse them."""
    problems: list[ProblemRecord]
    """What the files ask for and the backend cannot do."""


@routes.post("/nodes/{node}/pvenetd/firewall/apply")
async def apply(daemon: Daemon, params: Apply) -> Loaded:
    """Load the rules of the host and of every guest; whose file is broken keeps what was loaded.

    With `confirm`, ``confirm`` of the answer names what waits.
    """
    before = daemon.cut.total.copy()
    failed = await daemon.apply_rules(params.confirm, cut=params.cut)
    idle = [problem_record(problem) for problem in _limits(daemon)]
    return {**await daemon.filtering(), "failed": failed, "cut": dict(daemon.cut.total - before), "problems": idle}


class FirewallStatus(FilteringRecord):
    """What is loaded, and what is in its way."""

    problems: list[ProblemRecord]
    """What is wrong with files that are everybody's, and what the backend cannot do of what files ask."""
    neighbours: list[RemarkRecord]
    """What others have loaded."""


@routes.get("/nodes/{node}/pvenetd/firewall/status")
async def status(daemon: Daemon, params: OfNode) -> FirewallStatus:
    """Return what is loaded, what differs from the files, and what others have loaded that is in its way."""
    del params
    found = await daemon.filtering()
    others = await daemon.neighbours.told(await daemon.guests.records())
    broken = [problem_record(problem) for problem in (*daemon.firewall.broken(), *_limits(daemon))]
    return {**found, "problems": broken, "neighbours": [one for one in others if one["severity"] == "warning"]}
