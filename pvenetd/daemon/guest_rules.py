"""The rules of many guests, loaded at once and by themselves: nobody's ports are looked at."""

from __future__ import annotations

from collections.abc import Iterable

from pvenetd.daemon.firewall import Firewall, Rules, is_rules
from pvenetd.daemon.slices import in_slices
from pvenetd.daemon.store import Store
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Problem, PvenetError
from pvenetd.guests.guest import Guest
from pvenetd.state import State


class GuestRules:
    """What guests are filtered by."""

    def __init__(self, store: Store, engine: Engine, firewall: Firewall) -> None:
        self._store = store
        self._engine = engine
        self._firewall = firewall

    async def load(self, vmids: Iterable[int]) -> dict[str, str]:
        """Bring the chains of guests to what the files say; return owner → error, of broken files too.

        Broken ones count as they were.  A guest that nothing defines any more loses its chains.
        """
        found: dict[str, Rules] = {}
        wanted: dict[str, State] = {}
        failed: dict[str, str] = {}
        async for vmid in in_slices(vmids):
            owner = f"vm:{vmid}"
            had = self._engine.wants(owner)
            try:
                guest = self._store.guest(vmid)
            except PvenetError as error:
                failed[owner] = str(error)
                continue
            found[owner] = rules = await self._firewall.usable(guest, had) if guest else Rules({})
            after = {**rules.state, **{key: one for key, one in had.items() if not is_rules(one)}}
            if after != had or not after:
                wanted[owner] = after
            if wrong := [*rules.problems, *_errors(guest)]:
                failed[owner] = str(ConfigError(dict.fromkeys(wrong)))
        refused = await self._engine.desire_chains(wanted) if wanted else {}
        for owner, rules in found.items():
            if rules.good and owner not in refused:
                self._firewall.loaded(int(owner[3:]), rules.good)
        return {**failed, **refused}


def _errors(guest: Guest | None) -> list[Problem]:
    return [problem for problem in guest.problems if problem.severity == "error"] if guest else []
