"""Interfaces: list, check, show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import cast

from typing_extensions import TypedDict

from pvenetd.daemon.edits import Edits
from pvenetd.daemon.records import InterfaceRecord, records
from pvenetd.daemon.store import View
from pvenetd.errors import ConfigError, NotFound, Problem, Severity
from pvenetd.interfaces.config import Config


class Interfaces(Edits):
    """The host's own interfaces."""

    async def check(self, config: Config | None = None, *, nics: Collection[str] | None = None) -> tuple[Problem, ...]:
        """Return all that is wrong with *config*, or what would be applied; *nics* replace the kernel's links."""
        try:
            compiled = await self.compiled(config, nics=nics)
            return (*compiled.problems, *(self.nics.problems(compiled) if nics is None else ()))
        except ConfigError as error:
            return error.problems

    async def records(
        self, config: Config | None = None, *, nics: Collection[str] | None = None
    ) -> list[InterfaceRecord]:
        """Return every configured interface beside its live state, and NICs without one, as Proxmox VE does.

        With *nics*, nothing is asked of the kernel.
        """
        view = View(config) if config else self._store.view()
        compiled = await self.compiled(view.config, nics=nics)
        live = {} if nics is not None else await self._engine.observe()
        found = records(view.config, compiled.devices, live)
        for one in found if config is None else ():
            one["digest"] = view.digest
        return found

    async def show(
        self, name: str, config: Config | None = None, *, nics: Collection[str] | None = None
    ) -> InterfaceRecord:
        """Return one interface's record.  Raises `NotFound`."""
        for found in await self.records(config, nics=nics):
            if found["iface"] == name:
                return found
        raise NotFound(f"no interface {name}")


class ProblemRecord(TypedDict):
    """One thing that is wrong in a file, and where."""

    severity: Severity
    code: str
    """One of those in pvenetctl(1)."""
    path: str
    line: int
    interface: str
    """Empty where it is about none."""
    option: str
    message: str
    hint: str
    """What to do, where that is known."""


def problem_record(problem: Problem) -> ProblemRecord:
    """Return a problem as ``interfaces check --json`` shows it."""
    return cast("ProblemRecord", asdict(problem))
