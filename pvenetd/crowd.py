"""The chains of many guests in few transactions; one that the kernel refuses keeps nobody else's from being loaded."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from pvenetd.applier import Applier
from pvenetd.errors import KernelError, PvenetError, VerifyError
from pvenetd.plan import Op, plan, steps
from pvenetd.resource import Key
from pvenetd.state import Chains, State, Sysctl

log = logging.getLogger("pvenetd.engine")

AS_BEFORE = "it stays as it is"


class Crowd(Applier):
    """The applier, for owners that come in hundreds and want chains."""

    async def desire_chains(self, wanted: Mapping[str, State], also: Collection[Key] = ()) -> dict[str, str]:
        """Bring the machine to the chains, and what they stand on, that owners want now; return owner → error.

        What else they want is as before, and not looked at.  Who fails wants what he wanted before.  *also* are
        chains that go where nobody wants them, beside those that are called as their owner.
        """
        return await self.work(lambda: self._converge_all(wanted, also))

    # What follows runs in the applier thread.

    def _converge_all(self, wanted: Mapping[str, State], also: Collection[Key]) -> dict[str, str]:
        target = {
            key: one for state in wanted.values() for key, one in state.items() if isinstance(one, Chains | Sysctl)
        }
        keys = {*target, *(("chains", owner) for owner in wanted), *also}
        errors: dict[str, PvenetError] = {}
        try:
            for step in steps(plan(target, self._machine.observe(keys, only=True), wanted.keys())):
                self._as_many_as_go(step, errors)
            for op in plan(target, self._machine.observe(keys, only=True), wanted.keys()):
                errors.setdefault(op.resource.owner, VerifyError((op,)))
        except PvenetError as error:  # what all of them stand on
            errors = dict.fromkeys(wanted, error)
        for owner, state in wanted.items():
            if owner in errors:
                self._stays(owner, errors[owner])
            else:
                self._keep(owner, state)
        return {owner: str(error) for owner, error in errors.items()}

    def _as_many_as_go(self, step: Sequence[Op], errors: dict[str, PvenetError]) -> None:
        """Run a step; a half of it at a time where it is refused, down to the ones whose fault it is.

        Raises `KernelError` for what is no guest's chains.
        """
        try:
            self._steps(step[0].resource.owner, step)
        except KernelError as error:
            if not step[0].is_guests_chains:
                raise
            if len(step) == 1:
                errors[step[0].resource.owner] = error
                return
            middle = len(step) // 2
            self._as_many_as_go(step[:middle], errors)
            self._as_many_as_go(step[middle:], errors)

    def _stays(self, owner: str, error: PvenetError) -> None:
        self.failed[owner] = f"{error}; {AS_BEFORE}"
        self.told("failed", {"owner": owner, "error": str(error), "outcome": AS_BEFORE})
