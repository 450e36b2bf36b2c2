"""The kernel's settings about connections that host.fw asks for."""

from __future__ import annotations

import errno
import logging
from collections.abc import Collection, Mapping

from pvenetd.engine import Engine
from pvenetd.errors import KernelError
from pvenetd.state import State, Sysctl, state

log = logging.getLogger("pvenetd.firewall")

OWNER = "conntrack"


async def load(engine: Engine, settings: Mapping[str, str], raised: Collection[str]) -> None:
    """Set those of *settings* that this kernel has, *raised* only where they are less.  Raises `KernelError`.

    What is the whole machine's (nf_conntrack_max) cannot be set in another network namespace: that is told only.
    """
    live = await engine.look({("sysctl", name) for name in settings})
    wanted = [
        Sysctl(name=name, value=value, owner=OWNER)
        for name, value in settings.items()
        if (there := live.get(("sysctl", name))) and not (name in raised and _number(there) >= int(value))
    ]
    if wanted or engine.wants(OWNER):
        await _set(engine, state(wanted))


async def _set(engine: Engine, wanted: State) -> None:
    try:
        await engine.desire(OWNER, wanted)
    except KernelError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise
        engine.failed.pop(OWNER, None)
        log.warning("%s: not this network namespace's to set", error)


def _number(there: object) -> int:
    value = there.value if isinstance(there, Sysctl) else None
    return int(value) if value and value.isdigit() else 0
