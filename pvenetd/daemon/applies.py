"""Plan, apply, confirm, roll back: how the configuration on disk becomes the host's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from pvenetd.compile import Compiled, compile_interfaces
from pvenetd.daemon.store import ACTIVE, STAGED, Store
from pvenetd.engine import Engine
from pvenetd.errors import Conflict
from pvenetd.firewall.nft_base import Design
from pvenetd.interfaces.config import Config, single
from pvenetd.interfaces.syntax import parse
from pvenetd.journal import Journal, content, versions
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.plan import Op, waiting
from pvenetd.state import INTERFACES


class Applies:
    """The configuration of the host's own interfaces, and what is applied of it."""

    def __init__(self, store: Store, engine: Engine, journal: Journal, design: Design) -> None:
        self._store = store
        self._engine = engine
        self._journal = journal
        self._design = design
        self.applied: Callable[[], Awaitable[object]] = self._nothing
        """Called when the host's addresses may have changed."""

    async def compiled(
        self, config: Config | None = None, *, staged: bool = True, nics: Collection[str] | None = None
    ) -> Compiled:
        """Return *config*, or the staged configuration, or the active one, compiled.

        Raises `ConfigError` for an unreadable file.
        """
        config = config or self._store.interfaces(staged=staged)
        return self.compile(config, await self._nics() if nics is None else nics)

    def compile(self, config: Config, nics: Collection[str]) -> Compiled:
        """Return *config* compiled."""
        return compile_interfaces(config, nics, self._design)

    async def plan(self) -> tuple[Op, ...]:
        """Return what `apply` would do.  Raises `ConfigError`."""
        wanted = (await self.compiled()).checked()
        return await self._engine.plan(INTERFACES, wanted)

    async def waiting(self) -> list[str]:
        """Return the links that are configured, and cannot be before their device turns up."""
        wanted = (await self.compiled(staged=False)).state
        keys = waiting(wanted, await self._engine.observe())
        return [key[1] for key in keys if key[0] == "link"]

    async def apply(self, confirm: float | None = None) -> tuple[Op, ...]:
        """Make the staged configuration active and bring the kernel to it.

        With *confirm*, seconds within which `confirm` has to come.  Raises `ConfigError`,
        `KernelError`, `VerifyError`, `Conflict`.
        """
        if self._engine.pending:
            raise Conflict("an apply waits to be confirmed: pvenetctl confirm, or pvenetctl rollback")
        wanted = (await self.compiled()).checked()
        await self._keep_guests(await self._engine.plan(INTERFACES, wanted))
        try:
            ops = await self._engine.apply(wanted, self._versions(), confirm)
        finally:
            await self.applied()
        return ops

    async def confirm(self) -> None:
        """Keep what was applied.  Raises `Conflict` where nothing waits."""
        await self._engine.confirm()

    async def roll_back(self) -> tuple[Op, ...]:
        """Undo what waits to be confirmed; where nothing does, return to the configuration before the last apply."""
        if self._engine.pending or self._engine.stuck():
            ops = self._engine.pending.ops if self._engine.pending else ()
            await self._engine.roll_back()
            await self.applied()
            return ops
        record = self._journal.previous()
        before = content(record["files"][ACTIVE][0]) if record else None
        if before is None:
            raise Conflict("there is no configuration before this one")
        compiled = self.compile(single(parse(before, f"/{ACTIVE}")), await self._nics())
        now = self._store.files.read(ACTIVE)
        try:
            ops = await self._engine.apply(compiled.checked(), {ACTIVE: versions(now, before)})
        finally:
            await self.applied()
        return ops

    async def _keep_guests(self, ops: tuple[Op, ...]) -> None:
        """Raise `Conflict` where a bridge would go for good that guests are plugged into."""
        made = {op.resource.key for op in ops if op.verb == "+"}
        gone = {op.resource.key for op in ops if op.verb == "-"} - made
        live = await self._engine.observe()
        cut = [link for link in live.values() if isinstance(link, Tap) and link.owner and ("link", link.master) in gone]
        if cut:
            where = ", ".join(f"{tap.name} is plugged into {tap.master}" for tap in cut)
            raise Conflict(f"{where}, which would be deleted: unplug it, or give the guest another bridge")

    async def adopt(self) -> None:
        """Take the active configuration for what an earlier run of the daemon applied, where it did."""
        good = self._good()
        if good is not None and good == self._store.files.read(ACTIVE):
            await self._engine.adopt(INTERFACES, (await self.compiled(staged=False)).state)

    def _versions(self) -> dict[str, list[str | None]]:
        """Return the files an apply changes, each before and after.

        An edit made in place counts as staged: when it is rolled back, the last good text is active
        again and the edit waits in the staged file.
        """
        active, staged, good = self._store.files.read(ACTIVE), self._store.files.read(STAGED), self._good()
        if staged is not None:
            return {ACTIVE: versions(active, staged), STAGED: versions(staged, None)}
        if good is not None and good != active:
            return {ACTIVE: versions(good, active), STAGED: versions(active, None)}
        return {ACTIVE: versions(active, active)}

    def _good(self) -> bytes | None:
        """Return the text of the last committed apply, None where there was none."""
        record = self._journal.previous()
        return content(record["files"][ACTIVE][1]) if record else None

    async def _nothing(self) -> None:
        pass

    async def _nics(self) -> set[str]:
        """Return the links that are there whatever the configuration says."""
        live = await self._engine.observe()
        return {link.name for link in live.values() if isinstance(link, Link) and not (link.owner and link.deletable)}


def shown(op: Op) -> dict[str, str]:
    """Return an operation as the API shows it."""
    return {"op": str(op), "origin": op.resource.origin}
