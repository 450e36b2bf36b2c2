"""What this kernel lacks that rules may need."""

from __future__ import annotations

from pvenetd.daemon.overview import LackRecord
from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import Problem
from pvenetd.firewall.needs import Lack, abilities, lacks, names
from pvenetd.firewall.nft_base import Design


class Abilities:
    """Asks the kernel, and holds the firewall files against what it says."""

    def __init__(self, store: Store, engine: Engine, design: Design) -> None:
        self._store, self._engine, self._design = store, engine, design

    async def problems(self) -> tuple[Problem, ...]:
        """Return a warning for each line that asks for what the kernel lacks."""
        return tuple(problem for lack in await self._lacks() for problem in lack.lines)

    async def records(self) -> list[LackRecord]:
        """Return what it lacks, what that means, and whose rules ask for it."""
        return [
            {"ability": lack.ability, "needs": lack.modules, "means": lack.means, "rules": names(lack)}
            for lack in await self._lacks()
        ]

    async def _lacks(self) -> tuple[Lack, ...]:
        host = self._store.rules("host")
        asked = abilities(self._design, [] if host.broken else [host])
        lacking = await self._engine.lacking(asked)
        if not lacking:
            return ()
        configs = [self._store.rules(name) for name in sorted(self._store.rule_names())]
        return lacks([ability for ability in asked if ability in lacking], configs)
